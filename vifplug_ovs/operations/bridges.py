# SPDX-License-Identifier: Apache-2.0
"""Changes of bridges in Open vSwitch's database, and of claims on them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vifplug.model.host import Host
from vifplug.model.thing import Thing
from vifplug.operations import AddClaim, Operation, RemoveClaim
from vifplug_ovs import things
from vifplug_ovs.operations.operation import DeviceOperation, new_row
from vifplug_ovs.ovsdb.requests import (
    Request,
    as_map,
    by_row,
    insert,
    mutate,
)
from vifplug_ovs.snapshot import OvsBridge, planned


@dataclass(frozen=True, kw_only=True)
class AddBridge(DeviceOperation):
    """Make a bridge that isn't there; its marks say that we made it, and for which VIF alone."""

    marks: Mapping[str, str]
    datapath_type: str
    own: bool = False
    row: str = new_row()
    port: str = new_row()
    interface: str = new_row()

    @property
    def made(self) -> tuple[str, ...]:
        return (self.device,)

    def __str__(self) -> str:
        return f"make OVS bridge {self.device}"

    def things(self, host: Host) -> tuple[Thing, ...]:
        return ()

    def foresee(self, host: Host) -> None:
        bridge = OvsBridge(
            datapath_type=self.datapath_type, row=self.row, claims={}, ports={}, marks=self.marks
        )
        planned(host).put_bridge(self.device, bridge)

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
            insert("Interface", self.interface, {"name": self.device, "type": "internal"}),
            insert("Port", self.port, own),
            insert("Bridge", self.row, bridge),
            mutate("Open_vSwitch", [], ["bridges", "insert", ["uuid", self.row]]),
        ]


@dataclass(frozen=True, kw_only=True)
class RemoveBridge(DeviceOperation):
    """Remove a shared bridge that has no port but its own, ``port``; a bridge in use stays.

    Without ``port`` the bridge is a VIF's own, and goes with all that it has.
    """

    row: str
    port: str | None = None

    @property
    def removed(self) -> tuple[str, ...]:
        return (self.device,)

    def __str__(self) -> str:
        return f"remove OVS bridge {self.device}"

    def things(self, host: Host) -> tuple[Thing, ...]:
        return (things.bridge(self.device, host),)

    def foresee(self, host: Host) -> None:
        planned(host).put_bridge(self.device, None)

    def undo(self) -> None:
        return None

    def requests(self) -> list[Request]:
        removed = mutate("Open_vSwitch", [], ["bridges", "delete", ["uuid", self.row]])
        if self.port is None:
            return [removed]
        unused = {
            "op": "wait",
            "timeout": 0,
            "table": "Bridge",
            "where": by_row(self.row),
            "columns": ["ports"],
            "until": "==",
            "rows": [{"ports": ["uuid", self.port]}],
        }
        return [unused, removed]

    def is_done(self, refused: int) -> bool:
        return True  # a bridge that other VIFs have joined meanwhile stays


@dataclass(frozen=True, kw_only=True)
class ClaimBridge(AddClaim):
    """Note that a VIF uses a bridge, and the interface id of the port that will come."""

    def __str__(self) -> str:
        return f"claim OVS bridge {self.device}"

    def things(self, host: Host) -> tuple[Thing, ...]:
        return (things.bridge(self.device, host),)

    def foresee(self, host: Host) -> None:
        planned(host).put_claim(self.device, self.mark, True)

    def undo(self) -> Operation:
        return UnclaimBridge(device=self.device, claim=self.claim, token=self.token)


@dataclass(frozen=True, kw_only=True)
class UnclaimBridge(RemoveClaim):
    """Take a VIF's claim from a bridge."""

    def __str__(self) -> str:
        return f"unclaim OVS bridge {self.device}"

    def foresee(self, host: Host) -> None:
        planned(host).put_claim(self.device, self.mark, False)

    def undo(self) -> Operation:
        return ClaimBridge(device=self.device, claim=self.claim, token=self.token)
