# SPDX-License-Identifier: Apache-2.0
"""Host routes through a VIF's device, and the addresses for which the host answers there.

Both go with their device, and when it is set down. ``fresh``: on a device that the same plan makes,
whose removal takes this back too.
"""

from __future__ import annotations

from dataclasses import dataclass

from vifplug.model.host import Host
from vifplug.model.link import Link
from vifplug.model.reached import Reached
from vifplug.operations.operation import LinkOperation, Operation


@dataclass(frozen=True, kw_only=True)
class _Route(LinkOperation):
    """A change of the host route to the IP address ``to``."""

    to: str
    fresh: bool = False

    def on(self, link: Link | None) -> Link | None:
        return link


@dataclass(frozen=True, kw_only=True)
class AddRoute(_Route):
    """Have the host reach one IP address through a device; it does already: as good."""

    def __str__(self) -> str:
        return f"add route to {self.to} through {self.device}"

    def foresee(self, host: Host) -> None:
        host.planned_links.put_reached(self.to, Reached(device=self.device, alone=True))

    def undo(self) -> Operation | None:
        return None if self.fresh else RemoveRoute(device=self.device, to=self.to)


@dataclass(frozen=True, kw_only=True)
class RemoveRoute(_Route):
    """Remove a host route; one that is gone is removed already."""

    def __str__(self) -> str:
        return f"remove route to {self.to} through {self.device}"

    def foresee(self, host: Host) -> None:
        host.planned_links.put_reached(self.to, None)

    def undo(self) -> Operation:
        return AddRoute(device=self.device, to=self.to)


@dataclass(frozen=True, kw_only=True)
class _Proxy(LinkOperation):
    """A change of whether the host answers for an IP address on a device (ARP, or NDP)."""

    address: str
    fresh: bool = False

    def on(self, link: Link | None) -> Link | None:
        return link


@dataclass(frozen=True, kw_only=True)
class AddProxy(_Proxy):
    """Have the host answer for an IP address on a device; it does already: as good."""

    def __str__(self) -> str:
        return f"answer for {self.address} on {self.device}"

    def foresee(self, host: Host) -> None:
        host.planned_links.put_proxied(self.device, self.address, True)

    def undo(self) -> Operation | None:
        return None if self.fresh else RemoveProxy(device=self.device, address=self.address)


@dataclass(frozen=True, kw_only=True)
class RemoveProxy(_Proxy):
    """Answer for an IP address on a device no more; where it does not, that is as good."""

    def __str__(self) -> str:
        return f"answer no more for {self.address} on {self.device}"

    def foresee(self, host: Host) -> None:
        host.planned_links.put_proxied(self.device, self.address, False)

    def undo(self) -> Operation:
        return AddProxy(device=self.device, address=self.address)
