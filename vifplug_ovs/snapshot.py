# SPDX-License-Identifier: Apache-2.0
"""Open vSwitch as planning may know it: a plain value, from its reader or from a test's host.json.

The fields' names are those of the database's columns, see ovs-vswitchd.conf.db(5). Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

from vifplug import fields
from vifplug.errors import NO_VIF, OVSDBError
from vifplug.fields import BOOLEAN, Integer, Many, Record, Table, declared
from vifplug.model.host import Host
from vifplug.model.mark import Mark, Owner, derived_name
from vifplug.switch import Snapshot, SwitchPort, Trace
from vifplug_ovs.index import IFACE_ID as IFACE_ID
from vifplug_ovs.index import MARK as MARK
from vifplug_ovs.index import VIF_ID as VIF_ID
from vifplug_ovs.index import Index, interface_id_in
from vifplug_ovs.left import left
from vifplug_ovs.names import DEAD_VLAN, OWN_BRIDGE
from vifplug_ovs.shown import all_ports

VHOST_USER = ("dpdkvhostuser", "dpdkvhostuserclient")
"""The types of port whose guest is attached by a socket: the switch is its server, or client."""

NOT_READ = "it was not read"

_DEVICES = ("", "internal")
"""The types of port that may be devices of the kernel."""

_ANY = fields.Text(r"(?s).{0,4096}", "text")
_OFPORT = Integer(-1, 2**32 - 1)


@dataclass(frozen=True, kw_only=True)
class OvsPort:
    """A port and its one interface, which has the same name.

    ``external_ids`` are the interface's, ``marks`` those of our keys that the port itself has.
    ``ofport``, ``error`` and ``link_state`` are vswitchd's answer: all None before it answers.
    ``tag`` is the port's VLAN, which Neutron's agent gives it.
    """

    type: str = declared(_ANY, default="")
    ofport: int | None = declared(_OFPORT, default=None)
    error: str | None = declared(_ANY, default=None)
    link_state: str | None = declared(_ANY, default=None)
    options: Mapping[str, str] = declared(Table(_ANY), default_factory=dict)
    mtu_request: int | None = declared(_OFPORT, default=None)
    external_ids: Mapping[str, str] = declared(Table(_ANY), default_factory=dict)
    marks: Mapping[str, str] = declared(Table(_ANY), default_factory=dict)
    transient: bool = declared(BOOLEAN, default=False)
    tag: int | None = declared(Integer(0, 4095), default=None)
    row: str = declared(_ANY, default="")
    interface: str = declared(_ANY, default="")

    @property
    def mark(self) -> Mark | None:
        """The mark that we gave the port."""
        return Mark.parse(self.marks.get(MARK, ""))

    @property
    def by_libvirt(self) -> bool:
        """Whether libvirt made the port: it notes the guest's uuid under a key of its own."""
        return "vm-id" in self.external_ids

    @property
    def instance(self) -> str | None:
        """The uuid of the guest that the port was made for."""
        return self.external_ids.get("vm-uuid") or self.external_ids.get("vm-id")

    @property
    def vhost_user(self) -> bool:
        """Whether a guest is attached by a socket: the kernel has no device for the port."""
        return self.type in VHOST_USER

    @property
    def in_use(self) -> bool:
        """Whether a guest is attached, as far as the database tells.

        Either the guest has its vhost-user socket open, or libvirt made the port for the guest.
        """
        if self.vhost_user:
            return self.link_state == "up"
        return self.by_libvirt and not self.error


@dataclass(frozen=True, kw_only=True)
class OvsBridge:
    """A bridge, those of its ports that we know, and claims on it.

    ``claims`` are texts of marks, each with the interface id that it notes. Files hold them, see
    ``vifplug_ovs.claims``. ``marks`` are those of our keys that the bridge has: we made it, or it
    is a VIF's own.
    """

    datapath_type: str = declared(_ANY, default="")
    claims: Mapping[str, str] = declared(Table(_ANY), default_factory=dict)
    marks: Mapping[str, str] = declared(Table(_ANY), default_factory=dict)
    ports: Mapping[str, OvsPort] = declared(Table(Record(OvsPort)), default_factory=dict)
    row: str = declared(_ANY, default="")

    @property
    def claimed(self) -> Iterator[Mark]:
        """The claims, each with its interface id as data, which a host's description leaves out."""
        for text, interface_id in self.claims.items():
            if claim := Mark.parse(text):
                yield claim if claim.data else replace(claim, data=(interface_id,))

    @property
    def mark(self) -> Mark | None:
        """The mark that we gave a VIF's own bridge; None for a shared one."""
        return Mark.parse(self.marks.get(MARK, ""))


@dataclass(frozen=True, kw_only=True)
class FakeBridge:
    """A bridge of ovs-vsctl's alone: the ports of a VLAN on a real bridge."""

    bridge: str = declared(_ANY)
    vlan: int | None = declared(Integer(0, 4095), default=None)


@dataclass(frozen=True, kw_only=True)
class Ovn:
    """What a host that is part of an OVN says: its southbound database, and its controller.

    ``bridge`` is the bridge whose ports the controller wires.
    ``connection`` is ovn-controller's word for its connection to the database. ``error`` says why
    the controller gave no word. ``absent``: the controller does not run.
    """

    remote: str = declared(_ANY)
    bridge: str = declared(_ANY, default="br-int")
    connection: str | None = declared(_ANY, default=None)
    error: str | None = declared(_ANY, default=None)
    absent: bool = declared(BOOLEAN, default=False)


@dataclass(frozen=True, kw_only=True)
class Ovs(Snapshot):
    """What a database said. ``error`` is why it could not be read; then the rest is empty.

    ``absent``: there is no such socket, as on a host without Open vSwitch. ``mend`` is what an
    operator can do about another ``error``. ``types`` are the types of port that the switch knows,
    and ``ovn`` is the host's OVN, if these were read. ``qos`` are the ids of VIFs that have a QoS
    row of ours: it outlives a port that another program deletes. ``database`` is the UUID of the
    row of table Open_vSwitch. ``lost`` are the ids of VIFs whose claims lead to no bridge any more,
    or can't be read. ``fakes`` are fake bridges among those that VIFs name.
    """

    key: ClassVar[str] = "ovs"

    endpoint: str = declared(_ANY, default="unix:/run/openvswitch/db.sock")
    version: str | None = declared(_ANY, default=None)
    error: str | None = declared(_ANY, default=None)
    absent: bool = declared(BOOLEAN, default=False)
    mend: str = declared(_ANY, default="")
    types: tuple[str, ...] = declared(Many(_ANY), default=())
    ovn: Ovn | None = declared(Record(Ovn), default=None)
    qos: tuple[str, ...] = declared(Many(_ANY, most=1 << 20), default=())
    database: str = declared(_ANY, default="")
    lost: tuple[str, ...] = declared(Many(_ANY, most=1 << 20), default=())
    bridges: Mapping[str, OvsBridge] = declared(Table(Record(OvsBridge)), default_factory=dict)
    fakes: Mapping[str, FakeBridge] = declared(Table(Record(FakeBridge)), default_factory=dict)

    @property
    def failure(self) -> OVSDBError | None:
        """The error for a caller that needs the database, where it can't be read."""
        return OVSDBError(NO_VIF, self.endpoint, self.error) if self.error else None

    def planning(self) -> PlannedOvs:
        return PlannedOvs.on(self)

    def bridge(self, name: str) -> OvsBridge | None:
        """Return the bridge of this name."""
        return self.bridges.get(name)

    def token(self, name: str) -> str:
        """Return the token of the claims on a bridge that is there."""
        return token_of(self.database, self.bridges[name].row)

    def has(self, token: str) -> bool:
        """Whether a token is that of a bridge in this database, there or gone."""
        return bool(self.database) and token.startswith(token_of(self.database, ""))

    def ports(self) -> Iterator[tuple[str, str, OvsPort]]:
        """Yield (bridge, port's name, port)."""
        for name, bridge in self.bridges.items():
            for port_name, port in bridge.ports.items():
                yield name, port_name, port

    def port(self, name: str) -> tuple[str, OvsPort] | None:
        """Return the bridge that has a port of this name, and the port."""
        for bridge_name, bridge in self.bridges.items():
            if name in bridge.ports:
                return bridge_name, bridge.ports[name]
        return None

    @cached_property
    def _index(self) -> Index:
        return Index(self.bridges)

    def has_port(self, name: str) -> bool:
        return self.port(name) is not None

    def bearing(self, interface_id: str) -> dict[str, tuple[str, OvsPort]]:
        """Return by name the ports with this iface-id, whoever made them, and their bridges."""
        return dict(self._index.bearing.get(interface_id, {}))

    def marked(self, vif_id: str) -> dict[str, tuple[str, OvsPort]]:
        """Return by name the ports that carry this VIF's mark, and their bridges."""
        return dict(self._index.marked.get(vif_id, {}))

    def claims(self, vif_id: str) -> list[tuple[str, Mark]]:
        """Return the bridges that a VIF claims, and its claims."""
        return list(self._index.claims.get(vif_id, {}))

    def other_holder(self, interface_id: str, vif_id: str) -> str | None:
        return self._index.other_holder(interface_id, vif_id)

    def of(self, vif_id: str, interface_id: str | None = None) -> dict[str, tuple[str, OvsPort]]:
        """Return by name all ports that are a VIF's: by mark, or by iface-id, whoever made them.

        A VIF's iface-id is the one given, those that its claims and marked ports note, or its id.
        An id that another VIF holds is none of its own.
        """
        ports = self.marked(vif_id)
        noted = (interface_id_in(claim) for _, claim in self.claims(vif_id))
        ids = {interface_id or vif_id, *noted}
        ids |= {port.external_ids.get(IFACE_ID, "") for _, port in ports.values()}
        for iface_id in ids - {""}:
            if self.other_holder(iface_id, vif_id) is None:
                ports |= self.bearing(iface_id)
        return {n: p for n, p in ports.items() if p[1].marks.get(VIF_ID, vif_id) == vif_id}

    def own_bridge(self, vif_id: str) -> str | None:
        """Return the name of the bridge that is a VIF's own: ours, or one that os-vif made."""
        name = derived_name(OWN_BRIDGE, vif_id)
        bridge = self.bridge(name)
        if bridge is None or bridge.claims or bridge.marks.get(VIF_ID, vif_id) != vif_id:
            return None
        return name

    def traces(self, vif_id: str | None = None, interface_id: str | None = None) -> Iterator[Trace]:
        for each in self.ours() if vif_id is None else (vif_id,):
            yield from self._traces_of(each, interface_id)

    def all_ports(self) -> Iterator[SwitchPort]:
        return all_ports(self)

    def left(self, host: Host) -> Iterator[Trace]:
        return left(self, host)

    def ours(self) -> Iterable[str]:
        """Return the ids of the VIFs of which we made something."""
        own = (bridge.marks.get(VIF_ID) for bridge in self.bridges.values())
        vif_ids = (*self._index.marked, *self._index.claims, *own, *self.qos)
        return dict.fromkeys(vif_id for vif_id in vif_ids if vif_id)

    def _traces_of(self, vif_id: str, interface_id: str | None) -> Iterator[Trace]:
        """Yield what the database has of a VIF: its ports, its claims, its own bridge, its QoS."""
        ports = self.of(vif_id, interface_id)
        for name, (bridge, port) in ports.items():
            yield _trace_of_port(vif_id, bridge, name, port)
        for bridge, claim in self.claims(vif_id):
            yield Trace(
                vif_id=vif_id, vif_type=claim.vif_type, process=claim.process, bridge=bridge
            )
        if own := self.own_bridge(vif_id):
            mark = self.bridges[own].mark
            yield Trace(
                vif_id=vif_id,
                vif_type=mark.vif_type if mark else "",
                process=mark.process if mark else "",
                bridge=own,
                main=False,
            )
        if (not ports and vif_id in self.qos) or vif_id in self.lost:
            yield Trace(vif_id=vif_id)


def _trace_of_port(vif_id: str, bridge: str, name: str, port: OvsPort) -> Trace:
    """Return the trace of one port of a VIF.

    A port that another program made, and that vswitchd could not open, has no device.
    """
    mark = port.mark
    return Trace(
        vif_id=vif_id,
        vif_type=mark.vif_type if mark else "",
        process=mark.process if mark else "",
        bridge=bridge,
        devices=(name,) if port.type in _DEVICES else (),
        ports=(name,) if port.vhost_user else (),
        in_use=port.in_use,
        main=IFACE_ID in port.external_ids,
        dead=VIF_ID not in port.marks and bool(port.error),
        unwired=f"dead VLAN {DEAD_VLAN}" if port.tag == DEAD_VLAN else "",
        address=port.external_ids.get("attached-mac"),
        instance=port.instance,
        vlan=port.tag,
        drift=(f"{name}: {port.error}",) if VIF_ID in port.marks and port.error else (),
    )


def token_of(database: str, row: str) -> str:
    """Return the token of the claims on a bridge, from the UUIDs of its database and its row."""
    return f"{Ovs.key}-{database}-{row}"


class PlannedOvs(Ovs):
    """Open vSwitch as it will be: a scratch pad on which plans note what they will have made."""

    @classmethod
    def on(cls, base: Ovs) -> PlannedOvs:
        """Return a pad that starts as ``base`` is."""
        bridges = {
            name: replace(bridge, claims=dict(bridge.claims), ports=dict(bridge.ports))
            for name, bridge in base.bridges.items()
        }
        return cls(
            endpoint=base.endpoint,
            version=base.version,
            error=base.error,
            absent=base.absent,
            types=base.types,
            ovn=base.ovn,
            qos=base.qos,
            database=base.database,
            lost=base.lost,
            bridges=bridges,
            fakes=base.fakes,
        )

    @cached_property
    def fixed(self) -> set[str]:
        """The bridges whose own MTU a plan fixes."""
        return set()

    def put_bridge(self, name: str, bridge: OvsBridge | None) -> None:
        """Note a bridge as made or changed, or as gone."""
        self._index.put_bridge(name, self.bridge(name), bridge)
        _put(self.bridges, name, bridge)

    def put_port(self, bridge: str, name: str, port: OvsPort | None) -> None:
        """Note a port as made or changed, or as gone."""
        if bridge in self.bridges:
            ports = self.bridges[bridge].ports
            self._index.put_port(bridge, name, ports.get(name), port)
            _put(ports, name, port)

    def put_claim(self, bridge: str, claim: Mark, there: bool) -> None:
        """Note a claim as made, or as gone."""
        if bridge in self.bridges:
            self._index.put_claim(bridge, claim, there)
            claims = self.bridges[bridge].claims
            _put(claims, str(claim), interface_id_in(claim) if there else None)
            _put(claims, str(replace(claim, data=())), None)  # as a host's description has it


def _put(table: Mapping[str, object], name: str, value: object | None) -> None:
    assert isinstance(table, dict)  # noqa: S101 - copied in on()
    if value is None:
        table.pop(name, None)
    else:
        table[name] = value


def planned(host: Host) -> PlannedOvs:
    """Return the scratch pad for Open vSwitch, of a host that is being planned."""
    pad = host.switch(PlannedOvs)
    assert pad is not None  # noqa: S101 - readable() and planning() came first
    return pad


def readable(owner: Owner, host: Host) -> Ovs:
    """Return what a VIF's parts may know of Open vSwitch. Raises OVSDBError."""
    ovs = host.switch(Ovs)
    if ovs is None or ovs.error:
        endpoint = ovs.endpoint if ovs else "-"
        raise OVSDBError(owner.vif_id, endpoint, (ovs and ovs.error) or NOT_READ)
    return ovs
