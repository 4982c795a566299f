# SPDX-License-Identifier: Apache-2.0
"""Questions to Open vSwitch's database, and the snapshot that their answers make."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vifplug.errors import NO_VIF, OVSDBError
from vifplug.model.mark import PREFIX, Owner, derived_name
from vifplug_ovs.names import OWN_BRIDGE
from vifplug_ovs.operations.ports import AddPort
from vifplug_ovs.ovsdb.connection import Connection, first_error
from vifplug_ovs.ovsdb.requests import Request, as_map, by_row, named, select
from vifplug_ovs.ovsdb.rows import Row, bridge_of, plain_row, port_of
from vifplug_ovs.snapshot import IFACE_ID, VIF_ID, Ovn, Ovs, OvsPort

_MANY = 8
"""From so many VIFs on all is read, which takes fewer questions."""

_BRIDGE = ["name", "_uuid", "datapath_type"]
_OWN_BRIDGE = [*_BRIDGE, "external_ids"]
_PORT = ["name", "_uuid", "external_ids", "other_config"]
_INTERFACE = ["name", "_uuid", "type", "ofport", "error", "link_state", "mtu_request", "options",
              "external_ids"]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Sought:
    """What is to be read for one VIF: ``ports`` by name, besides all that bears its mark or ids.

    Without ``interface_id`` it is the VIF's id; without ``bridge`` the claims on all bridges are
    read, and what they note of the interface id.
    """

    vif_id: str
    interface_id: str | None = None
    bridge: str | None = None
    ports: tuple[str, ...] = ()


def read(
    connection: Connection,
    sought: Sequence[Sought] | None,
    *,
    deadline: float,
    after: Request | None = None,
    made: Sequence[AddPort] = (),
    meanwhile: Callable[[], object] | None = None,
) -> Ovs:
    """Return what the database has of some VIFs, or with None all that it has.

    ``after`` is a ``wait`` that comes first. What is a VIF's besides its ports is not looked for
    where these were just ``made``, in a transaction that took the rest away: so the server need not
    go over all its rows. ``meanwhile`` is done while the server is at work. Raises OVSDBError,
    Unanswered, Lost, and TimedOut of the ``wait``.
    """
    ask = _Questions(connection, deadline, after, meanwhile)
    if sought is None or len(sought) >= _MANY:
        return _everything(ask)
    return _some(ask, sought, {one.device: one for one in made})


class TimedOut(Exception):
    """What was waited for has not come in time."""


@dataclass
class _Questions:
    connection: Connection
    deadline: float
    after: Request | None
    meanwhile: Callable[[], object] | None

    def rows(self, requests: Sequence[Request]) -> list[list[Row]]:
        """Return the rows that each of some selects finds, all of one moment."""
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
    version, bridges, ports, interfaces, qos = ask.rows(
        [
            select("Open_vSwitch", [], ["ovs_version", "iface_types", "external_ids"]),
            select("Bridge", [], [*_BRIDGE, "external_ids", "ports"]),
            select("Port", [], _PORT),
            select("Interface", [], _INTERFACE),
            select("QoS", [], ["external_ids"]),
        ]
    )
    by_row = {row["_uuid"]: row for row in ports}
    by_name = {row["name"]: row for row in interfaces}
    found = {}
    for row in bridges:
        members = row["ports"] if isinstance(row["ports"], list) else [row["ports"]]
        own = (by_row[one] for one in members if one in by_row)
        there = {one["name"]: port_of(one, by_name[one["name"]])
                 for one in own if one["name"] in by_name}  # fmt: skip
        found[row["name"]] = bridge_of(row, row["external_ids"], there)
    said = version[0] if version else {"ovs_version": None, "iface_types": None, "external_ids": {}}
    remote = said["external_ids"].get("ovn-remote")
    return Ovs(
        endpoint=ask.connection.endpoint,
        version=said["ovs_version"],
        types=tuple(said["iface_types"] or ()),
        ovn=Ovn(remote=remote) if remote else None,
        qos=tuple(row["external_ids"][VIF_ID] for row in qos if VIF_ID in row["external_ids"]),
        bridges=found,
    )


@dataclass
class _Found:
    """What some questions have found: rows by name, and the bridge of each port."""

    ports: dict[str, Row] = field(default_factory=dict)
    interfaces: dict[str, Row] = field(default_factory=dict)
    bridges: dict[str, Row] = field(default_factory=dict)
    claims: dict[str, dict[str, str]] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    qos: list[str] = field(default_factory=list)

    def ask(self, ask: _Questions, questions: Sequence[tuple[str, Request]]) -> None:
        """Ask, and note what is found; each question comes with what it is about."""
        answers = ask.rows([request for _, request in questions])
        for (about, request), rows in zip(questions, answers, strict=True):
            for row in rows:
                match request["table"]:
                    case "Port":
                        self.ports[row["name"]] = row
                    case "Interface":
                        self.interfaces[row["name"]] = row
                    case "QoS":
                        self.qos.append(row["external_ids"][VIF_ID])
                    case _:
                        self._bridge(row, about)

    def bridge_of(self, row: Row, about: str) -> None:
        name = row["name"]
        self.bridges.setdefault(name, row)
        claims = self.claims.setdefault(name, {})
        claims |= row.get("external_ids", {})
        if about.startswith(PREFIX):
            claim, _, interface_id = about.rpartition("=")
            claims[claim] = interface_id
        elif about:
            self.owners[about] = name

    def ovs(self, endpoint: str) -> Ovs:
        ports: dict[str, dict[str, OvsPort]] = {}
        for name, bridge in self.owners.items():
            if name in self.ports and name in self.interfaces:
                port = port_of(self.ports[name], self.interfaces[name])
                ports.setdefault(bridge, {})[name] = port
        bridges = {
            name: bridge_of(row, self.claims[name], ports.get(name, {}))
            for name, row in self.bridges.items()
        }
        return Ovs(endpoint=endpoint, bridges=bridges, qos=tuple(self.qos))


def _some(ask: _Questions, sought: Sequence[Sought], made: Mapping[str, AddPort]) -> Ovs:
    """Ask for what bears the VIFs' names, ids, marks and claims; then for what belongs to it."""
    questions: list[tuple[str, Request]] = []
    for one in sought:
        known = one.ports and all(name in made for name in one.ports)
        questions += _made([made[name] for name in one.ports]) if known else _unknown(one)
        questions += _of(one)
    if any(one.bridge is None for one in sought):
        questions.append(("", select("Bridge", [], [*_BRIDGE, "external_ids"])))
    questions += [_owner(name, port.row) for name, port in made.items()]
    found = _Found()
    found.ask(ask, questions)
    noted = _noted(found, sought)
    found.ask(ask, [("", _bearing(one)) for one in noted])
    unknown = [name for name in found.interfaces if name not in found.ports]
    found.ask(ask, [("", select("Port", named(name), _PORT)) for name in unknown])
    last: list[tuple[str, Request]] = []
    for name, port in found.ports.items():
        if name not in found.owners:
            last.append(_owner(name, port["_uuid"]))
        if name not in found.interfaces:
            last.append(("", select("Interface", named(name), _INTERFACE)))
    found.ask(ask, last)
    return found.ovs(ask.connection.endpoint)


def _made(ports: Sequence[AddPort]) -> list[tuple[str, Request]]:
    """Return the questions about ports that were just made."""
    asked = [select("Port", by_row(one.row), _PORT) for one in ports]
    asked += [select("Interface", by_row(one.interface), _INTERFACE) for one in ports]
    return [("", one) for one in asked]


def _unknown(one: Sought) -> list[tuple[str, Request]]:
    """Return the questions about a VIF's ports: by name, mark and interface id."""
    asked = [select("Port", named(name), _PORT) for name in one.ports]
    asked += [select("Interface", named(name), _INTERFACE) for name in one.ports]
    asked.append(select("Port", _marked(one), _PORT))
    asked.append(_bearing(one.interface_id or one.vif_id))
    return [("", one) for one in asked]


def _of(one: Sought) -> list[tuple[str, Request]]:
    """Return the questions about what else one VIF has: a QoS row, a bridge, a claim on one."""
    found = [("", select("QoS", _marked(one), ["external_ids"]))]
    own = named(derived_name(OWN_BRIDGE, one.vif_id))
    found.append(("", select("Bridge", own, _OWN_BRIDGE)))
    interface_id = one.interface_id or one.vif_id
    if one.bridge is not None:
        claim = Owner(vif_id=one.vif_id, vif_type="ovs", process="automatic").claim("bridge")
        claimed = _having("external_ids", as_map({claim: interface_id}))
        found.append(("", select("Bridge", named(one.bridge), _BRIDGE)))
        found.append((f"{claim}={interface_id}", select("Bridge", claimed, _BRIDGE)))
    return found


def _marked(one: Sought) -> list[Any]:
    return _having("external_ids", as_map({VIF_ID: one.vif_id}))


def _bearing(interface_id: str) -> Request:
    return select("Interface", _having("external_ids", as_map({IFACE_ID: interface_id})),
                   _INTERFACE)  # fmt: skip


def _owner(port: str, row: str) -> tuple[str, Request]:
    return port, select("Bridge", _having("ports", ["uuid", row]), _BRIDGE)


def _noted(found: _Found, sought: Sequence[Sought]) -> set[str]:
    """Return the interface ids that only the VIFs' claims tell."""
    starts = tuple(f"{PREFIX}{one.vif_id}:" for one in sought)
    noted = {
        interface_id
        for claims in found.claims.values()
        for claim, interface_id in claims.items()
        if claim.startswith(starts)
    }
    return noted - {one.interface_id or one.vif_id for one in sought}
