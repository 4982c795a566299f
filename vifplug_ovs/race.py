# SPDX-License-Identifier: Apache-2.0
"""Whether a device is made before the switch looks for it: what a daemon has seen of that lately.

The database, then the switch, take longer to get to a port than the kernel takes to make its
device, so they are asked at the same time (``vifplug.order``). Who loses this race on some host
has a warning in vswitchd's log and lets it look again; so a daemon that has lost makes devices
first for a while.

A slow switch is told of the port before there is a device: it would go over all its ports for the
device by itself, and then again. That is a matter of how many there are, and to count them would
take as long again.
"""

from __future__ import annotations

from dataclasses import dataclass

_SLOW = 0.006
"""Seconds to an acknowledgement from which on a switch is slow: some hundred ports, or a busy host.

A device is made in about 1 ms."""

_MOST = 256


@dataclass
class Race:
    """How the races for one sort of port ended; of one daemon.

    Its threads may disagree for a moment.
    """

    slow: bool = False
    """Whether the switch needs a head start: its database's answer is waited for first."""

    _rest: int = 0
    _longer: int = 4
    _seen: int = 0
    _needed: int = 1

    def enter(self) -> bool:
        """Return whether the next plug races; one that rests is counted."""
        if not self._rest:
            return True
        self._rest -= 1
        return False

    def lost(self) -> None:
        """Note that the switch looked for a port's device before it was made: rest, and longer."""
        if self.slow:  # it is not, and is taken for it with more reason next time
            self.slow, self._seen, self._needed = False, 0, min(self._needed * 2, _MOST)
        self._rest, self._longer = self._longer, min(self._longer * 4, _MOST)

    def acknowledged(self, seconds: float) -> None:
        """Note how long the switch took for a port."""
        self._seen = self._seen + 1 if seconds >= _SLOW else 0
        if self._seen >= self._needed:  # also if it takes less with its head start
            self.slow, self._rest = True, 0
