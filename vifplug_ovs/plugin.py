# SPDX-License-Identifier: Apache-2.0
"""What a VIF on Open vSwitch needs: manual, automatic or hybrid. Pure: see VIFPlugin.wire."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from vifplug import premade
from vifplug.fields import BOOLEAN, declared
from vifplug.host import Host
from vifplug.interface import GuestSide, Interface, VirtualPort, left_out
from vifplug.mark import derived_name
from vifplug.nwfilter import filter_of
from vifplug.parts import BridgePort, FilterBridge, Part, Veth
from vifplug.plugin import Check, VIFPlugin
from vifplug.vif import VIF
from vifplug.wiring import Wiring
from vifplug_ovs import opts
from vifplug_ovs.parts import DATAPATHS, Bridge, Claim, Port
from vifplug_ovs.process import AUTOMATIC, HYBRID, MANUAL, choose

_PINS = ("ovs_hybrid_plug", "ovs_create_tap", "delegate_create")


@dataclass(frozen=True, kw_only=True)
class OvsDetails:
    """The details of vif_type ovs, in the words of Neutron's binding:vif_details.

    ``ovs_hybrid_plug`` and ``ovs_create_tap`` pin the process to hybrid and to manual;
    ``delegate_create``, which is Nova's, has manual stand in for automatic;
    ``datapath_type`` is that of a bridge which is made.
    """

    datapath_type: str | None = declared(DATAPATHS, default=None)
    ovs_hybrid_plug: bool = declared(BOOLEAN, default=False)
    ovs_create_tap: bool = declared(BOOLEAN, default=False)
    delegate_create: bool = declared(BOOLEAN, default=False)


class OvsPlugin(VIFPlugin):
    """vif_type ``ovs``: the guest on a shared Open vSwitch bridge.

    manual: a tap and its port are made beforehand. automatic: libvirt makes both. hybrid: the
    guest is on a Linux bridge of its own, where the host can filter, and a wire goes to the port.
    """

    api_version = 1
    details = OvsDetails
    required = ("network.bridge",)
    defaults: ClassVar[Mapping[str, str]] = {"network.bridge": "integration_bridge"}
    group = opts.GROUP
    opts = opts.OPTS
    looks = "look"
    database = True

    def wire(self, vif: VIF, host: Host) -> Wiring:
        details = self.details_of(vif)
        pins = {n: getattr(details, n) for n in _PINS}
        choice = choose(vif, host, details=pins, pinned=self.options["process"])
        guest = GuestSide.of(vif, host)
        build = {MANUAL: self._manual, AUTOMATIC: self._automatic, HYBRID: self._hybrid}
        parts, interface, notes = build[choice.process](vif, host, guest)
        if host.firewall and not vif.filtered and choice.process != HYBRID:
            notes = (f"{choice.process} leaves out the firewall that this host requires", *notes)
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
        return (
            (tap, self._port(vif, host, name)),
            premade.interface(vif, host, tap, guest, None),
            kept,
        )

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
        parts = (
            FilterBridge(name=qbr),
            Veth(name=qvb, peer=qvo, mtu=vif.network.mtu or host.mtu),
            BridgePort(device=qvb, bridge=qbr),
            self._port(vif, host, qvo),
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
            target=vif.devname or derived_name("tap", vif.id),
            filterref=filterref,
        )
        return parts, interface, ()

    def _bridge(self, vif: VIF) -> Bridge:
        assert vif.network.bridge is not None  # noqa: S101 - required
        return Bridge(
            name=vif.network.bridge,
            create=vif.network.should_create_bridge and not vif.network.multi_host,
            datapath_type=self.details_of(vif).datapath_type or self.options["datapath_type"],
        )

    def _port(self, vif: VIF, host: Host, name: str) -> Port:
        assert vif.network.bridge is not None  # noqa: S101 - required
        known = host.ovs.bridge(vif.network.bridge) if host.ovs else None
        made = self._bridge(vif).datapath_type
        datapath = known.datapath_type if known else made
        return Port(
            name=name,
            bridge=vif.network.bridge,
            interface_id=vif.interface_id or vif.id,
            address=vif.address,
            vm=vif.instance.uuid,
            mtu=vif.network.mtu or host.mtu,
            # Other datapaths have no queueing disciplines.
            qos_type=self.options["qos_type"] if datapath in ("", "system") else "",
        )

    def doctor(self, host: Host) -> Iterable[Check]:
        ovs = host.ovs
        endpoint = ovs.endpoint if ovs else self.options["ovsdb_connection"]
        why = ovs.error if ovs else "nobody has read it"
        version = f", Open vSwitch {ovs.version}" if ovs and ovs.version else ""
        # A host without Open vSwitch is nothing to mend.
        well = not why or (ovs is not None and ovs.absent)
        yield Check(
            check="OVSDB",
            ok=well,
            detail=f"{endpoint}: {why}" if why else f"{endpoint} answers{version}",
            mend="" if well else "start openvswitch-switch, or set [vifplug_ovs] ovsdb_connection",
        )
        yield from premade.checks(host)
