# SPDX-License-Identifier: Apache-2.0
"""Reads what VIFs must know of Open vSwitch, and no more: a host may have thousands of ports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vifplug.errors import OVSDBError
from vifplug.host import Host
from vifplug.mark import PREFIX, Owner, derived_name
from vifplug.ovs import IFACE_ID, MARK, VIF_ID, Ovs, OvsBridge, OvsPort
from vifplug.vif import VIF
from vifplug_ovs.endpoint import Keys
from vifplug_ovs.operations import Request, as_map, named
from vifplug_ovs.ovsdb import Connection, Lost, Unanswered, first_error

_MANY = 8
"""From so many VIFs on all is read, which takes fewer questions."""

_BRIDGE = ["name", "_uuid", "datapath_type"]
_PORT = ["name", "_uuid", "external_ids", "other_config"]
_INTERFACE = ["name", "_uuid", "type", "ofport", "error", "mtu_request", "external_ids"]

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Sought:
    """What is to be read for one VIF.

    Without ``interface_id`` it is the VIF's id, or what the claims of the VIF note.
    """

    vif_id: str
    interface_id: str | None = None
    bridge: str | None = None
    ports: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The ports that are looked for by name: those given, and those that an id gives."""
        derived = (derived_name(prefix, self.vif_id) for prefix in ("tap", "qvo"))
        return tuple(dict.fromkeys((*self.ports, *derived)))


def look(
    options: Mapping[str, Any], vifs: Sequence[VIF] | None, host: Host, *, deadline: float
) -> Host:
    """Return the host with what its Open vSwitch has of some VIFs, or with None of all.

    Never raises: where it can't be read, ``host.ovs.error`` says why. ``deadline`` is absolute
    CLOCK_MONOTONIC.
    """
    endpoint = options["ovsdb_connection"]
    sought = None if vifs is None else [_sought(vif) for vif in vifs]
    try:
        connection = Connection(endpoint, deadline=deadline, keys=keys(options), patience=0)
        try:
            return replace(host, ovs=read(connection, sought, deadline=deadline))
        finally:
            connection.close()
    except OVSDBError as error:
        absent = isinstance(error.__cause__, (FileNotFoundError, ConnectionRefusedError))
        return replace(host, ovs=Ovs(endpoint=endpoint, error=error.why, absent=absent))
    except (Lost, Unanswered, PermissionError) as error:
        why = error.strerror or str(error)
        return replace(host, ovs=Ovs(endpoint=endpoint, error=why))


def keys(options: Mapping[str, Any]) -> Keys:
    """Return the files of a TLS connection that are configured."""
    return Keys(
        private_key=options["ssl_key_file"],
        certificate=options["ssl_cert_file"],
        ca_certificate=options["ssl_ca_cert_file"],
    )


def _sought(vif: VIF) -> Sought:
    return Sought(
        vif_id=vif.id,
        interface_id=vif.interface_id,
        bridge=vif.network.bridge,
        ports=(vif.devname,) if vif.devname else (),
    )


def read(connection: Connection, sought: Sequence[Sought] | None, *, deadline: float) -> Ovs:
    """Return what the database has of some VIFs, or with None all that it has.

    Raises OVSDBError, Unanswered, Lost.
    """
    ask = _Questions(connection, deadline)
    if sought is None or len(sought) >= _MANY:
        return _everything(ask)
    return _some(ask, sought)


@dataclass
class _Questions:
    connection: Connection
    deadline: float

    def rows(self, requests: Sequence[Request]) -> list[list[Row]]:
        """Return the rows that each of some selects finds, all of one moment."""
        if not requests:
            return []
        results = self.connection.transact(requests, deadline=self.deadline)
        if refused := first_error(results):
            raise OVSDBError(self.connection.endpoint, refused[1])
        return [[plain_row(row) for row in result["rows"]] for result in results]

    def ovs(self, version: list[Row], bridges: dict[str, OvsBridge]) -> Ovs:
        return Ovs(
            endpoint=self.connection.endpoint,
            version=version[0]["ovs_version"] if version and version[0]["ovs_version"] else None,
            bridges=bridges,
        )


_VERSION: Request = {
    "op": "select",
    "table": "Open_vSwitch",
    "where": [],
    "columns": ["ovs_version"],
}


def _select(table: str, where: list[Any], columns: list[str]) -> Request:
    return {"op": "select", "table": table, "where": where, "columns": columns}


def _having(column: str, value: Any) -> list[Any]:
    return [[column, "includes", value]]


def _everything(ask: _Questions) -> Ovs:
    version, bridges, ports, interfaces = ask.rows(
        [
            _VERSION,
            _select("Bridge", [], [*_BRIDGE, "external_ids", "ports"]),
            _select("Port", [], _PORT),
            _select("Interface", [], _INTERFACE),
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
    return ask.ovs(version, found)


def _some(ask: _Questions, sought: Sequence[Sought]) -> Ovs:
    """Ask for what bears the VIFs' names, ids, marks and claims; then for what belongs to it."""
    first: list[Request] = [_VERSION]
    claims: dict[str, str] = {}
    for one in sought:
        interface_id = one.interface_id or one.vif_id
        claim = Owner(vif_id=one.vif_id, vif_type="ovs", process="automatic").claim("bridge")
        claims[claim] = interface_id
        by_id = {IFACE_ID: interface_id}
        first += [_select("Port", named(name), _PORT) for name in one.names]
        first += [
            _select("Port", _having("external_ids", as_map({VIF_ID: one.vif_id})), _PORT),
            _select("Interface", _having("external_ids", as_map(by_id)), _INTERFACE),
        ]
        if one.bridge is not None:
            claimed = _having("external_ids", as_map({claim: interface_id}))
            first.append(_select("Bridge", named(one.bridge), _BRIDGE))
            first.append(_select("Bridge", claimed, _BRIDGE))
    whole = any(one.bridge is None for one in sought)
    if whole:  # whoever unplugs a VIF may not know how it was plugged
        first.append(_select("Bridge", [], [*_BRIDGE, "external_ids"]))
    version, *answers = ask.rows(first)
    bridges: dict[str, tuple[Row, dict[str, str]]] = {}
    ports: dict[str, Row] = {}
    interfaces: dict[str, Row] = {}
    for request, rows in zip(first[1:], answers, strict=True):
        for row in rows:
            if request["table"] == "Port":
                ports[row["name"]] = row
            elif request["table"] == "Interface":
                interfaces[row["name"]] = row
            else:
                _note_bridge(bridges, row, request, claims)
    if whole:
        noted = {i for _, ids in bridges.values() for c, i in ids.items() if _of(c, sought)}
        interfaces |= _named(ask, noted - set(claims.values()))
    return ask.ovs(version, _joined(ask, bridges, ports, interfaces))


def _note_bridge(
    bridges: dict[str, tuple[Row, dict[str, str]]],
    row: Row,
    request: Request,
    claims: Mapping[str, str],
) -> None:
    _, ids = bridges.setdefault(row["name"], (row, {}))
    if "external_ids" in row:
        ids |= row["external_ids"]
    elif request["where"][0][0] == "external_ids":
        ((claim, interface_id),) = request["where"][0][2][1]
        if claims.get(claim) == interface_id:
            ids[claim] = interface_id


def _of(claim: str, sought: Sequence[Sought]) -> bool:
    return any(claim.startswith(f"{PREFIX}{one.vif_id}:") for one in sought)


def _named(ask: _Questions, interface_ids: Iterable[str]) -> dict[str, Row]:
    """Return by name the interfaces with one of some interface ids."""
    wanted = [
        _select("Interface", _having("external_ids", as_map({IFACE_ID: one})), _INTERFACE)
        for one in interface_ids
    ]
    return {row["name"]: row for rows in ask.rows(wanted) for row in rows}


def _joined(
    ask: _Questions,
    bridges: dict[str, tuple[Row, dict[str, str]]],
    ports: dict[str, Row],
    interfaces: dict[str, Row],
) -> dict[str, OvsBridge]:
    """Put ports, their interfaces and their bridges together; ask for those still unknown."""
    unknown = [_select("Port", named(name), _PORT) for name in interfaces if name not in ports]
    ports = ports | {row["name"]: row for rows in ask.rows(unknown) for row in rows}
    names = list(ports)
    rest = [
        _select("Bridge", _having("ports", ["uuid", ports[name]["_uuid"]]), _BRIDGE)
        for name in names
    ]
    rest += [_select("Interface", named(name), _INTERFACE) for name in names]
    answers = ask.rows(rest)
    members: dict[str, dict[str, OvsPort]] = {}
    for name, owners, found in zip(
        names, answers[: len(names)], answers[len(names) :], strict=True
    ):
        for bridge in owners:
            bridges.setdefault(bridge["name"], (bridge, {}))
            if found:
                members.setdefault(bridge["name"], {})[name] = _port(ports[name], found[0])
    return {name: _bridge(row, ids, members.get(name, {})) for name, (row, ids) in bridges.items()}


def _bridge(row: Row, ids: Mapping[str, str], ports: Mapping[str, OvsPort]) -> OvsBridge:
    return OvsBridge(
        datapath_type=row["datapath_type"],
        claims={key: value for key, value in ids.items() if key.startswith(PREFIX)},
        ports=ports,
        row=row["_uuid"],
    )


def _port(port: Row, interface: Row) -> OvsPort:
    return OvsPort(
        type=interface["type"],
        ofport=interface["ofport"],
        error=interface["error"],
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
