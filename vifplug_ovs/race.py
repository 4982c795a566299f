# SPDX-License-Identifier: Apache-2.0
"""Decides whether to create a device while the database works on its port's row.

The database, then the switch, take longer to get to a port than the kernel takes to make its
device, so both are asked at the same time (``vifplug_ovs.order``). On some hosts the switch is
quicker: then vswitchd logs a warning, and we have it look again. A daemon that has lost this race
makes devices first for a while.

A slow switch is told of the port before the device is made. Otherwise it goes over all its ports
for the device, and again for the transaction. How slow it is depends on the number of ports, but
to count them would take as long again. So the daemon decides from how its recent plugs ended.
"""

from __future__ import annotations

from dataclasses import dataclass

_SLOW = 0.006
"""Seconds: a switch that takes as long to acknowledge is slow (some hundred ports, a busy host).

A device is made in about 1 ms."""

_MOST = 256


@dataclass
class Race:
    """How one daemon's races for one sort of port ended.

    The daemon's threads share it without a lock: they may disagree for a moment.
    """

    slow: bool = False
    """Whether the switch needs a head start: its database's answer is waited for first."""

    _rest: int = 0
    _longer: int = 4
    _seen: int = 0
    _needed: int = 1

    def enter(self) -> bool:
        """Return whether the next plug races; count it where it does not."""
        if not self._rest:
            return True
        self._rest -= 1
        return False

    def lost(self) -> None:
        """Note that the switch looked for a device before it was made: rest, each time longer."""
        if self.slow:
            # It was not slow after all: ask for twice as many slow answers before believing it.
            self.slow, self._seen, self._needed = False, 0, min(self._needed * 2, _MOST)
        self._rest, self._longer = self._longer, min(self._longer * 4, _MOST)

    def acknowledged(self, seconds: float) -> None:
        """Note how long the switch took for a port."""
        self._seen = self._seen + 1 if seconds >= _SLOW else 0
        if self._seen >= self._needed:
            # It stays slow, because its head start makes the next answers quicker.
            self.slow, self._rest = True, 0
