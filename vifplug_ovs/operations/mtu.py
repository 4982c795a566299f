# SPDX-License-Identifier: Apache-2.0
"""The MTU that Open vSwitch gives a bridge's own device. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vifplug.model.host import Host
from vifplug.model.thing import Thing
from vifplug.operations import Operation
from vifplug_ovs import things
from vifplug_ovs.operations.operation import OvsOperation
from vifplug_ovs.ovsdb.requests import Request, as_map, mutate, named, update
from vifplug_ovs.snapshot import planned

_KEY = "vifplug-mtu"
"""Notes on a bridge's interface that the MTU there is of our asking."""


@dataclass(frozen=True, kw_only=True)
class FixMtu(OvsOperation):
    """Ask for the MTU that a bridge's device has, unless somebody has asked for one.

    Until then, the switch lowers the device to the least MTU of the bridge's ports.
    """

    bridge: str
    mtu: int

    def __str__(self) -> str:
        return f"keep MTU {self.mtu} of {self.bridge}"

    def things(self, host: Host) -> tuple[Thing, ...]:
        return (things.bridge(self.bridge, host),)

    def foresee(self, host: Host) -> None:
        planned(host).fixed.add(self.bridge)

    def undo(self) -> Operation:
        return UnfixMtu(bridge=self.bridge, mtu=self.mtu)

    def requests(self) -> list[Request]:
        free = [*named(self.bridge), ["mtu_request", "==", ["set", []]]]
        note = ["external_ids", "insert", as_map({_KEY: str(self.mtu)})]
        return [mutate("Interface", free, note), _update(free, self.mtu)]


@dataclass(frozen=True, kw_only=True)
class UnfixMtu(OvsOperation):
    """Ask for no MTU of a bridge's device, where it was us who had asked."""

    bridge: str
    mtu: int

    def __str__(self) -> str:
        return f"leave the MTU of {self.bridge} to the switch"

    def things(self, host: Host) -> tuple[Thing, ...]:
        return (things.bridge(self.bridge, host),)

    def foresee(self, host: Host) -> None:
        return None

    def undo(self) -> None:
        return None

    def requests(self) -> list[Request]:
        note = {_KEY: str(self.mtu)}
        ours = [*named(self.bridge), ["external_ids", "includes", as_map(note)]]
        forget = ["external_ids", "delete", as_map(note)]
        return [_update(ours, ["set", []]), mutate("Interface", ours, forget)]


def _update(where: list[Any], mtu: Any) -> Request:
    return update("Interface", where, {"mtu_request": mtu})
