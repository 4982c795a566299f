# SPDX-License-Identifier: Apache-2.0
"""What a VIF of the direct family needs. Pure: see VIFPlugin.wire.

libvirt makes and removes the guest's macvtap, and speaks with lldpad; ours is that what it needs is
there beforehand, and gone or as before afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vifplug.errors import Conflict
from vifplug.fields import BOOLEAN, DEVICE, PCI, VLAN, Choice, declared
from vifplug.host import Host, PciFunction
from vifplug.interface import GuestSide, Interface, VirtualPort, left_out
from vifplug.parts import (
    CARRIES_VLAN,
    MODES,
    PASSTHROUGH,
    Lower,
    Part,
    VirtualFunction,
    Vlan,
)
from vifplug.plugin import Check, VIFPlugin
from vifplug.vif import VIF, QoS
from vifplug.wiring import Wiring
from vifplug_vepa import opts
from vifplug_vepa.parts import Edge, Function, PortProfile

_MODE = Choice(*MODES)
_MOST_PROFILE = 39
"""Bytes that libvirt and the kernel have for a port profile's name."""


class _Direct(VIFPlugin):
    """What the plugins of this family have in common."""

    api_version = 1
    group = opts.GROUP
    opts = opts.OPTS


@dataclass(frozen=True, kw_only=True)
class QbgDetails:
    """The details of vif_type 802.1qbg; the standard's own mode is vepa."""

    macvtap_mode: str = declared(_MODE, default="vepa")


class QbgPlugin(_Direct):
    """vif_type ``802.1qbg``: a macvtap that lldpad associates with a port of the switch."""

    details = QbgDetails
    vnic_types = ("normal", "macvtap")
    required = (
        "network.interface",
        "manager_id",
        "type_id",
        "type_id_version",
        "instance_id",
    )
    looks = "look"

    def wire(self, vif: VIF, host: Host) -> Wiring:
        mode = self.details_of(vif).macvtap_mode
        assert vif.network.interface is not None  # noqa: S101 - required
        uplink = vif.network.interface
        source, below, notes = _source(vif, host, uplink)
        edge = Edge(device=_card(uplink, host), source=source if not below else uplink)
        parameters = {
            "managerid": vif.manager_id,
            "typeid": vif.type_id,
            "typeidversion": vif.type_id_version,
            "instanceid": vif.instance_id,
        }
        port = VirtualPort(
            type="802.1Qbg",
            parameters=tuple((name, str(value)) for name, value in parameters.items()),
        )
        return _macvtap(vif, host, source, mode, (edge, *below), port=port, notes=notes)

    def doctor(self, host: Host) -> Iterable[Check]:
        # A host without lldpad, or a card on an ordinary switch, is nothing to mend.
        cards = [name for name, link in host.links.items() if link.kind == "physical" and link.up]
        for device in cards or ["lo"]:
            edge = host.edges.get(device) if host.edges is not None else None
            why = edge.why if edge else "nobody has asked lldpad"
            if why.startswith("no lldpad"):
                yield Check(check="802.1Qbg", ok=True, detail=why)
                return
            detail = "EVB with reflective relay" if edge and edge.evb else why
            yield Check(check=f"802.1Qbg on {device}", ok=True, detail=detail)


@dataclass(frozen=True, kw_only=True)
class QbhDetails:
    """The details of vif_type 802.1qbh; with ``pci_slot`` that function, else network.interface."""

    macvtap_mode: str | None = declared(_MODE, default=None)
    pci_slot: str | None = declared(PCI, default=None)


class QbhPlugin(_Direct):
    """vif_type ``802.1qbh``: a virtual function whose driver passes a port profile to the switch.

    vnic_type direct hands the function to the guest, any other one puts a macvtap on it.
    """

    details = QbhDetails
    vnic_types = ("normal", "direct", "macvtap")
    required = ("profile_id",)

    def wire(self, vif: VIF, host: Host) -> Wiring:
        details, profile = self.details_of(vif), vif.profile_id or ""
        if len(profile.encode()) > _MOST_PROFILE:
            needed = f"at most {_MOST_PROFILE} bytes, as UTF-8"
            raise vif.refuse("profile_id", profile, needed)
        port = VirtualPort(type="802.1Qbh", parameters=(("profileid", profile),))
        if vif.vnic_type == "direct":
            pci = _pci_slot(vif, details.pci_slot)
            parts: tuple[Part, ...] = (Function(pci=pci, virtual=True),)
            if (function := host.pci.get(pci)) and function.pf:
                parts = (*parts, PortProfile(device=function.pf, pci=pci))
            return _whole(vif, parts, pci, port=port)
        if details.pci_slot:
            mode = details.macvtap_mode or PASSTHROUGH
            function = _function(vif, host, details.pci_slot, virtual=True)
            source = _netdev(vif, details.pci_slot, function)
        elif vif.network.interface:
            mode, source = details.macvtap_mode or "vepa", vif.network.interface
        else:
            raise vif.refuse("network.interface", None, f"{DEVICE.allowed}, or details.pci_slot")
        return _macvtap(vif, host, source, mode, (PortProfile(device=source),), port=port)


@dataclass(frozen=True, kw_only=True)
class MacvtapDetails:
    """The details of vif_type macvtap, in Nova's words.

    ``macvtap_source`` is what the macvtap lies on, by default network.interface. With ``vlan`` it
    is a VLAN device of that name (by default vlan and the id) on ``physical_interface``.
    """

    macvtap_mode: str = declared(_MODE, default="vepa")
    macvtap_source: str | None = declared(DEVICE, default=None)
    physical_interface: str | None = declared(DEVICE, default=None)
    vlan: int | None = declared(VLAN, default=None)
    pci_slot: str | None = declared(PCI, default=None)


class MacvtapPlugin(_Direct):
    """vif_type ``macvtap``: a macvtap on a device of the host, in any of the kernel's modes."""

    details = MacvtapDetails
    vnic_types = ("normal", "macvtap")

    def wire(self, vif: VIF, host: Host) -> Wiring:
        details = self.details_of(vif)
        uplink = details.physical_interface or vif.network.interface
        if details.pci_slot:
            function = _function(vif, host, details.pci_slot, virtual=False)
            uplink = _netdev(vif, details.pci_slot, function)
        source = details.macvtap_source or uplink
        if source is None:
            raise vif.refuse("details.macvtap_source", None, f"{DEVICE.allowed}, or the network's")
        if details.vlan is None:
            source, below, notes = _source(vif, host, source)
            return _macvtap(vif, host, source, details.macvtap_mode, below, notes=notes)
        if uplink is None:
            needed = f"{DEVICE.allowed} (details.vlan needs it)"
            raise vif.refuse("details.physical_interface", None, needed)
        if source == uplink:
            source = f"vlan{details.vlan}"
        below = _vlan(vif, host, source, uplink, details.vlan)
        return _macvtap(vif, host, source, details.macvtap_mode, below)


@dataclass(frozen=True, kw_only=True)
class HwVebDetails:
    """The details of vif_type hw_veb; ``vlan`` is by default the network's, else none."""

    pci_slot: str = declared(PCI)
    vlan: int | None = declared(VLAN, default=None)
    trusted: bool | None = declared(BOOLEAN, default=None)
    spoofchk: bool | None = declared(BOOLEAN, default=None)


class HwVebPlugin(_Direct):
    """vif_type ``hw_veb``: a virtual function on the switch that its network card is.

    vnic_type direct hands the function to the guest, macvtap puts one on its device.
    """

    details = HwVebDetails
    vnic_types = ("direct", "macvtap")

    def wire(self, vif: VIF, host: Host) -> Wiring:
        details = self.details_of(vif)
        if vif.vnic_type not in ("direct", "macvtap"):
            raise vif.refuse("vnic_type", vif.vnic_type, "direct or macvtap, for hw_veb")
        parts: tuple[Part, ...] = (Function(pci=details.pci_slot, virtual=True),)
        vlan = details.vlan or vif.network.vlan or 0
        function = host.pci.get(details.pci_slot)
        if function and function.pf and function.vf is not None:
            settings = VirtualFunction(
                pci=details.pci_slot,
                device=function.pf,
                number=function.vf,
                address=vif.address,
                vlan=vlan,
                spoofchk=details.spoofchk,
                trust=details.trusted,
            )
            parts = (*parts, settings)
        if vif.vnic_type == "direct":
            return _whole(vif, parts, details.pci_slot, vlan=vlan or None)
        function = _function(vif, host, details.pci_slot, virtual=True)
        source = _netdev(vif, details.pci_slot, function)
        return _macvtap(vif, host, source, PASSTHROUGH, parts, vlan=vlan or None)


@dataclass(frozen=True, kw_only=True)
class HostdevDetails:
    """The details of vif_type hostdev_physical."""

    pci_slot: str = declared(PCI)


class HostdevPlugin(_Direct):
    """vif_type ``hostdev_physical``: the guest gets a network card's function as it is."""

    details = HostdevDetails
    vnic_types = ("normal", "direct-physical")

    def wire(self, vif: VIF, host: Host) -> Wiring:
        if vif.vnic_type not in ("normal", "direct-physical"):
            raise vif.refuse("vnic_type", vif.vnic_type, "direct-physical, for hostdev_physical")
        pci = self.details_of(vif).pci_slot
        interface = Interface(type="pci", mac=vif.address, guest=GuestSide(), pci=pci)
        return Wiring(parts=(Function(pci=pci),), interface=interface, notes=_left_out(vif))


def _macvtap(
    vif: VIF,
    host: Host,
    source: str,
    mode: str,
    before: tuple[Part, ...],
    *,
    port: VirtualPort | None = None,
    vlan: int | None = None,
    notes: tuple[str, ...] = (),
) -> Wiring:
    """Return the wiring of a guest with a macvtap on a device; libvirt tags for ``vlan``."""
    guest = GuestSide.of(vif, host)
    lower = Lower(device=source, mode=mode, address=vif.address, mtu=vif.network.mtu)
    interface = Interface(
        type="direct",
        mac=vif.address,
        guest=guest,
        source=(("dev", source), ("mode", mode)),
        vlan=vlan,
        target=vif.devname,
        virtualport=port,
    )
    notes = (*left_out(vif, guest), *notes)
    return Wiring(parts=(*before, lower), interface=interface, notes=notes)


def _whole(
    vif: VIF,
    parts: tuple[Part, ...],
    pci: str,
    *,
    port: VirtualPort | None = None,
    vlan: int | None = None,
) -> Wiring:
    """Return the wiring of a guest that gets a virtual function whole."""
    interface = Interface(
        type="hostdev",
        mac=vif.address,
        guest=GuestSide(),
        vlan=vlan,
        virtualport=port,
        pci=pci,
    )
    return Wiring(parts=parts, interface=interface, notes=_left_out(vif))


def _left_out(vif: VIF) -> tuple[str, ...]:
    """Return notes on what a guest that gets a function whole will not get."""
    notes = []
    if vif.queues and vif.queues > 1:
        notes.append(f"queues {vif.queues} left out: they are the function's own")
    if vif.qos != QoS():
        notes.append("bandwidth limits left out: libvirt has none for a function given whole")
    return tuple(notes)


def _source(vif: VIF, host: Host, uplink: str) -> tuple[str, tuple[Part, ...], tuple[str, ...]]:
    """Return what a macvtap of the network lies on, the parts that make it, and notes."""
    network = vif.network
    if not network.should_create_vlan:
        notes: tuple[str, ...] = ()
        if network.vlan is not None:
            notes = (f"VLAN {network.vlan} is the care of {uplink}: should_create_vlan is not set",)
        return uplink, (), notes
    if network.vlan is None:
        raise vif.refuse("network.vlan", None, "1 to 4094 (should_create_vlan needs it)")
    name = f"vlan{network.vlan}"
    return name, _vlan(vif, host, name, uplink, network.vlan), ()


def _vlan(vif: VIF, host: Host, name: str, uplink: str, vlan: int) -> tuple[Part, ...]:
    """Return a VLAN device on an uplink, which has to be there and up first."""
    lower = host.link(uplink)
    mtu = vif.network.mtu or (min(host.mtu, lower.mtu) if lower else host.mtu)
    carrier = Lower(device=uplink, mode=CARRIES_VLAN, address=vif.address, mtu=mtu)
    return carrier, Vlan(name=name, lower=uplink, vlan=vlan, mtu=mtu)


def _card(device: str, host: Host) -> str:
    """Return the device that a VLAN device lies on in the end: lldpad speaks there."""
    seen: set[str] = set()
    while (link := host.link(device)) and link.kind == "vlan" and link.lower:
        if device in seen:
            break
        seen.add(device)
        device = link.lower
    return device


def _pci_slot(vif: VIF, pci: str | None) -> str:
    if pci is None:
        raise vif.refuse("details.pci_slot", None, f"{PCI.allowed} (vnic_type direct needs it)")
    return pci


def _function(vif: VIF, host: Host, pci: str, *, virtual: bool) -> PciFunction:
    function = host.pci.get(pci)
    wanted = "a virtual function of a network card" if virtual else "a network card's function"
    if function is None:
        raise Conflict(vif.id, f"PCI {pci}", "is not there", wanted)
    if virtual and not function.virtual:
        raise Conflict(vif.id, f"PCI {pci}", "is no virtual function", wanted)
    return function


def _netdev(vif: VIF, pci: str, function: PciFunction) -> str:
    if function.netdev is None:
        found = "has no network device on this host"
        needed = "the host's driver on the function, or vnic_type direct"
        raise Conflict(vif.id, f"PCI {pci}", found, needed)
    return function.netdev
