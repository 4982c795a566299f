# SPDX-License-Identifier: Apache-2.0
"""Open vSwitch as planning may know it: a plain value, whoever read it.

Tests build it from ``host.json``; on a running host the plugin for Open vSwitch reads what the
VIFs at hand need of it. Names of fields are those of the columns, see ovs-vswitchd.conf.db(5).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from vifplug import fields
from vifplug.errors import OVSDBError
from vifplug.fields import BOOLEAN, Integer, Many, Record, Table, declared
from vifplug.model.host import Host
from vifplug.model.mark import PREFIX, Mark, Owner

MARK, VIF_ID = "vifplug", "vifplug-id"
"""The keys in the external_ids of our rows: the mark, and the id by which a VIF's are found."""

IFACE_ID = "iface-id"
VHOST_USER = ("dpdkvhostuser", "dpdkvhostuserclient")
"""The types of port whose guest is attached by a socket; the switch's end is server, or client."""

_ANY = fields.Text(r"(?s).{0,4096}", "text")
_OFPORT = Integer(-1, 2**32 - 1)


@dataclass(frozen=True, kw_only=True)
class OvsPort:
    """A port and its one interface, which has the same name.

    ``external_ids`` are the interface's, ``marks`` those of our keys that the port itself has.
    ``ofport``, ``error`` and ``link_state`` are vswitchd's answer; before it has one, all are None.
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
        """Whether a guest is attached by a socket: there is no device of the kernel's."""
        return self.type in VHOST_USER


@dataclass(frozen=True, kw_only=True)
class OvsBridge:
    """A bridge, the claims on it (from claim to interface id), and those of its ports we know.

    ``marks`` are those of our keys that it has: it is a VIF's own.
    """

    datapath_type: str = declared(_ANY, default="")
    claims: Mapping[str, str] = declared(Table(_ANY), default_factory=dict)
    marks: Mapping[str, str] = declared(Table(_ANY), default_factory=dict)
    ports: Mapping[str, OvsPort] = declared(Table(Record(OvsPort)), default_factory=dict)
    row: str = declared(_ANY, default="")


@dataclass(frozen=True, kw_only=True)
class Ovn:
    """What a host that is part of an OVN says: its southbound database, and its controller.

    ``connection`` is ovn-controller's word for that with the database; without one, ``error`` is
    why it was not to be had. ``absent``: it does not run.
    """

    remote: str = declared(_ANY)
    connection: str | None = declared(_ANY, default=None)
    error: str | None = declared(_ANY, default=None)
    absent: bool = declared(BOOLEAN, default=False)


@dataclass(frozen=True, kw_only=True)
class Ovs:
    """What a database said. ``error`` is why it could not be read; then the rest is empty.

    ``absent``: there is no such socket, as on a host without Open vSwitch. ``types`` are those
    that the switch knows of ports, if they were read; so with ``ovn``. ``qos`` are the ids of VIFs
    that have a QoS row of ours, which outlives a port that somebody deletes.
    """

    endpoint: str = declared(_ANY, default="unix:/run/openvswitch/db.sock")
    version: str | None = declared(_ANY, default=None)
    error: str | None = declared(_ANY, default=None)
    absent: bool = declared(BOOLEAN, default=False)
    types: tuple[str, ...] = declared(Many(_ANY), default=())
    ovn: Ovn | None = declared(Record(Ovn), default=None)
    qos: tuple[str, ...] = declared(Many(_ANY, most=1 << 20), default=())
    bridges: Mapping[str, OvsBridge] = declared(Table(Record(OvsBridge)), default_factory=dict)

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

    def marks(self) -> Iterator[Mark]:
        """Yield the marks of all ports and the claims on all bridges."""
        for bridge in self.bridges.values():
            yield from (mark for port in bridge.ports.values() if (mark := port.mark))
            claims = (mark for key in bridge.claims if (mark := Mark.parse(key)))
            yield from (claim for claim in claims if not claim.shared)

    def has(self, vif_id: str, interface_id: str | None = None) -> bool:
        """Whether anything here is a VIF's."""
        own = (bridge.marks.get(VIF_ID) == vif_id for bridge in self.bridges.values())
        noted = self.of(vif_id, interface_id) or self.claims(vif_id) or vif_id in self.qos
        return bool(noted) or any(own)

    def of(self, vif_id: str, interface_id: str | None = None) -> dict[str, tuple[str, OvsPort]]:
        """Return by name all ports that are a VIF's: by mark, or by iface-id, whoever made them.

        A VIF's iface-id is the one given, those that its claims and marked ports note, or its id.
        """
        found = self.marked(vif_id)
        known = {interface_id or vif_id, *(noted for _, _, noted in self.claims(vif_id))}
        known |= {port.external_ids.get(IFACE_ID, "") for _, port in found.values()}
        for one in known - {""}:
            found |= self.bearing(one)
        return {n: f for n, f in found.items() if f[1].marks.get(VIF_ID, vif_id) == vif_id}


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
            endpoint=base.endpoint, version=base.version, error=base.error, types=base.types,
            ovn=base.ovn, qos=base.qos, bridges=bridges,
        )  # fmt: skip

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


def readable(owner: Owner, host: Host) -> Ovs:
    if host.ovs is None or host.ovs.error:
        endpoint = host.ovs.endpoint if host.ovs else "-"
        why = host.ovs.error if host.ovs and host.ovs.error else "nobody has read it"
        raise OVSDBError(owner.vif_id, endpoint, why)
    return host.ovs
