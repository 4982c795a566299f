# SPDX-License-Identifier: Apache-2.0
"""The parts of a VIF on Open vSwitch: manual, automatic or hybrid. Pure: see VIFPlugin.wire."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from vifplug.fields import BOOLEAN, PCI, declared
from vifplug.guest import attach
from vifplug.guest.interface import NIC, GuestSide, Interface, VirtualPort, left_out
from vifplug.guest.nwfilter import filter_of
from vifplug.model.host import Host
from vifplug.model.mark import derived_name
from vifplug.model.use import Use, Uses
from vifplug.model.vif import VIF
from vifplug.parts import BridgePort, Part
from vifplug.plugin import Check
from vifplug.wiring import Wiring
from vifplug_ovs import opts, ownbridge, passthrough
from vifplug_ovs import ports as switch
from vifplug_ovs.names import AUTOMATIC, DRIVERS, HYBRID, MANUAL, PROCESSES
from vifplug_ovs.parts import (
    DATAPATHS,
    KINDS,
    Bridge,
    Claim,
    FilterBridge,
    Veth,
)
from vifplug_ovs.process import choose
from vifplug_ovs.snapshot import Ovs
from vifplug_ovs.switched import Switched

Way = tuple[tuple[Part, ...], Interface, tuple[str, ...]]
"""The parts of a VIF besides its bridge, the guest's interface, and notes."""

_PINS = ("ovs_hybrid_plug", "ovs_create_tap", "delegate_create")


@dataclass(frozen=True, kw_only=True)
class OvsDetails:
    """The details of vif_type ovs, in the words of Neutron's binding:vif_details.

    ``ovs_hybrid_plug`` and ``ovs_create_tap`` pin the process to hybrid and to manual;
    ``delegate_create``, which is Nova's, has manual stand in for automatic;
    ``datapath_type`` is that of a new bridge. ``pci_slot`` is the virtual function of
    vnic_types direct, vdpa and remote-managed. ``bound_drivers`` tells who wires the port.
    """

    datapath_type: str | None = declared(DATAPATHS, default=None)
    ovs_hybrid_plug: bool = declared(BOOLEAN, default=False)
    ovs_create_tap: bool = declared(BOOLEAN, default=False)
    delegate_create: bool = declared(BOOLEAN, default=False)
    pci_slot: str | None = declared(PCI, default=None)
    bound_drivers: Mapping[str, str] | None = declared(DRIVERS, default=None)


_ON_THE_SWITCH = (
    "address",
    "filtered",
    "interface_id",
    "instance.uuid",
    "network.bridge",
    "network.mtu",
    "network.should_create_bridge",
    "network.multi_host",
    Use("details.datapath_type", "of a bridge that is made"),
    "details.bound_drivers",
)
_NORMAL: Uses = (
    *NIC,
    *_ON_THE_SWITCH,
    "devname",
    Use("instance.name", "by hybrid, where a firewall is required"),
    Use("network.subnets", "by the filter of hybrid, with the option filter_parameters"),
    "details.ovs_hybrid_plug",
    Use(
        "details.ovs_create_tap",
        "without details.ovs_hybrid_plug",
        lambda vif: not vif.details.get("ovs_hybrid_plug"),
    ),
    "details.delegate_create",
)
_FUNCTION: Uses = (*_ON_THE_SWITCH, "details.pci_slot")


class OvsPlugin(Switched):
    """vif_type ``ovs``: the guest on a shared Open vSwitch bridge.

    manual: plug makes a tap and its port before the guest starts. automatic: libvirt makes both.
    hybrid: the guest is on a Linux bridge of its own, where the host can filter, and a wire goes
    to the port.
    """

    api_version = 1
    details = OvsDetails
    vnic_types = ("normal", *passthrough.VNIC_TYPES)
    required = ("network.bridge",)
    uses: ClassVar[Mapping[str, Uses]] = {
        "": _NORMAL,
        passthrough.DIRECT: _FUNCTION,
        passthrough.VDPA: _FUNCTION,
        passthrough.REMOTE: ("address", "filtered", "details.pci_slot"),
    }
    defaults: ClassVar[Mapping[str, str]] = {"network.bridge": "integration_bridge"}
    group = opts.GROUP
    opts = opts.OPTS
    by_libvirt: ClassVar[Mapping[str, Any]] = {"process": AUTOMATIC, "per_port_bridge": False}
    kinds = KINDS
    processes = (*PROCESSES, "")
    modules: ClassVar[Mapping[str, str]] = {"openvswitch": "bridges with the datapath system"}

    def wire(self, vif: VIF, host: Host) -> Wiring:
        details = self.details_of(vif)
        if vif.vnic_type in passthrough.VNIC_TYPES:
            bridge = self._bridge(vif)
            slot = details.pci_slot
            return passthrough.wire(vif, host, self.options, pci_slot=slot, bridge=bridge)
        self.require_vnic_type(vif)
        pins = {n: getattr(details, n) for n in _PINS}
        isolation = switch.isolation(vif, self._bridge(vif), host, self.options)
        own = "option per_port_bridge" if self.options["per_port_bridge"] else ""
        beforehand = isolation or own
        choice = choose(
            vif, host, details=pins, pinned=self.options["process"], beforehand=beforehand
        )
        guest = GuestSide.of(vif, host)
        build = {MANUAL: self._manual, AUTOMATIC: self._automatic, HYBRID: self._hybrid}
        parts, interface, notes = build[choice.process](vif, host, guest)
        if host.firewall and not vif.filtered and choice.process != HYBRID:
            notes = (f"{choice.process} leaves out the firewall that this host requires", *notes)
        if choice.process == AUTOMATIC and isolation:
            notes = ("libvirt makes the port, so it is not isolated", *notes)
        today = choice.fresh if choice.fresh != choice.process else ""
        if today:
            note = f"{today} would be chosen today: unplug and plug to have it"
            notes = (note, *notes)
        elif details.delegate_create and choice.process == AUTOMATIC:
            notes = (f"details.delegate_create left out: {choice.why} is automatic", *notes)
        return Wiring(
            parts=(self._bridge(vif), *parts),
            interface=interface,
            process=choice.process,
            why=choice.why,
            today=today,
            notes=(
                *left_out(vif, guest),
                *notes,
                *switch.isolation_notes(vif, host, self.options),
                *switch.bridge_notes(vif, host),
            ),
        )

    def _manual(self, vif: VIF, host: Host, asked: GuestSide) -> Way:
        name = vif.devname or derived_name("tap", vif.id)
        guest, notes = attach.as_its_tap(host, name, asked)
        bridge = self._bridge(vif)
        default_mtu = switch.mtu_of(vif, host, bridge, name)
        tap = attach.tap(vif, host, name, guest, default_mtu=default_mtu)
        port = switch.port_of(vif, host, self.options, name, bridge, guest=name)
        own, has_own = self.options["per_port_bridge"], ownbridge.has_one(vif, host)
        if own != has_own and (has_own or _has_a_port(vif, host)):
            own, words = has_own, "with" if has_own else "without"
            notes = (f"is and stays {words} a bridge of its own until unplugged", *notes)
        fixed = switch.fixed_mtu(vif, host, bridge, name)
        ports = ownbridge.parts(vif, host, port, bridge) if own else (*fixed, port)
        return (tap, *ports), attach.made_beforehand(vif, host, tap, guest, None), notes

    def _automatic(self, vif: VIF, host: Host, guest: GuestSide) -> Way:
        assert vif.network.bridge is not None  # noqa: S101 - required
        bridge, interface_id = vif.network.bridge, vif.interface_id or vif.id
        name = vif.devname or derived_name("tap", vif.id)
        interface = attach.on_bridge(
            vif,
            guest,
            bridge,
            target=name,
            virtualport=VirtualPort(
                type="openvswitch", parameters=(("interfaceid", interface_id),)
            ),
        )
        fixed = switch.fixed_mtu(vif, host, self._bridge(vif), name)
        claim = Claim(on=bridge, interface_id=interface_id)
        port = switch.guest_port_of(vif, host, name)
        return (*fixed, claim, *port), interface, ()

    def _hybrid(self, vif: VIF, host: Host, guest: GuestSide) -> Way:
        qbr, qvb, qvo = (derived_name(prefix, vif.id) for prefix in ("qbr", "qvb", "qvo"))
        tap = vif.devname or derived_name("tap", vif.id)
        bridge = self._bridge(vif)
        parts = (
            FilterBridge(name=qbr),
            Veth(name=qvb, peer=qvo, mtu=switch.mtu_of(vif, host, bridge, qvo)),
            BridgePort(device=qvb, bridge=qbr),
            *switch.fixed_mtu(vif, host, bridge, qvo),
            switch.port_of(vif, host, self.options, qvo, bridge, guest=tap),
            *attach.guest_tap(vif, host, tap, qbr),
        )
        filtered_here = host.firewall and not vif.filtered
        filterref = filter_of(vif, self.options) if filtered_here else None
        return parts, attach.on_bridge(vif, guest, qbr, target=tap, filterref=filterref), ()

    def _bridge(self, vif: VIF) -> Bridge:
        datapath_type = self.details_of(vif).datapath_type
        return switch.bridge_of(vif, self.options, datapath_type=datapath_type)

    def doctor(self, host: Host) -> Iterable[Check]:
        yield from switch.checks(host, self.options)
        yield from attach.checks(host)


def _has_a_port(vif: VIF, host: Host) -> bool:
    """Whether the switch has a port of the VIF. A tap alone may be that of a plug at work."""
    ovs = host.switch(Ovs)
    return bool(ovs and ovs.of(vif.id, vif.interface_id or vif.id))
