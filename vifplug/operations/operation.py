# SPDX-License-Identifier: Apache-2.0
"""The changes that a plan is made of: one kernel change each, as data, with its own undo.

Nothing here touches the host: ``vifplug.kernel.perform`` does. A value from before travels in the
operation, so an undo needs no memory but the list of operations that were performed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vifplug.model.host import Host
from vifplug.model.link import Link
from vifplug.model.thing import Thing, device

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
"""How attributes of a device are named in a plan."""

SYSCTLS: Mapping[str, str] = {
    "ipv6": "ipv6/conf/{}/disable_ipv6",
    "accept_ra": "ipv6/conf/{}/accept_ra",
    "arp_ignore": "ipv4/conf/{}/arp_ignore",
    "arp_announce": "ipv4/conf/{}/arp_announce",
}
"""Attributes of a device that are sysctls, and where those are below /proc/sys/net."""


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One change of the host."""

    @property
    def made(self) -> tuple[str, ...]:
        """The names of the devices, bridges and ports that this makes."""
        return ()

    @property
    def removed(self) -> tuple[str, ...]:
        """The names of the devices, bridges and ports that this removes."""
        return ()

    def things(self, host: Host) -> tuple[Thing, ...]:
        """Return the devices and rows, there already, that this changes. See ``plan.rights``."""
        raise NotImplementedError

    def undo(self) -> Operation | None:
        """Return what takes this back, or None where another operation's undo does."""
        raise NotImplementedError

    def foresee(self, host: Host) -> None:
        """Note on a host that is being planned what this will have changed."""
        raise NotImplementedError


Unit = tuple[Operation, ...]
"""Operations that are performed together, in order: all or none."""


@dataclass(frozen=True, kw_only=True)
class LinkOperation(Operation):
    """One change of one network device."""

    device: str

    def things(self, host: Host) -> tuple[Thing, ...]:
        return (device(self.device, host),)

    def foresee(self, host: Host) -> None:
        host.planned_links.put(self.device, self.on(host.link(self.device)))

    def on(self, link: Link | None) -> Link | None:
        """Return the device as this makes it, for planning."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class SwitchOperation(Operation):
    """One change that a switch makes in its own database, in one transaction with others."""


@dataclass(frozen=True, kw_only=True)
class PortOperation(SwitchOperation):
    """One change of a switch's port, which is a device of the kernel."""

    device: str

    def things(self, host: Host) -> tuple[Thing, ...]:
        return (device(self.device, host),)


def in_words(value: Any) -> str:
    """Return a setting's value in words."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return "none" if value is None else str(value)
