# SPDX-License-Identifier: Apache-2.0
"""Changes of ports in Open vSwitch's database, of their interfaces and QoS rows. Pure."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from vifplug.model.host import Host
from vifplug.model.thing import Thing, device
from vifplug.operations import Operation
from vifplug_ovs import things
from vifplug_ovs.names import DEAD_VLAN
from vifplug_ovs.operations.operation import DeviceOperation, OvsOperation, new_row
from vifplug_ovs.ovsdb.requests import (
    Request,
    as_map,
    bridge_is_there,
    by_row,
    delete,
    insert,
    mutate,
    named,
    no_port_is_there,
    update,
)
from vifplug_ovs.snapshot import VIF_ID, OvsPort, planned

_OS_VIF_QOS = uuid.UUID("68da264a-847f-42a8-8ab0-5e774aee3d95")
"""os-vif derives the id in the external_ids of its QoS rows from this and the port's name."""

_DEAD: Mapping[str, Any] = {"tag": DEAD_VLAN, "vlan_mode": "trunk", "trunks": DEAD_VLAN}
"""Neutron's dead VLAN. The mode and the trunks also keep out frames that have a tag already."""


@dataclass(frozen=True, kw_only=True)
class AddPort(DeviceOperation):
    """Make a port with its interface, and its QoS row if it has one, all with their marks.

    ``isolated``: the port passes nothing until Neutron's agent has given it a VLAN.
    """

    bridge: str
    port: OvsPort
    qos_type: str = ""
    isolated: bool = False
    row: str = new_row()
    interface: str = new_row()
    qos: str = new_row()

    @property
    def made(self) -> tuple[str, ...]:
        # The port of a device has that device's name, and may be that of a VIF that moves.
        return (self.device,) if self.port.type else ()

    def __str__(self) -> str:
        return f"add port {self.device} to {self.bridge}"

    def things(self, host: Host) -> tuple[Thing, ...]:
        return (
            things.bridge(self.bridge, host),
            *(() if self.port.type else (device(self.device, host),)),
        )

    def foresee(self, host: Host) -> None:
        # With the ofport by which vswitchd will say that it took the port.
        tag = DEAD_VLAN if self.isolated else None
        port = replace(self.port, row=self.row, interface=self.interface, ofport=1, tag=tag)
        planned(host).put_port(self.bridge, self.device, port)

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
        requests = [bridge_is_there(self.bridge)]
        if self.qos_type:
            port["qos"] = ["uuid", self.qos]
            row = {"type": self.qos_type, "external_ids": marks}
            # First, because a port that another program deleted leaves its QoS row behind.
            requests.append(delete("QoS", {VIF_ID: self.port.marks[VIF_ID]}))
            requests.append(insert("QoS", self.qos, row))
        return [
            *requests,
            insert("Interface", self.interface, interface),
            insert("Port", self.row, port),
            mutate("Bridge", named(self.bridge), ["ports", "insert", ["uuid", self.row]]),
        ]


@dataclass(frozen=True, kw_only=True)
class RemovePort(DeviceOperation):
    """Remove a port, and the QoS rows that are its own: ours, or os-vif's.

    ``qos`` is that row, and "" for none. None: the row is not known, so all of the VIF's go.
    ``again`` makes the port again, where that can be undone.
    """

    bridge: str
    row: str
    vif_id: str
    qos: str | None = None
    again: RestorePort | None = None

    @property
    def removed(self) -> tuple[str, ...]:
        return () if self.again else (self.device,)  # else the VIF moves, with its device

    def __str__(self) -> str:
        return f"remove port {self.device} from {self.bridge}"

    def things(self, host: Host) -> tuple[Thing, ...]:
        return (things.port(self.device, host),)

    def foresee(self, host: Host) -> None:
        planned(host).put_port(self.bridge, self.device, None)

    def undo(self) -> Operation | None:
        return self.again

    def takes_qos(self, external_ids: Mapping[str, str]) -> bool:
        """Whether a QoS row with these external_ids goes with the port."""
        return external_ids.get(VIF_ID) == self.vif_id or external_ids.get("id") == self._os_vif

    @property
    def _os_vif(self) -> str:
        return str(uuid.uuid5(_OS_VIF_QOS, self.device))

    def requests(self) -> list[Request]:
        return [
            # The port would keep its QoS row from going with it.
            update("Port", by_row(self.row), {"qos": ["set", []]}),
            mutate("Bridge", named(self.bridge), ["ports", "delete", ["uuid", self.row]]),
            *self._without_qos(),
            delete("QoS", {"id": self._os_vif}),
        ]

    def _without_qos(self) -> list[Request]:
        if self.qos is None:
            return [delete("QoS", {VIF_ID: self.vif_id})]
        where = by_row(self.qos)
        return [{"op": "delete", "table": "QoS", "where": where}] if self.qos else []


PORT_COLUMNS = ("name", "tag", "trunks", "cvlans", "vlan_mode", "protected", "qos",
                "other_config", "external_ids", "mac")  # fmt: skip
INTERFACE_COLUMNS = ("name", "type", "options", "other_config", "external_ids", "mac",
                     "mtu_request", "ofport_request", "ingress_policing_rate",
                     "ingress_policing_burst", "bfd", "lldp")  # fmt: skip
QOS_COLUMNS = ("type", "queues", "other_config", "external_ids")
"""The columns of a port, of its interface and of its QoS that others than vswitchd write."""


@dataclass(frozen=True, kw_only=True)
class RestorePort(DeviceOperation):
    """Make a port again that was removed, with the columns that it had; one that is there stays.

    The columns are as the database writes them. ``qos_columns`` are those of the QoS row that went
    with the port.
    """

    bridge: str
    columns: Mapping[str, Any]
    interface_columns: Mapping[str, Any]
    qos_columns: Mapping[str, Any] | None = None
    row: str = new_row()
    interface: str = new_row()
    qos: str = new_row()

    def __str__(self) -> str:
        return f"add port {self.device} to {self.bridge} again"

    def things(self, host: Host) -> tuple[Thing, ...]:
        return (things.bridge(self.bridge, host),)

    def undo(self) -> None:
        return None

    def requests(self) -> list[Request]:
        port = {**self.columns, "interfaces": ["uuid", self.interface]}
        qos = []
        if self.qos_columns is not None:
            port["qos"] = ["uuid", self.qos]
            qos.append(insert("QoS", self.qos, self.qos_columns))
        return [
            no_port_is_there(self.device),
            bridge_is_there(self.bridge),
            *qos,
            insert("Interface", self.interface, self.interface_columns),
            insert("Port", self.row, port),
            mutate("Bridge", named(self.bridge), ["ports", "insert", ["uuid", self.row]]),
        ]

    def is_done(self, refused: int) -> bool:
        return refused == 0


@dataclass(frozen=True, kw_only=True)
class RemoveQos(OvsOperation):
    """Remove the QoS rows that a VIF's port has left behind."""

    vif_id: str

    def __str__(self) -> str:
        return f"remove the QoS of {self.vif_id}"

    def things(self, host: Host) -> tuple[Thing, ...]:
        return ()

    def foresee(self, host: Host) -> None:
        return None

    def undo(self) -> None:
        return None

    def requests(self) -> list[Request]:
        return [delete("QoS", {VIF_ID: self.vif_id})]


@dataclass(frozen=True, kw_only=True)
class MovePort(DeviceOperation):
    """Move a port from one bridge to another; its rows stay."""

    source: str
    target: str
    row: str

    def __str__(self) -> str:
        return f"move port {self.device} from {self.source} to {self.target}"

    def things(self, host: Host) -> tuple[Thing, ...]:
        return (things.port(self.device, host), things.bridge(self.target, host))

    def foresee(self, host: Host) -> None:
        ovs = planned(host)
        before = ovs.port(self.device)
        ovs.put_port(self.source, self.device, None)
        if before:
            ovs.put_port(self.target, self.device, before[1])

    def undo(self) -> Operation:
        return replace(self, source=self.target, target=self.source)

    def requests(self) -> list[Request]:
        row = ["uuid", self.row]
        return [
            bridge_is_there(self.target),
            mutate("Bridge", named(self.source), ["ports", "delete", row]),
            mutate("Bridge", named(self.target), ["ports", "insert", row]),
        ]
