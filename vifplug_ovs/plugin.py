# SPDX-License-Identifier: Apache-2.0
"""What a VIF on Open vSwitch needs: manual, automatic or hybrid. Pure: see VIFPlugin.wire."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from vifplug.fields import BOOLEAN, PCI, declared
from vifplug.guest import attach as premade
from vifplug.guest.interface import GuestSide, Interface, VirtualPort, left_out
from vifplug.guest.nwfilter import filter_of
from vifplug.model.host import Host
from vifplug.model.mark import derived_name
from vifplug.model.vif import VIF
from vifplug.parts import BridgePort, FilterBridge, Part, Veth
from vifplug.plugin import Check, VIFPlugin
from vifplug.wiring import Wiring
from vifplug_ovs import opts, ownbridge, passthrough
from vifplug_ovs import ports as switch
from vifplug_ovs.parts.bridge import DATAPATHS, Bridge, Claim
from vifplug_ovs.process import AUTOMATIC, HYBRID, MANUAL, choose

_PINS = ("ovs_hybrid_plug", "ovs_create_tap", "delegate_create")


@dataclass(frozen=True, kw_only=True)
class OvsDetails:
    """The details of vif_type ovs, in the words of Neutron's binding:vif_details.

    ``ovs_hybrid_plug`` and ``ovs_create_tap`` pin the process to hybrid and to manual;
    ``delegate_create``, which is Nova's, has manual stand in for automatic;
    ``datapath_type`` is that of a bridge which is made. ``pci_slot`` is the virtual function of
    vnic_types direct, vdpa and remote-managed.
    """

    datapath_type: str | None = declared(DATAPATHS, default=None)
    ovs_hybrid_plug: bool = declared(BOOLEAN, default=False)
    ovs_create_tap: bool = declared(BOOLEAN, default=False)
    delegate_create: bool = declared(BOOLEAN, default=False)
    pci_slot: str | None = declared(PCI, default=None)


class OvsPlugin(VIFPlugin):
    """vif_type ``ovs``: the guest on a shared Open vSwitch bridge.

    manual: a tap and its port are made beforehand. automatic: libvirt makes both. hybrid: the
    guest is on a Linux bridge of its own, where the host can filter, and a wire goes to the port.
    """

    api_version = 1
    details = OvsDetails
    vnic_types = ("normal", *passthrough.VNIC_TYPES)
    required = ("network.bridge",)
    defaults: ClassVar[Mapping[str, str]] = {"network.bridge": "integration_bridge"}
    group = opts.GROUP
    opts = opts.OPTS
    looks = "look"
    database = True

    def wire(self, vif: VIF, host: Host) -> Wiring:
        details = self.details_of(vif)
        if vif.vnic_type in passthrough.VNIC_TYPES:
            bridge = self._bridge(vif)
            slot = details.pci_slot
            return passthrough.wire(vif, host, self.options, pci_slot=slot, bridge=bridge)
        if vif.vnic_type != "normal":
            allowed = ", ".join(("normal", *passthrough.VNIC_TYPES))
            raise vif.refuse("vnic_type", vif.vnic_type, f"{allowed} (vif_type ovs)")
        pins = {n: getattr(details, n) for n in _PINS}
        wanted = [name for name in ("isolate", "per_port_bridge") if self.options[name]]
        beforehand = wanted[0] if wanted else ""
        choice = choose(
            vif, host, details=pins, pinned=self.options["process"], beforehand=beforehand
        )
        guest = GuestSide.of(vif, host)
        build = {MANUAL: self._manual, AUTOMATIC: self._automatic, HYBRID: self._hybrid}
        parts, interface, notes = build[choice.process](vif, host, guest)
        if host.firewall and not vif.filtered and choice.process != HYBRID:
            notes = (f"{choice.process} leaves out the firewall that this host requires", *notes)
        if choice.process == AUTOMATIC and switch.isolated(self._bridge(vif), self.options):
            notes = ("libvirt makes the port, so it is not isolated", *notes)
        if choice.fresh not in ("", choice.process):
            told = f"{choice.fresh} would be chosen today: unplug and plug to have it"
            notes = (told, *notes)
        return Wiring(
            parts=(self._bridge(vif), *parts),
            interface=interface,
            process=choice.process,
            why=choice.why,
            notes=(*left_out(vif, guest), *notes),
        )

    def _manual(
        self, vif: VIF, host: Host, asked: GuestSide
    ) -> tuple[tuple[Part, ...], Interface, tuple[str, ...]]:
        name = vif.devname or derived_name("tap", vif.id)
        guest, kept = premade.as_its_tap(host, name, asked)
        tap = premade.tap(vif, host, name, guest)
        bridge = self._bridge(vif)
        port = switch.port_of(vif, host, self.options, name, bridge, guest=name)
        own = ownbridge.there(vif, host)
        asked_for = self.options["per_port_bridge"]
        if own != asked_for and (own or _has_a_port(vif, host)):
            words = "with" if own else "without"
            kept = (f"is and stays {words} a bridge of its own until unplugged", *kept)
        elif asked_for:
            own = True
        ports = ownbridge.parts(vif, host, port, bridge) if own else (port,)
        return (tap, *ports), premade.interface(vif, host, tap, guest, None), kept

    def _automatic(
        self, vif: VIF, host: Host, guest: GuestSide
    ) -> tuple[tuple[Part, ...], Interface, tuple[str, ...]]:
        assert vif.network.bridge is not None  # noqa: S101 - required
        interface_id = vif.interface_id or vif.id
        interface = Interface(
            type="bridge",
            mac=vif.address,
            guest=guest,
            source=(("bridge", vif.network.bridge),),
            mtu=vif.network.mtu,
            target=vif.devname or derived_name("tap", vif.id),
            virtualport=VirtualPort(
                type="openvswitch", parameters=(("interfaceid", interface_id),)
            ),
        )
        return (Claim(on=vif.network.bridge, interface_id=interface_id),), interface, ()

    def _hybrid(
        self, vif: VIF, host: Host, guest: GuestSide
    ) -> tuple[tuple[Part, ...], Interface, tuple[str, ...]]:
        qbr, qvb, qvo = (derived_name(prefix, vif.id) for prefix in ("qbr", "qvb", "qvo"))
        tap = vif.devname or derived_name("tap", vif.id)
        parts = (
            FilterBridge(name=qbr),
            Veth(name=qvb, peer=qvo, mtu=vif.network.mtu or host.mtu),
            BridgePort(device=qvb, bridge=qbr),
            switch.port_of(vif, host, self.options, qvo, self._bridge(vif), guest=tap),
        )
        filterref = None
        if host.firewall and not vif.filtered:
            filterref = filter_of(vif, self.options)
        interface = Interface(
            type="bridge",
            mac=vif.address,
            guest=guest,
            source=(("bridge", qbr),),
            mtu=vif.network.mtu,
            target=tap,
            filterref=filterref,
        )
        return parts, interface, ()

    def _bridge(self, vif: VIF) -> Bridge:
        datapath_type = self.details_of(vif).datapath_type
        return switch.bridge_of(vif, self.options, datapath_type=datapath_type)

    def doctor(self, host: Host) -> Iterable[Check]:
        yield from switch.checks(host, self.options)
        yield from premade.checks(host)


def _has_a_port(vif: VIF, host: Host) -> bool:
    """Whether the switch has the VIF: a tap alone may be that of a plug at work, not in it yet."""
    return bool(host.ovs and host.ovs.of(vif.id, vif.interface_id or vif.id))
