# SPDX-License-Identifier: Apache-2.0
"""Parts that plug can't make: it only looks whether they are there. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from vifplug.errors import Conflict
from vifplug.fields import BOOLEAN, DEVICE, PCI, declared
from vifplug.model.host import Host
from vifplug.model.link import TAKES_FRAMES
from vifplug.model.mark import Owner
from vifplug.operations import Operation
from vifplug.parts import Part
from vifplug_vepa.parts.lower import CARRIES_VLAN, LOWER
from vifplug_vepa.snapshot import Lldpad

PORT_PROFILES = ("enic",)
"""The only drivers of Linux that pass 802.1Qbh port profiles to their switch."""


@dataclass(frozen=True, kw_only=True)
class Required(Part):
    """Something that must be there. Plug looks at it and never changes it."""

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        self.look(owner, host)
        return ()

    def look(self, owner: Owner, host: Host) -> None:
        """Raise Conflict where the thing isn't there."""
        raise NotImplementedError

    def step(self, operations: tuple[Operation, ...], host: Host) -> tuple[str, str]:
        return "keep", self.detail


@dataclass(frozen=True, kw_only=True)
class Edge(Required):
    """The switch at a device's other end, with which lldpad has agreed on 802.1Qbg.

    Only the first plug of a VIF asks lldpad: a later answer must not fail the plug of a live guest.

    ``device`` is the network card, ``source`` the device that the VIF claims: the same, or a VLAN
    device on it.
    """

    kind: ClassVar[str] = "edge"

    device: str = declared(DEVICE)
    source: str = declared(DEVICE)

    @property
    def title(self) -> str:
        return self.device

    @property
    def detail(self) -> str:
        return "lldpad, EVB with reflective relay"

    def look(self, owner: Owner, host: Host) -> None:
        source = host.link(self.source)
        if source is None or source.kind in ("loopback", *TAKES_FRAMES):
            return  # the part Lower refuses such a device
        _require_a_root(owner, self.source, host)
        lldpad = host.switch(Lldpad)
        if lldpad is None or self._plugged(owner, host):
            return
        edge = lldpad.edges.get(self.device)
        if edge is None or edge.evb is False:
            why = edge.why if edge else "nothing is known of its switch"
            needed = "lldpad on this device, and a switch that agrees on EVB with reflective relay"
            raise Conflict(owner.vif_id, self.device, f"can't associate: {why}", needed)

    def step(self, operations: tuple[Operation, ...], host: Host) -> tuple[str, str]:
        lldpad = host.switch(Lldpad)
        edge = lldpad.edges.get(self.device) if lldpad else None
        if edge and edge.evb:
            return "keep", self.detail
        if edge and edge.evb is False:
            return "keep", f"lost: {edge.why}"
        return "keep", f"not looked at: {edge.why}" if edge else "not looked at"

    def _plugged(self, owner: Owner, host: Host) -> bool:
        roles = (LOWER, CARRIES_VLAN)
        claims = host.claims_of(owner.vif_id)
        return any(on == self.source and claim.role in roles for on, claim in claims)


def _require_a_root(owner: Owner, device: str, host: Host) -> None:
    """Raise Conflict for a device from which libvirt finds no way down to a network card.

    libvirt follows IFLA_LINK, even to an index of another namespace. From a veth it goes to and fro
    until libvirtd is killed.
    """
    seen: set[str] = set()
    while link := host.link(device):
        if not link.stacked:
            return
        if link.kind != "vlan" or link.lower is None or device in seen:
            leads = "to its other end and back, for ever" if link.kind == "veth" else "elsewhere"
            way = f"is a {link.kind} device: from it libvirtd goes {leads}"
            raise Conflict(owner.vif_id, device, way, "a network card, or a VLAN device on one")
        seen.add(device)
        device = link.lower


@dataclass(frozen=True, kw_only=True)
class PortProfile(Required):
    """A virtual function whose driver passes port profiles to the switch (802.1Qbh).

    ``device`` is the virtual function's own device. Where a guest gets the function ``pci`` whole,
    ``device`` is its physical function's.
    """

    kind: ClassVar[str] = "port-profile"

    device: str = declared(DEVICE)
    pci: str | None = declared(PCI, default=None)

    @property
    def title(self) -> str:
        return self.device

    @property
    def detail(self) -> str:
        return f"a virtual function, driver {' or '.join(PORT_PROFILES)}"

    def look(self, owner: Owner, host: Host) -> None:
        link = host.link(self.device)
        needed = f"{self.detail}: no other driver of Linux has 802.1Qbh"
        if link is None:
            raise Conflict(owner.vif_id, self.device, "is not there", needed)
        function = host.pci.get(self.pci or link.pci or "")
        if function is None or not function.virtual:
            raise Conflict(owner.vif_id, self.device, "is no virtual function", needed)
        expected = function.pf if self.pci else function.netdev
        if expected != self.device:
            raise Conflict(owner.vif_id, self.device, f"is not that of {self.pci}", needed)
        driver = host.driver(self.device)
        if driver not in PORT_PROFILES:
            raise Conflict(owner.vif_id, self.device, f"has driver {driver or 'none'}", needed)


@dataclass(frozen=True, kw_only=True)
class Function(Required):
    """A network card's PCI function that a guest gets whole."""

    kind: ClassVar[str] = "pci"

    pci: str = declared(PCI)
    virtual: bool = declared(BOOLEAN, default=False)

    @property
    def title(self) -> str:
        return self.pci

    @property
    def detail(self) -> str:
        return "a virtual function" if self.virtual else "a network card's function"

    def look(self, owner: Owner, host: Host) -> None:
        function = host.pci.get(self.pci)
        if function is None:
            raise Conflict(owner.vif_id, f"PCI {self.pci}", "is not there", self.detail)
        if not function.network:
            raise Conflict(owner.vif_id, f"PCI {self.pci}", "is no network card's", self.detail)
        if self.virtual and not function.virtual:
            physical = "is no virtual function"
            raise Conflict(owner.vif_id, f"PCI {self.pci}", physical, self.detail)
        if self.virtual and (function.pf is None or function.vf is None):
            orphan = "is a virtual function whose physical one has no device on this host"
            needed = "a physical function of the host's own driver"
            raise Conflict(owner.vif_id, f"PCI {self.pci}", orphan, needed)
