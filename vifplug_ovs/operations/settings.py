# SPDX-License-Identifier: Apache-2.0
"""Changes of the settings of a row that stays: external_ids, MTU, another try to open it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from vifplug.model.host import Host
from vifplug.model.thing import Thing
from vifplug.operations import Operation
from vifplug_ovs import things
from vifplug_ovs.operations.operation import DeviceOperation, Pairs
from vifplug_ovs.ovsdb.requests import Request, as_map, by_row, mutate, update
from vifplug_ovs.snapshot import OvsPort, planned


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
        else:
            _change(self.device, host, self._changed)

    def _changed(self, port: OvsPort) -> OvsPort:
        if self.table == "Port":
            return replace(port, marks=self._on(port.marks))
        if self.column == "options":
            return replace(port, options=self._on(port.options))
        return replace(port, external_ids=self._on(port.external_ids))

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
        _change(self.device, host, lambda port: replace(port, mtu_request=self.value))

    def undo(self) -> Operation:
        return replace(self, value=self.before, before=self.value)

    def requests(self) -> list[Request]:
        value = ["set", []] if self.value is None else self.value
        return [update("Interface", by_row(self.row), {"mtu_request": value})]


@dataclass(frozen=True, kw_only=True)
class Settle(DeviceOperation):
    """Have vswitchd try again to open a port that it could not open when it last tried."""

    bridge: str

    def __str__(self) -> str:
        return f"have Open vSwitch take {self.device}"

    def things(self, host: Host) -> tuple[Thing, ...]:
        return (things.port(self.device, host),)

    def foresee(self, host: Host) -> None:
        _change(self.device, host, lambda port: replace(port, ofport=1, error=None))

    def undo(self) -> None:
        return None

    def requests(self) -> list[Request]:
        return []  # the transaction's new configuration number is enough


def _change(name: str, host: Host, change: Callable[[OvsPort], OvsPort]) -> None:
    """Note a port as changed on a host that is being planned, where it has one of the name."""
    ovs = planned(host)
    if before := ovs.port(name):
        bridge, port = before
        ovs.put_port(bridge, name, change(port))


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
