# SPDX-License-Identifier: Apache-2.0
"""How the host itself reaches a VIF by its own device: sysctls, host routes, proxied addresses.

These are of the VIF's own device only, and go with it: an unplug has nothing to do for them. A
plugin that uses them adds them to its ``kinds``, behind those of ``CORE``.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import ClassVar

from vifplug.errors import Conflict
from vifplug.fields import DEVICE, IP, Choice, Integer, declared
from vifplug.model.host import Host
from vifplug.model.mark import Owner
from vifplug.operations.operation import Operation
from vifplug.operations.routes import AddProxy, AddRoute
from vifplug.operations.sysctls import ALLOWED, SetSysctl
from vifplug.parts.part import Part
from vifplug.parts.roles import ROUTES


@dataclass(frozen=True, kw_only=True)
class _OfDevice(Part):
    """A thing of a device's that a plan tells in the few words of its ``detail``."""

    device: str = declared(DEVICE)

    @property
    def title(self) -> str:
        return self.device

    def step(self, operations: tuple[Operation, ...], host: Host) -> tuple[str, str]:
        return "change" if operations else "keep", self.detail


@dataclass(frozen=True, kw_only=True)
class Sysctl(_OfDevice):
    """A sysctl of the VIF's own device: ``name`` is one of ``vifplug.operations.SYSCTLS``."""

    kind: ClassVar[str] = "sysctl"

    name: str = declared(Choice(*ALLOWED))
    value: int = declared(Integer(0, max(ALLOWED.values())))

    @property
    def detail(self) -> str:
        return f"{self.name} {self.value}"

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        if self.value > ALLOWED[self.name]:
            needed = f"0 to {ALLOWED[self.name]}"
            raise Conflict(
                owner.vif_id, f"{self.device} {self.name}", f"can't be {self.value}", needed
            )
        now, fresh = host.sysctl(self.device, self.name), _is_made_now(self.device, host)
        # A kernel without IPv6 has none of it on. What a new device will have, nothing tells.
        off = now is None and not self.value and not fresh
        if now == self.value or off:
            return ()
        set_ = SetSysctl(
            device=self.device,
            name=self.name,
            value=self.value,
            before=now,
            fresh=fresh,
        )
        return (set_,)


@dataclass(frozen=True, kw_only=True)
class HostRoute(_OfDevice):
    """The host reaches the VIF's IP address ``to`` through the VIF's own device, which is up.

    For an IPv6 address, the device has IPv6 on. The address is no host's own, and no other device's
    by a host route. The option ``allowed_routes`` may limit it.
    """

    kind: ClassVar[str] = "host-route"

    to: str = declared(IP)

    @property
    def detail(self) -> str:
        return f"route to {self.to}"

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        _require_guests(self.to, owner)
        reached = host.reached(self.to)
        if reached and reached.own:
            found, needed = f"is the host's own, on {reached.device}", "an address of a guest"
            raise Conflict(owner.vif_id, self.to, found, needed)
        if reached and reached.alone and reached.device == self.device:
            return ()
        if reached and reached.alone:
            found = f"is reached through {reached.device} already"
            raise Conflict(owner.vif_id, self.to, found, "an address that no other device has")
        self._require_allowed(owner, host)
        self._require_way(owner, host)
        fresh = _is_made_now(self.device, host)
        return (AddRoute(device=self.device, to=self.to, fresh=fresh),)

    def _require_allowed(self, owner: Owner, host: Host) -> None:
        """Raise Conflict where the operator's option lists other networks only."""
        allowed = host.allowed.get(ROUTES)
        if allowed is not None and not any(_is_in(self.to, network) for network in allowed):
            needed = f"one in a network of the option {ROUTES}: {', '.join(allowed) or 'none'}"
            raise Conflict(owner.vif_id, self.to, "is not allowed on this host", needed)

    def _require_way(self, owner: Owner, host: Host) -> None:
        """Raise Conflict where the kernel would take no route through the device."""
        link = host.link(self.device)
        if link and not link.up:
            raise Conflict(owner.vif_id, self.device, "is down", f"up, for {self.to}")
        if link and link.ipv6 is False and ":" in self.to:
            raise Conflict(owner.vif_id, self.device, "has IPv6 off", f"IPv6 on, for {self.to}")


@dataclass(frozen=True, kw_only=True)
class ProxyNeighbour(_OfDevice):
    """The host answers for an IP address on the VIF's own device: by ARP, or by NDP.

    For IPv6 it does so once the device's ``ipv6.proxy_ndp`` is 1.
    """

    kind: ClassVar[str] = "proxy-neighbour"

    address: str = declared(IP)

    @property
    def detail(self) -> str:
        return f"answers for {self.address}"

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        _require_guests(self.address, owner)
        if f"proxy for {self.address}" in host.naming(self.device):
            return ()
        fresh = _is_made_now(self.device, host)
        return (AddProxy(device=self.device, address=self.address, fresh=fresh),)


def _is_made_now(device: str, host: Host) -> bool:
    """Whether the same plan makes a device: its removal takes everything on it back."""
    link = host.link(device)
    return link is not None and link.index == 0


def _require_guests(address: str, owner: Owner) -> None:
    """Raise Conflict for an address that no single host has."""
    found = ipaddress.ip_address(address)
    for word in ("unspecified", "loopback", "multicast", "reserved"):
        if getattr(found, f"is_{word}"):
            kind = "the unspecified" if word == "unspecified" else f"a {word}"
            raise Conflict(owner.vif_id, address, f"is {kind} address", "an address of one host")


def _is_in(address: str, network: str) -> bool:
    """Whether an address is in a network; a word that is no network has none."""
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
