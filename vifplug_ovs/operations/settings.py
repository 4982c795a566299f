# SPDX-License-Identifier: Apache-2.0
"""Changes of the settings of a row that stays: external_ids, MTU, another try to open it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from vifplug.model.host import Host
from vifplug.model.thing import Thing
from vifplug.operations import Operation
from vifplug_ovs import things
from vifplug_ovs.operations.operation import DeviceOperation, Pairs
from vifplug_ovs.ovsdb.requests import Request, as_map, by_row, mutate
from vifplug_ovs.snapshot import planned


@dataclass(frozen=True, kw_only=True)
class SetIds(DeviceOperation):
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

    def things(self, host: Host) -> tuple[Thing, ...]:
        return (
            things.bridge(self.device, host)
            if self.table == "Bridge"
            else things.port(self.device, host),
        )

    def foresee(self, host: Host) -> None:
        ovs = planned(host)
        own = ovs.bridge(self.device) if self.table == "Bridge" else None
        if own:
            ovs.put_bridge(self.device, replace(own, marks=self._on(own.marks)))
        before = None if own else ovs.port(self.device)
        if before is None:
            return
        bridge, port = before
        if self.table == "Port":
            after = replace(port, marks=self._on(port.marks))
        elif self.column == "options":
            after = replace(port, options=self._on(port.options))
        else:
            after = replace(port, external_ids=self._on(port.external_ids))
        ovs.put_port(bridge, self.device, after)

    def _on(self, pairs: Mapping[str, str]) -> dict[str, str]:
        return {k: v for k, v in {**pairs, **self.value}.items() if v is not None}

    def undo(self) -> Operation:
        return replace(self, value=self.before, before=self.value)

    def requests(self) -> list[Request]:
        # Deleted first, because an insert does not replace the value of a key.
        pairs = {key: value for key, value in self.value.items() if value is not None}
        return [
            mutate(
                self.table,
                by_row(self.row),
                [self.column, "delete", ["set", list(self.value)]],
                [self.column, "insert", as_map(pairs)],
            )
        ]


@dataclass(frozen=True, kw_only=True)
class SetMtu(DeviceOperation):
    """Set the MTU that the switch gives a port."""

    row: str
    value: int | None
    before: int | None

    def __str__(self) -> str:
        return f"set {self.device} mtu_request {self.value}"

    def things(self, host: Host) -> tuple[Thing, ...]:
        return (things.port(self.device, host),)

    def foresee(self, host: Host) -> None:
        ovs = planned(host)
        if before := ovs.port(self.device):
            bridge, port = before
            ovs.put_port(bridge, self.device, replace(port, mtu_request=self.value))

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
class Settle(DeviceOperation):
    """Have vswitchd try again to open a port that it could not open when it last tried."""

    bridge: str

    def __str__(self) -> str:
        return f"have Open vSwitch take {self.device}"

    def things(self, host: Host) -> tuple[Thing, ...]:
        return (things.port(self.device, host),)

    def foresee(self, host: Host) -> None:
        ovs = planned(host)
        if before := ovs.port(self.device):
            bridge, port = before
            ovs.put_port(bridge, self.device, replace(port, ofport=1, error=None))

    def undo(self) -> None:
        return None

    def requests(self) -> list[Request]:
        return []  # the transaction's new configuration number is enough


def set_ids(
    device: str,
    bridge: str,
    table: str,
    row: str,
    wanted: Mapping[str, str],
    current: Mapping[str, str],
    *,
    column: str = "external_ids",
) -> tuple[Operation, ...]:
    """Return the operation that gives a row the keys that it lacks, or that hold other values."""
    differs = {key: value for key, value in wanted.items() if current.get(key) != value}
    if not differs:
        return ()
    operation = SetIds(
        device=device,
        bridge=bridge,
        table=table,
        column=column,
        row=row,
        value=differs,
        before={key: current.get(key) for key in differs},
    )
    return (operation,)
