# SPDX-License-Identifier: Apache-2.0
"""The changes of Open vSwitch's database that a plan is made of, each with its own undo.

``requests()`` is what a change comes to in a transaction (RFC 7047, 5.2). Nothing here does I/O.
A row's UUID is ours to choose (ovsdb-server(7), since 2.13), so that an undo can name a row that
nobody has told us of yet.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from vifplug.host import Host, Link
from vifplug.operations import Operation
from vifplug.ovs import VIF_ID, OvsBridge, OvsPort

_OS_VIF_QOS = uuid.UUID("68da264a-847f-42a8-8ab0-5e774aee3d95")
"""From this and a port's name os-vif derives the id in the external_ids of its QoS rows."""

Request = dict[str, Any]
"""One operation of a transaction."""

_DEAD: Mapping[str, Any] = {"tag": 4095, "vlan_mode": "trunk", "trunks": 4095}
"""Neutron's dead VLAN. The mode and the trunks keep what has a tag of its own from passing, too."""

Pairs = Mapping[str, str | None]
"""Keys of a map column with their values; None is a key that isn't there."""


def _row() -> str:
    return str(uuid.uuid4())


def _new_row() -> Any:
    return field(default_factory=_row, compare=False, repr=False)


def as_map(pairs: Mapping[str, str]) -> list[Any]:
    """Return a map as OVSDB writes it."""
    return ["map", [[key, value] for key, value in pairs.items()]]


def named(name: str) -> list[Any]:
    """Return the condition that finds a row by its name."""
    return [["name", "==", name]]


def by_row(row: str) -> list[Any]:
    """Return the condition that finds a row by its UUID, without going over all of a table."""
    return [["_uuid", "==", ["uuid", row]]]


def bridge_is_there(name: str) -> Request:
    """Return what refuses a transaction unless there is such a bridge.

    To change a bridge that isn't there would otherwise succeed, and do nothing.
    """
    return {
        "op": "wait",
        "timeout": 0,
        "table": "Bridge",
        "where": named(name),
        "columns": ["name"],
        "until": "==",
        "rows": [{"name": name}],
    }


@dataclass(frozen=True, kw_only=True)
class OvsOperation(Operation):
    """One change of the database; ``device`` is the port or bridge."""

    in_database: ClassVar[bool] = True

    def on(self, link: Link | None) -> Link | None:
        return link

    def requests(self) -> list[Request]:
        """Return what this comes to in a transaction."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class AddBridge(OvsOperation):
    """Make a bridge that isn't there; its marks say that we made it, and for whom alone."""

    marks: Mapping[str, str]
    datapath_type: str
    own: bool = False
    row: str = _new_row()
    port: str = _new_row()
    interface: str = _new_row()

    def __str__(self) -> str:
        return f"make OVS bridge {self.device}"

    def foresee(self, host: Host) -> None:
        bridge = OvsBridge(
            datapath_type=self.datapath_type, row=self.row, claims={}, ports={}, marks=self.marks
        )
        host.planned_ovs.put_bridge(self.device, bridge)

    def undo(self) -> Operation:
        port = None if self.own else self.port
        return RemoveBridge(device=self.device, row=self.row, port=port)

    def requests(self) -> list[Request]:
        bridge = {
            "name": self.device,
            "ports": ["uuid", self.port],
            "datapath_type": self.datapath_type,
            "external_ids": as_map(self.marks),
        }
        own = {"name": self.device, "interfaces": ["uuid", self.interface]}
        return [
            _insert("Interface", self.interface, {"name": self.device, "type": "internal"}),
            _insert("Port", self.port, own),
            _insert("Bridge", self.row, bridge),
            _mutate("Open_vSwitch", [], ["bridges", "insert", ["uuid", self.row]]),
        ]


@dataclass(frozen=True, kw_only=True)
class RemoveBridge(OvsOperation):
    """Remove a bridge that has no port but its own, ``port``; one that others have joined stays.

    Without ``port`` it is a VIF's own, and goes with all that it has.
    """

    row: str
    port: str | None = None

    def __str__(self) -> str:
        return f"remove OVS bridge {self.device}"

    def foresee(self, host: Host) -> None:
        host.planned_ovs.put_bridge(self.device, None)

    def undo(self) -> None:
        return None

    def requests(self) -> list[Request]:
        gone = _mutate("Open_vSwitch", [], ["bridges", "delete", ["uuid", self.row]])
        if self.port is None:
            return [gone]
        unused = {
            "op": "wait",
            "timeout": 0,
            "table": "Bridge",
            "where": by_row(self.row),
            "columns": ["ports"],
            "until": "==",
            "rows": [{"ports": ["uuid", self.port]}],
        }
        return [unused, gone]


@dataclass(frozen=True, kw_only=True)
class AddPort(OvsOperation):
    """Make a port with its interface, and its QoS row if it has one, all with their marks.

    ``isolated``: it passes nothing until Neutron's agent has given it a VLAN.
    """

    bridge: str
    port: OvsPort
    qos_type: str = ""
    isolated: bool = False
    row: str = _new_row()
    interface: str = _new_row()
    qos: str = _new_row()

    def __str__(self) -> str:
        return f"add port {self.device} to {self.bridge}"

    def foresee(self, host: Host) -> None:
        # What the switch will say of it is foreseen as well: that it took the port.
        made = replace(self.port, row=self.row, interface=self.interface, ofport=1)
        host.planned_ovs.put_port(self.bridge, self.device, made)

    def undo(self) -> Operation:
        vif_id = self.port.marks[VIF_ID]
        qos = self.qos if self.qos_type else ""
        return RemovePort(
            device=self.device, bridge=self.bridge, row=self.row, vif_id=vif_id, qos=qos
        )

    def requests(self) -> list[Request]:
        marks = as_map(self.port.marks)
        interface: dict[str, Any] = {
            "name": self.device,
            "type": self.port.type,
            "external_ids": as_map({**self.port.external_ids, **self.port.marks}),
        }
        if self.port.mtu_request:
            interface["mtu_request"] = self.port.mtu_request
        if self.port.options:
            interface["options"] = as_map(self.port.options)
        port: dict[str, Any] = {
            "name": self.device,
            "interfaces": ["uuid", self.interface],
            "external_ids": marks,
        }
        if self.port.transient:
            port["other_config"] = as_map({"transient": "true"})
        if self.isolated:
            port.update(_DEAD)
        found = [bridge_is_there(self.bridge)]
        if self.qos_type:
            port["qos"] = ["uuid", self.qos]
            row = {"type": self.qos_type, "external_ids": marks}
            # One of a port that somebody deleted is there yet.
            found.append(_delete("QoS", {VIF_ID: self.port.marks[VIF_ID]}))
            found.append(_insert("QoS", self.qos, row))
        return [
            *found,
            _insert("Interface", self.interface, interface),
            _insert("Port", self.row, port),
            _mutate("Bridge", named(self.bridge), ["ports", "insert", ["uuid", self.row]]),
        ]


@dataclass(frozen=True, kw_only=True)
class RemovePort(OvsOperation):
    """Remove a port, and the QoS rows that are its own: ours, or os-vif's.

    ``qos`` is that row, "" for none; where nobody knows it, all of the VIF's go, as it does.
    """

    bridge: str
    row: str
    vif_id: str
    qos: str | None = None

    def __str__(self) -> str:
        return f"remove port {self.device} from {self.bridge}"

    def foresee(self, host: Host) -> None:
        host.planned_ovs.put_port(self.bridge, self.device, None)

    def undo(self) -> None:
        return None

    def requests(self) -> list[Request]:
        os_vif = str(uuid.uuid5(_OS_VIF_QOS, self.device))
        return [
            # The port would keep its QoS row from going with it.
            {
                "op": "update",
                "table": "Port",
                "where": by_row(self.row),
                "row": {"qos": ["set", []]},
            },
            _mutate("Bridge", named(self.bridge), ["ports", "delete", ["uuid", self.row]]),
            *self._without_qos(),
            _delete("QoS", {"id": os_vif}),
        ]

    def _without_qos(self) -> list[Request]:
        if self.qos is None:
            return [_delete("QoS", {VIF_ID: self.vif_id})]
        where = by_row(self.qos)
        return [{"op": "delete", "table": "QoS", "where": where}] if self.qos else []


@dataclass(frozen=True, kw_only=True)
class RemoveQos(OvsOperation):
    """Remove a VIF's QoS rows, whose port is gone; ``device`` is the VIF's id."""

    def __str__(self) -> str:
        return f"remove the QoS of {self.device}"

    def foresee(self, host: Host) -> None:
        return None

    def undo(self) -> None:
        return None

    def requests(self) -> list[Request]:
        return [_delete("QoS", {VIF_ID: self.device})]


@dataclass(frozen=True, kw_only=True)
class MovePort(OvsOperation):
    """Move a port from one bridge to another; its rows stay."""

    source: str
    target: str
    row: str

    def __str__(self) -> str:
        return f"move port {self.device} from {self.source} to {self.target}"

    def foresee(self, host: Host) -> None:
        found = host.planned_ovs.port(self.device)
        host.planned_ovs.put_port(self.source, self.device, None)
        if found:
            host.planned_ovs.put_port(self.target, self.device, found[1])

    def undo(self) -> Operation:
        return replace(self, source=self.target, target=self.source)

    def requests(self) -> list[Request]:
        row = ["uuid", self.row]
        return [
            bridge_is_there(self.target),
            _mutate("Bridge", named(self.source), ["ports", "delete", row]),
            _mutate("Bridge", named(self.target), ["ports", "insert", row]),
        ]


@dataclass(frozen=True, kw_only=True)
class SetIds(OvsOperation):
    """Set some external_ids of a bridge's or port's own row, or of its interface's.

    ``column`` may be another map column of the interface's: ``options``.
    """

    bridge: str
    table: str
    column: str = "external_ids"
    row: str
    value: Pairs
    before: Pairs

    def __str__(self) -> str:
        words = (f"{k}={v}" if v is not None else f"no {k}" for k, v in self.value.items())
        return f"set {self.device} {', '.join(words)}"

    def foresee(self, host: Host) -> None:
        ovs = host.planned_ovs
        own = ovs.bridge(self.device) if self.table == "Bridge" else None
        if own:
            ovs.put_bridge(self.device, replace(own, marks=self._on(own.marks)))
        found = None if own else ovs.port(self.device)
        if found is None:
            return
        bridge, port = found
        if self.table == "Port":
            after = replace(port, marks=self._on(port.marks))
        elif self.column == "options":
            after = replace(port, options=self._on(port.options))
        else:
            after = replace(port, external_ids=self._on(port.external_ids))
        ovs.put_port(bridge, self.device, after)

    def _on(self, there: Mapping[str, str]) -> dict[str, str]:
        return {k: v for k, v in {**there, **self.value}.items() if v is not None}

    def undo(self) -> Operation:
        return replace(self, value=self.before, before=self.value)

    def requests(self) -> list[Request]:
        # What a key holds is only replaced where it was deleted before.
        there = {key: value for key, value in self.value.items() if value is not None}
        return [
            _mutate(
                self.table,
                by_row(self.row),
                [self.column, "delete", ["set", list(self.value)]],
                [self.column, "insert", as_map(there)],
            )
        ]


@dataclass(frozen=True, kw_only=True)
class SetMtu(OvsOperation):
    """Set the MTU that the switch gives a port."""

    row: str
    value: int | None
    before: int | None

    def __str__(self) -> str:
        return f"set {self.device} mtu_request {self.value}"

    def foresee(self, host: Host) -> None:
        if found := host.planned_ovs.port(self.device):
            host.planned_ovs.put_port(
                found[0], self.device, replace(found[1], mtu_request=self.value)
            )

    def undo(self) -> Operation:
        return replace(self, value=self.before, before=self.value)

    def requests(self) -> list[Request]:
        value = ["set", []] if self.value is None else self.value
        return [
            {
                "op": "update",
                "table": "Interface",
                "where": by_row(self.row),
                "row": {"mtu_request": value},
            }
        ]


@dataclass(frozen=True, kw_only=True)
class Settle(OvsOperation):
    """Have the switch look at a port again that it could not open when it last tried."""

    bridge: str

    def __str__(self) -> str:
        return f"have Open vSwitch take {self.device}"

    def foresee(self, host: Host) -> None:
        if found := host.planned_ovs.port(self.device):
            settled = replace(found[1], ofport=1, error=None)
            host.planned_ovs.put_port(found[0], self.device, settled)

    def undo(self) -> None:
        return None

    def requests(self) -> list[Request]:
        return []  # the transaction's new configuration number is enough


@dataclass(frozen=True, kw_only=True)
class AddClaim(OvsOperation):
    """Note on a bridge that a VIF uses it, and the interface id of the port that will come."""

    claim: str
    interface_id: str

    def __str__(self) -> str:
        return f"claim OVS bridge {self.device}"

    def foresee(self, host: Host) -> None:
        host.planned_ovs.put_claim(self.device, self.claim, self.interface_id)

    def undo(self) -> Operation:
        return RemoveClaim(device=self.device, claim=self.claim, interface_id=self.interface_id)

    def requests(self) -> list[Request]:
        return [
            bridge_is_there(self.device),
            _mutate(
                "Bridge",
                named(self.device),
                ["external_ids", "delete", ["set", [self.claim]]],
                ["external_ids", "insert", as_map({self.claim: self.interface_id})],
            ),
        ]


@dataclass(frozen=True, kw_only=True)
class RemoveClaim(OvsOperation):
    """Take a VIF's claim from a bridge."""

    claim: str
    interface_id: str

    def __str__(self) -> str:
        return f"unclaim OVS bridge {self.device}"

    def foresee(self, host: Host) -> None:
        host.planned_ovs.put_claim(self.device, self.claim, None)

    def undo(self) -> Operation:
        return AddClaim(device=self.device, claim=self.claim, interface_id=self.interface_id)

    def requests(self) -> list[Request]:
        gone = ["external_ids", "delete", ["set", [self.claim]]]
        return [_mutate("Bridge", named(self.device), gone)]


def _insert(table: str, row: str, values: Mapping[str, Any]) -> Request:
    return {"op": "insert", "table": table, "uuid": row, "row": dict(values)}


def _mutate(table: str, where: list[Any], *mutations: list[Any]) -> Request:
    return {"op": "mutate", "table": table, "where": where, "mutations": list(mutations)}


def _delete(table: str, ids: Mapping[str, str]) -> Request:
    where = [["external_ids", "includes", as_map(ids)]]
    return {"op": "delete", "table": table, "where": where}
