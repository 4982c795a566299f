# SPDX-License-Identifier: Apache-2.0
"""Open vSwitch as planning may know it: a plain value, from its reader or from a test's host.json.

The fields' names are those of the database's columns, see ovs-vswitchd.conf.db(5). Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from vifplug import fields
from vifplug.errors import NO_VIF, OVSDBError
from vifplug.fields import BOOLEAN, Integer, Many, Record, Table, declared
from vifplug.model.host import Host
from vifplug.model.mark import PREFIX, Mark, Owner, derived_name
from vifplug.switch import Snapshot, Trace
from vifplug_ovs.names import OWN_BRIDGE

MARK, VIF_ID = "vifplug", "vifplug-id"
"""The keys in the external_ids of our rows: the mark, and the id by which a VIF's are found."""

IFACE_ID = "iface-id"
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


Ports = Mapping[str, tuple[str, OvsPort]]
"""Ports by name, each with the name of its bridge."""

Claims = Sequence[tuple[str, Mark, str]]
"""Claims, each with the bridge's name before it and the noted interface id after it."""


@dataclass(frozen=True, kw_only=True)
class OvsBridge:
    """A bridge, the claims on it (from claim to interface id), and those of its ports we know.

    ``marks`` are those of our keys that the bridge has: we made it, or it is a VIF's own.
    """

    datapath_type: str = declared(_ANY, default="")
    claims: Mapping[str, str] = declared(Table(_ANY), default_factory=dict)
    marks: Mapping[str, str] = declared(Table(_ANY), default_factory=dict)
    ports: Mapping[str, OvsPort] = declared(Table(Record(OvsPort)), default_factory=dict)
    row: str = declared(_ANY, default="")

    @property
    def mark(self) -> Mark | None:
        """The mark that we gave a VIF's own bridge; None for a shared one."""
        return Mark.parse(self.marks.get(MARK, ""))


@dataclass(frozen=True, kw_only=True)
class Ovn:
    """What a host that is part of an OVN says: its southbound database, and its controller.

    ``connection`` is ovn-controller's word for its connection to the database. ``error`` says why
    the controller gave no word. ``absent``: the controller does not run.
    """

    remote: str = declared(_ANY)
    connection: str | None = declared(_ANY, default=None)
    error: str | None = declared(_ANY, default=None)
    absent: bool = declared(BOOLEAN, default=False)


@dataclass(frozen=True, kw_only=True)
class Ovs(Snapshot):
    """What a database said. ``error`` is why it could not be read; then the rest is empty.

    ``absent``: there is no such socket, as on a host without Open vSwitch. ``types`` are the types
    of port that the switch knows, and ``ovn`` is the host's OVN, if these were read. ``qos`` are
    the ids of VIFs that have a QoS row of ours: it outlives a port that another program deletes.
    """

    key: ClassVar[str] = "ovs"

    endpoint: str = declared(_ANY, default="unix:/run/openvswitch/db.sock")
    version: str | None = declared(_ANY, default=None)
    error: str | None = declared(_ANY, default=None)
    absent: bool = declared(BOOLEAN, default=False)
    types: tuple[str, ...] = declared(Many(_ANY), default=())
    ovn: Ovn | None = declared(Record(Ovn), default=None)
    qos: tuple[str, ...] = declared(Many(_ANY, most=1 << 20), default=())
    bridges: Mapping[str, OvsBridge] = declared(Table(Record(OvsBridge)), default_factory=dict)

    @property
    def failure(self) -> OVSDBError | None:
        """The error for a caller that needs the database, where it can't be read."""
        return OVSDBError(NO_VIF, self.endpoint, self.error) if self.error else None

    def planning(self) -> PlannedOvs:
        return PlannedOvs.on(self)

    def bridge(self, name: str) -> OvsBridge | None:
        """Return the bridge of this name."""
        return self.bridges.get(name)

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

    def bearing(self, interface_id: str) -> dict[str, tuple[str, OvsPort]]:
        """Return by name the ports with this iface-id, whoever made them, and their bridges."""
        return {
            name: (bridge, port)
            for bridge, name, port in self.ports()
            if port.external_ids.get(IFACE_ID) == interface_id
        }

    def marked(self, vif_id: str) -> dict[str, tuple[str, OvsPort]]:
        """Return by name the ports that carry this VIF's mark, and their bridges."""
        return {
            name: (bridge, port)
            for bridge, name, port in self.ports()
            if port.marks.get(VIF_ID) == vif_id
        }

    def claims(self, vif_id: str) -> list[tuple[str, Mark, str]]:
        """Return the bridges that a VIF claims, its claims and the interface ids noted there."""
        start = f"{PREFIX}{vif_id}:"
        return [
            (name, mark, interface_id)
            for name, bridge in self.bridges.items()
            for key, interface_id in bridge.claims.items()
            if key.startswith(start) and (mark := Mark.parse(key))
        ]

    def of(self, vif_id: str, interface_id: str | None = None) -> dict[str, tuple[str, OvsPort]]:
        """Return by name all ports that are a VIF's: by mark, or by iface-id, whoever made them.

        A VIF's iface-id is the one given, those that its claims and marked ports note, or its id.
        """
        ports = self.marked(vif_id)
        ids = {interface_id or vif_id, *(noted for _, _, noted in self.claims(vif_id))}
        ids |= {port.external_ids.get(IFACE_ID, "") for _, port in ports.values()}
        for iface_id in ids - {""}:
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
        if vif_id is None:
            return self._traces_of_ours()
        return self._traces_of(vif_id, self.of(vif_id, interface_id), self.claims(vif_id))

    def _traces_of(self, vif_id: str, ports: Ports, claims: Claims) -> Iterator[Trace]:
        """Yield what the database has of a VIF: its ports, its claims, its own bridge, its QoS."""
        for name, (bridge, port) in ports.items():
            yield _trace_of_port(vif_id, bridge, name, port)
        for bridge, claim, _ in claims:
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
        if not ports and vif_id in self.qos:
            yield Trace(vif_id=vif_id)

    def _traces_of_ours(self) -> Iterator[Trace]:
        """Yield the traces of each VIF of which we made something, in one walk over the ports."""
        claims: dict[str, list[tuple[str, Mark, str]]] = {}
        vif_ids = dict.fromkeys(
            port.marks[VIF_ID] for _, _, port in self.ports() if VIF_ID in port.marks
        )
        for name, bridge in self.bridges.items():
            if VIF_ID in bridge.marks:
                vif_ids[bridge.marks[VIF_ID]] = None
            for key, noted in bridge.claims.items():
                if mark := Mark.parse(key):
                    claims.setdefault(mark.vif_id, []).append((name, mark, noted))
        vif_ids |= dict.fromkeys((*claims, *self.qos))
        bearers = {noted: vif_id for vif_id, each in claims.items() for _, _, noted in each}
        bearers |= {
            port.external_ids[IFACE_ID]: port.marks[VIF_ID]
            for _, _, port in self.ports()
            if VIF_ID in port.marks and IFACE_ID in port.external_ids
        }
        bearers |= {vif_id: vif_id for vif_id in vif_ids}
        ports: dict[str, dict[str, tuple[str, OvsPort]]] = {vif_id: {} for vif_id in vif_ids}
        for bridge_name, name, port in self.ports():
            vif_id = port.marks.get(VIF_ID) or bearers.get(port.external_ids.get(IFACE_ID, ""))
            if vif_id is not None:
                ports[vif_id][name] = bridge_name, port
        for vif_id in vif_ids:
            yield from self._traces_of(vif_id, ports[vif_id], claims.get(vif_id, ()))


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
    )


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
            bridges=bridges,
        )

    def put_bridge(self, name: str, bridge: OvsBridge | None) -> None:
        """Note a bridge as made or changed, or as gone."""
        _put(self.bridges, name, bridge)

    def put_port(self, bridge: str, name: str, port: OvsPort | None) -> None:
        """Note a port as made or changed, or as gone."""
        if bridge in self.bridges:
            _put(self.bridges[bridge].ports, name, port)

    def put_claim(self, bridge: str, claim: str, interface_id: str | None) -> None:
        """Note a claim as made, or as gone."""
        if bridge in self.bridges:
            _put(self.bridges[bridge].claims, claim, interface_id)


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
