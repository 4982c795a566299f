# SPDX-License-Identifier: Apache-2.0
"""Questions to Open vSwitch's database, and the snapshot that their answers make."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vifplug.errors import NO_VIF, OVSDBError
from vifplug.model.mark import derived_name
from vifplug_ovs.names import OWN_BRIDGE
from vifplug_ovs.operations.ports import AddPort
from vifplug_ovs.ovsdb.connection import Connection, first_error
from vifplug_ovs.ovsdb.requests import Request, as_map, by_row, named, select
from vifplug_ovs.ovsdb.rows import Row, bridge_of, plain_row, port_of
from vifplug_ovs.snapshot import IFACE_ID, VIF_ID, FakeBridge, Ovn, Ovs, OvsPort

_MANY = 8
"""For this many VIFs and more, everything is read: that takes fewer questions."""

_SWITCH = ["_uuid", "external_ids"]
_BRIDGE = ["name", "_uuid", "datapath_type"]
_OWN_BRIDGE = [*_BRIDGE, "external_ids"]
_PORT = ["name", "_uuid", "external_ids", "other_config", "tag"]
_FAKE = ["name", "_uuid", "fake_bridge", "tag"]
_INTERFACE = ["name", "_uuid", "type", "ofport", "error", "link_state", "mtu_request", "options",
              "external_ids"]  # fmt: skip
_NO_SWITCH: Row = {"_uuid": "", "ovs_version": None, "iface_types": None, "external_ids": {}}


@dataclass(frozen=True, kw_only=True)
class Sought:
    """What is to be read for one VIF: the rows that bear its mark or ids, and ``ports`` by name.

    Without ``interface_id`` that is the VIF's id. ``bridge`` is read where it is named.
    """

    vif_id: str
    interface_id: str | None = None
    bridge: str | None = None
    ports: tuple[str, ...] = ()

    @property
    def iface_id(self) -> str:
        """The iface-id that the VIF's ports bear, as far as the caller knows."""
        return self.interface_id or self.vif_id


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What is to be read of some VIFs, or with None everything.

    ``bridges`` are the UUIDs of further bridges' rows, and ``interface_ids`` the iface-ids of
    further ports. Claims tell them.
    """

    sought: Sequence[Sought] | None
    bridges: frozenset[str] = frozenset()
    interface_ids: frozenset[str] = frozenset()


def read(
    connection: Connection,
    reading: Reading,
    *,
    deadline: float,
    after: Request | None = None,
    added: Sequence[AddPort] = (),
    meanwhile: Callable[[], object] | None = None,
) -> Ovs:
    """Return what the database has of some VIFs, or all that it has; without claims.

    ``after`` is a ``wait`` that comes first. ``added`` are ports of the transaction before: they
    are read by their rows' UUIDs, so that the server need not go over all its rows. ``meanwhile``
    is called while the server works. Raises OVSDBError, Unanswered, Lost, and TimedOut of the
    ``wait``.
    """
    ask = _Questions(connection, deadline, after, meanwhile)
    if reading.sought is None or len(reading.sought) >= _MANY:
        found = _everything(ask)
    else:
        found = _some(ask, reading, {operation.device: operation for operation in added})
    named_ones = {vif.bridge for vif in reading.sought or () if vif.bridge}
    fakes = _fakes(ask, sorted(named_ones - found.bridges.keys()))
    return dataclasses.replace(found, fakes=fakes) if fakes else found


class TimedOut(Exception):
    """The ``wait`` of a reading has ended without the rows that it waits for."""


@dataclass
class _Questions:
    connection: Connection
    deadline: float
    after: Request | None
    meanwhile: Callable[[], object] | None

    def rows(self, requests: Sequence[Request]) -> list[list[Row]]:
        """Return the rows that each select finds, all of the same moment."""
        if not requests:
            return []
        first, self.after = ([self.after] if self.after else []), None
        meanwhile, self.meanwhile = self.meanwhile, None
        results = self.connection.transact(
            [*first, *requests], deadline=self.deadline, meanwhile=meanwhile
        )
        if refused := first_error(results):
            if first and refused[0] == 0:
                raise TimedOut(refused[1])
            raise OVSDBError(NO_VIF, self.connection.endpoint, refused[1])
        return [[plain_row(row) for row in result["rows"]] for result in results[len(first) :]]


def _having(column: str, value: Any) -> list[Any]:
    return [[column, "includes", value]]


def _everything(ask: _Questions) -> Ovs:
    switches, bridges, ports, interfaces, qos = ask.rows(
        [
            select("Open_vSwitch", [], [*_SWITCH, "ovs_version", "iface_types"]),
            select("Bridge", [], [*_BRIDGE, "external_ids", "ports"]),
            select("Port", [], _PORT),
            select("Interface", [], _INTERFACE),
            select("QoS", [], ["external_ids"]),
        ]
    )
    port_rows = {row["_uuid"]: row for row in ports}
    interface_rows = {row["name"]: row for row in interfaces}
    bridges_by_name = {}
    for row in bridges:
        members = row["ports"] if isinstance(row["ports"], list) else [row["ports"]]
        own = (port_rows[uuid] for uuid in members if uuid in port_rows)
        ports_of = {
            port["name"]: port_of(port, interface_rows[port["name"]])
            for port in own
            if port["name"] in interface_rows
        }
        bridges_by_name[row["name"]] = bridge_of(row, row["external_ids"], ports_of)
    switch = switches[0] if switches else _NO_SWITCH
    return Ovs(
        endpoint=ask.connection.endpoint,
        version=switch["ovs_version"],
        types=tuple(switch["iface_types"] or ()),
        ovn=_ovn_of(switch),
        qos=tuple(row["external_ids"][VIF_ID] for row in qos if VIF_ID in row["external_ids"]),
        database=switch["_uuid"],
        bridges=bridges_by_name,
    )


def _fakes(ask: _Questions, names: Sequence[str]) -> dict[str, FakeBridge]:
    """Return which of some names are of fake bridges. Each is a port of its real bridge."""
    answers = ask.rows([select("Port", named(name), _FAKE) for name in names])
    ports = [row for rows in answers for row in rows if row["fake_bridge"]]
    owners = ask.rows([_owner(row["name"], row["_uuid"])[1] for row in ports])
    return {
        port["name"]: FakeBridge(bridge=bridge["name"], vlan=port["tag"])
        for port, bridges in zip(ports, owners, strict=True)
        for bridge in bridges
    }


def _ovn_of(switch: Row) -> Ovn | None:
    """Return what the row of table Open_vSwitch says of the host's OVN."""
    ids = switch["external_ids"]
    remote = ids.get("ovn-remote")
    return Ovn(remote=remote, bridge=ids.get("ovn-bridge", "br-int")) if remote else None


@dataclass
class _Answers:
    """The rows that some questions have found, by name, and the bridge of each port."""

    ports: dict[str, Row] = field(default_factory=dict)
    interfaces: dict[str, Row] = field(default_factory=dict)
    bridges: dict[str, Row] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    qos: list[str] = field(default_factory=list)
    database: str = ""
    ovn: Ovn | None = None

    def ask(self, ask: _Questions, questions: Sequence[tuple[str, Request]]) -> None:
        """Ask, and note the answers. A question for a port's bridge comes with the port's name."""
        answers = ask.rows([request for _, request in questions])
        for (port, request), rows in zip(questions, answers, strict=True):
            for row in rows:
                match request["table"]:
                    case "Port":
                        self.ports[row["name"]] = row
                    case "Interface":
                        self.interfaces[row["name"]] = row
                    case "QoS":
                        self.qos.append(row["external_ids"][VIF_ID])
                    case "Open_vSwitch":
                        self.database, self.ovn = row["_uuid"], _ovn_of(row)
                    case _:
                        name = row["name"]
                        self.bridges[name] = {**self.bridges.get(name, {}), **row}
                        if port:
                            self.owners[port] = name

    def ovs(self, endpoint: str) -> Ovs:
        """Return the snapshot that these answers make."""
        ports: dict[str, dict[str, OvsPort]] = {}
        for name, bridge in self.owners.items():
            if name in self.ports and name in self.interfaces:
                port = port_of(self.ports[name], self.interfaces[name])
                ports.setdefault(bridge, {})[name] = port
        bridges = {
            name: bridge_of(row, row.get("external_ids", {}), ports.get(name, {}))
            for name, row in self.bridges.items()
        }
        qos = tuple(self.qos)
        return Ovs(
            endpoint=endpoint, database=self.database, ovn=self.ovn, bridges=bridges, qos=qos
        )


def _some(ask: _Questions, reading: Reading, added: Mapping[str, AddPort]) -> Ovs:
    """Ask for the rows that bear the VIFs' names, ids and marks; then for their owners."""
    sought = reading.sought or ()
    questions: list[tuple[str, Request]] = [("", select("Open_vSwitch", [], _SWITCH))]
    for vif in sought:
        if vif.ports and all(name in added for name in vif.ports):
            questions += _about_rows([added[name] for name in vif.ports])
        else:
            questions += _about_ports(vif)
        questions += _about_the_rest(vif)
    questions += [("", select("Bridge", by_row(row), _BRIDGE)) for row in sorted(reading.bridges)]
    noted = reading.interface_ids - {vif.iface_id for vif in sought}
    questions += [("", _bearing(iface_id)) for iface_id in sorted(noted)]
    questions += [_owner(name, operation.row) for name, operation in added.items()]
    answers = _Answers()
    answers.ask(ask, questions)
    unknown = [name for name in answers.interfaces if name not in answers.ports]
    answers.ask(ask, [("", select("Port", named(name), _PORT)) for name in unknown])
    last: list[tuple[str, Request]] = []
    for name, port in answers.ports.items():
        if name not in answers.owners:
            last.append(_owner(name, port["_uuid"]))
        if name not in answers.interfaces:
            last.append(("", select("Interface", named(name), _INTERFACE)))
    answers.ask(ask, last)
    return answers.ovs(ask.connection.endpoint)


def _about_rows(added: Sequence[AddPort]) -> list[tuple[str, Request]]:
    """Return the questions about ports that the transaction before has added."""
    requests = [select("Port", by_row(port.row), _PORT) for port in added]
    requests += [select("Interface", by_row(port.interface), _INTERFACE) for port in added]
    return [("", request) for request in requests]


def _about_ports(vif: Sought) -> list[tuple[str, Request]]:
    """Return the questions about a VIF's ports: by name, mark and interface id."""
    requests = [select("Port", named(name), _PORT) for name in vif.ports]
    requests += [select("Interface", named(name), _INTERFACE) for name in vif.ports]
    requests.append(select("Port", _marked(vif), _PORT))
    requests.append(_bearing(vif.iface_id))
    return [("", request) for request in requests]


def _about_the_rest(vif: Sought) -> list[tuple[str, Request]]:
    """Return the questions about a VIF's QoS row, its own bridge, and its bridge."""
    own = named(derived_name(OWN_BRIDGE, vif.vif_id))
    questions = [
        ("", select("QoS", _marked(vif), ["external_ids"])),
        ("", select("Bridge", own, _OWN_BRIDGE)),
    ]
    if vif.bridge is not None:
        questions.append(("", select("Bridge", named(vif.bridge), _BRIDGE)))
    return questions


def _marked(vif: Sought) -> list[Any]:
    return _having("external_ids", as_map({VIF_ID: vif.vif_id}))


def _bearing(interface_id: str) -> Request:
    bearing = _having("external_ids", as_map({IFACE_ID: interface_id}))
    return select("Interface", bearing, _INTERFACE)


def _owner(port: str, row: str) -> tuple[str, Request]:
    return port, select("Bridge", _having("ports", ["uuid", row]), _BRIDGE)
