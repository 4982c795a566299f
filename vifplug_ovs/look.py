# SPDX-License-Identifier: Apache-2.0
"""Reads what VIFs must know of Open vSwitch, and no more: a host may have thousands of ports."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from vifplug.errors import NO_VIF, OVSDBError
from vifplug.host import Host
from vifplug.mark import PREFIX, Owner, derived_name
from vifplug.ovs import IFACE_ID, MARK, VIF_ID, Ovn, Ovs, OvsBridge, OvsPort
from vifplug.vif import VIF
from vifplug_ovs import kept, ovn, passthrough, process
from vifplug_ovs.endpoint import Keys
from vifplug_ovs.names import OWN_BRIDGE, port_names
from vifplug_ovs.operations import AddPort, Request, as_map, by_row, named
from vifplug_ovs.ovsdb import Connection, Lost, Unanswered, first_error

_MANY = 8
"""From so many VIFs on all is read, which takes fewer questions."""

_BRIDGE = ["name", "_uuid", "datapath_type"]
_OWN_BRIDGE = [*_BRIDGE, "external_ids"]
_PORT = ["name", "_uuid", "external_ids", "other_config"]
_INTERFACE = ["name", "_uuid", "type", "ofport", "error", "link_state", "mtu_request", "options",
              "external_ids"]  # fmt: skip

Row = Mapping[str, Any]


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


def look(
    options: Mapping[str, Any], vifs: Sequence[VIF] | None, host: Host, *, deadline: float
) -> Host:
    """Return the host with what its Open vSwitch has of some VIFs, or with None of all.

    Never raises: where it can't be read, ``host.ovs.error`` says why. ``deadline`` is absolute
    CLOCK_MONOTONIC. What somebody told us of it is left as it is.
    """
    if host.ovs is not None:
        return host
    endpoint = options["ovsdb_connection"]
    sought = None if vifs is None else [_sought(vif, options, host) for vif in vifs]
    host.expect(mark for vif in vifs or () for mark in process.marks(vif))
    try:
        with kept.lent(endpoint, deadline=deadline, keys=keys(options)) as connection:
            found = read(connection, sought, deadline=deadline, meanwhile=host.read_ahead)
            if found.ovn:
                controller = ovn.look(found.ovn, options["ovn_rundir"], deadline=deadline)
                found = replace(found, ovn=controller)
            return replace(host, ovs=found)
    except OVSDBError as error:
        absent = isinstance(error.__cause__, FileNotFoundError)
        return replace(host, ovs=Ovs(endpoint=endpoint, error=error.why, absent=absent))
    except PermissionError as error:
        why = f"{error.strerror}: only its owner and group may look, and root"
        return replace(host, ovs=Ovs(endpoint=endpoint, error=why))
    except (Lost, Unanswered) as error:
        return replace(host, ovs=Ovs(endpoint=endpoint, error=str(error)))


def keys(options: Mapping[str, Any]) -> Keys:
    """Return the files of a TLS connection that are configured."""
    return Keys(
        private_key=options["ssl_key_file"],
        certificate=options["ssl_cert_file"],
        ca_certificate=options["ssl_ca_cert_file"],
    )


def _sought(vif: VIF, options: Mapping[str, Any], host: Host) -> Sought:
    return Sought(
        vif_id=vif.id,
        interface_id=vif.interface_id,
        bridge=vif.network.bridge,
        ports=passthrough.ports(vif, host, vif.details.get("pci_slot")) or port_names(vif, options),
    )


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


def select(table: str, where: list[Any], columns: list[str]) -> Request:
    """Return the question for some columns of the rows that meet a condition."""
    return {"op": "select", "table": table, "where": where, "columns": columns}


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
        there = {one["name"]: _port(one, by_name[one["name"]])
                 for one in own if one["name"] in by_name}  # fmt: skip
        found[row["name"]] = _bridge(row, row["external_ids"], there)
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

    def _bridge(self, row: Row, about: str) -> None:
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
                port = _port(self.ports[name], self.interfaces[name])
                ports.setdefault(bridge, {})[name] = port
        bridges = {
            name: _bridge(row, self.claims[name], ports.get(name, {}))
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


def _bridge(row: Row, ids: Mapping[str, str], ports: Mapping[str, OvsPort]) -> OvsBridge:
    return OvsBridge(
        datapath_type=row["datapath_type"],
        claims={key: value for key, value in ids.items() if key.startswith(PREFIX)},
        marks={key: value for key, value in ids.items() if key in _OURS},
        ports=ports,
        row=row["_uuid"],
    )


def _port(port: Row, interface: Row) -> OvsPort:
    return OvsPort(
        type=interface["type"],
        ofport=interface["ofport"],
        error=interface["error"],
        link_state=interface["link_state"],
        options=interface["options"],
        mtu_request=interface["mtu_request"],
        external_ids={k: v for k, v in interface["external_ids"].items() if k not in _OURS},
        marks={key: value for key, value in port["external_ids"].items() if key in _OURS},
        transient=port["other_config"].get("transient") == "true",
        row=port["_uuid"],
        interface=interface["_uuid"],
    )


_OURS = (MARK, VIF_ID)


def plain_row(row: Mapping[str, Any]) -> Row:
    """Return a row without OVSDB's wrapping of its values."""
    return {name: _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    """Return a value without OVSDB's wrapping; an optional one that isn't there is None."""
    match value:
        case ["map", pairs]:
            return {key: _plain(one) for key, one in pairs}
        case ["set", []]:
            return None
        case ["set", items]:
            return [_plain(item) for item in items]
        case ["uuid", text]:
            return text
    return value
