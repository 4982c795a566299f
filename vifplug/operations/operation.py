# SPDX-License-Identifier: Apache-2.0
"""The changes that a plan is made of: one kernel change each, as data, with its own undo.

Nothing here touches the host: ``vifplug.perform`` does them. A value from before travels in
the operation, so that an undo needs no memory but the list of what was done.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from vifplug.model.host import Host
from vifplug.model.link import Link

WORDS = {
    "ipv6": "IPv6",
    "spoofchk": "spoof check",
    "mtu": "MTU",
    "stp": "STP",
    "forward_delay": "forward delay",
    "accept_ra": "accept_ra",
    "ageing_time": "ageing",
    "multicast_snooping": "multicast snooping",
}


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One change of one device."""

    device: str

    in_database: ClassVar[bool] = False
    """Whether this changes a switch's database, in one transaction with others, not the kernel."""

    def undo(self) -> Operation | None:
        """Return what takes this back, or None where another operation's undo does."""
        raise NotImplementedError

    def foresee(self, host: Host) -> None:
        """Note on a host that is being planned what this will have changed."""
        link = self.on(host.link(self.device))
        host.planned_links.put(self.device, link)

    def on(self, link: Link | None) -> Link | None:
        """Return the device as this makes it, for planning."""
        raise NotImplementedError


def in_words(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "none" if value is None else str(value)
