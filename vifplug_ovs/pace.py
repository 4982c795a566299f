# SPDX-License-Identifier: Apache-2.0
"""Whether the switch is slower than the kernel: what a daemon has seen of it lately.

ovs-vswitchd goes over all its ports for each change, so this is a matter of how many there are, and
to count them would take as long again. It decides nothing but an order (``vifplug.order``).
"""

from __future__ import annotations

from dataclasses import dataclass

_SLOW = 0.006
"""Seconds to an acknowledgement from which on a switch is slow: some hundred ports, or a busy host.

A device is made in about 1 ms; a slow switch takes longer to read of a port than that."""

_MOST = 64


@dataclass
class Pace:
    """How long the switch takes; of one daemon, whose threads may disagree for a moment."""

    slow: bool = False
    """Whether a port's device is there in time when it is made after the port's row."""

    _needed: int = 1
    _seen: int = 0

    def acknowledged(self, seconds: float) -> None:
        """Note that the switch has taken a port, so many seconds after it was asked to."""
        self._seen = self._seen + 1 if seconds >= _SLOW else 0
        self.slow = self.slow or self._seen >= self._needed

    def missed(self) -> None:
        """Note that the switch read of a port before its device was there: it is not that slow."""
        self.slow, self._seen = False, 0
        self._needed = min(self._needed * 2, _MOST)
