# SPDX-License-Identifier: Apache-2.0
"""The simulated Open vSwitch for one call: a database with transactions, and its vswitchd."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from tests.histories import kernel
from tests.histories.state import State, device
from vifplug.operations import Operation, SwitchOperation
from vifplug.switch import Departure, Order, Refused, Switch, Wanted
from vifplug_ovs import parts
from vifplug_ovs.operations import (
    AddBridge,
    AddPort,
    MovePort,
    RemoveBridge,
    RemovePort,
    RemoveQos,
    SetIds,
    SetMtu,
    Settle,
)
from vifplug_ovs.operations.ports import RestorePort
from vifplug_ovs.order import in_order
from vifplug_ovs.snapshot import Ovs, OvsBridge, OvsPort

Step = Callable[[], None]
"""Counts a step of the daemon, which may be its last."""


class SimulatedSwitch(Switch):
    """Open vSwitch on a simulated host; ``step`` is called where the real one can be cut off."""

    def __init__(self, state: State, step: Step) -> None:
        self._state, self._step = state, step
        self._seen: Ovs | None = None

    def close(self) -> None:
        return None

    def seek(self, wanted: Sequence[Wanted], *, meanwhile: Callable[[], object]) -> Ovs:
        return self._state.ovs()

    def removals(self, vifs: Sequence[Departure]) -> Sequence[Sequence[Operation]]:
        self._seen = ovs = self._state.ovs()
        return [parts.removal(vif.vif_id, vif.interface_id, ovs) for vif in vifs]

    def seen(self) -> Ovs | None:
        return self._seen

    def leaving(self, vif: Departure) -> Sequence[Operation]:
        ovs = self._state.ovs()
        found = parts.leaving(vif.vif_id, vif.interface_id, ovs)
        return [self._restorable(operation) for operation in found]

    def _restorable(self, operation: Operation) -> Operation:
        if not isinstance(operation, RemovePort):
            return operation
        port = self._state.bridges[operation.bridge].ports[operation.device]
        again = RestorePort(device=operation.device, bridge=operation.bridge,
                            columns={"port": port}, interface_columns={})  # fmt: skip
        return replace(operation, again=again)

    def order(self, operations: Sequence[Operation], *, alone: Wanted | None) -> Order:
        return in_order(operations, racing=False)

    def send(self, groups: Sequence[Sequence[SwitchOperation]]) -> None:
        self._step()
        before, closed = dict(self._state.bridges), self._state.closed
        try:
            for group in groups:
                for operation in group:
                    _do(operation, self._state)
        except Refused:
            self._state.bridges, self._state.closed = before, closed
            raise
        kernel.settle(self._state)

    def confirm(self) -> None:
        self._step()

    def settled(
        self, groups: Sequence[Sequence[SwitchOperation]], *, meanwhile: Callable[[], object]
    ) -> Sequence[str | None]:
        meanwhile()
        ovs = self._state.ovs()
        return [_complaint(group, ovs) for group in groups]

    def take_back(self, operation: SwitchOperation) -> None:
        _do(operation, self._state)
        kernel.settle(self._state)


def _complaint(group: Sequence[SwitchOperation], ovs: Ovs) -> str | None:
    for operation in group:
        if isinstance(operation, AddPort | MovePort | Settle):
            found = ovs.port(operation.device)
            if found is None or found[1].error:
                why = found[1].error if found else "the port has gone again"
                return f"Open vSwitch did not take {operation.device}: {why}"
    return None


def _bridge(name: str, state: State) -> OvsBridge:
    if name not in state.bridges:
        raise Refused(f"there is no bridge named {name}")
    return state.bridges[name]


def put_port(state: State, bridge: str, name: str, port: OvsPort | None) -> None:
    """Put a port on a bridge, or with None take it away."""
    ports = {n: p for n, p in _bridge(bridge, state).ports.items() if n != name}
    moved = port is not None and place_of(state, name) is None
    if port:
        ports[name] = port
    if port is None:
        state.closed -= {name}
    elif moved and name not in state.links:
        state.closed |= {name}
    state.bridges[bridge] = replace(state.bridges[bridge], ports=ports)


def place_of(state: State, name: str) -> tuple[str, OvsPort] | None:
    """Return the bridge that has a port, and the port."""
    return next(((b, row.ports[name]) for b, row in state.bridges.items() if name in row.ports),
                None)  # fmt: skip


def _do(operation: Operation, state: State) -> None:
    match operation:
        case AddBridge():
            if operation.device in state.bridges:
                raise Refused(f"there is a bridge {operation.device} already")
            own = OvsPort(type="internal", ofport=65534, row=operation.port,
                          interface=operation.interface)  # fmt: skip
            state.bridges[operation.device] = OvsBridge(
                datapath_type=operation.datapath_type, row=operation.row,
                marks=dict(operation.marks), ports={operation.device: own})  # fmt: skip
            state.links[operation.device] = device("tap", state.next_index())
        case RemoveBridge():
            row = state.bridges.get(operation.device)
            if row and (operation.port is None or row.ports.keys() == {operation.device}):
                del state.bridges[operation.device]
                state.links.pop(operation.device, None)
        case AddPort():
            if place_of(state, operation.device):
                raise Refused(f"there is a port {operation.device} already")
            port = replace(operation.port, row=operation.row, interface=operation.interface)
            put_port(state, operation.bridge, operation.device, port)
        case RestorePort():
            if not place_of(state, operation.device):
                put_port(state, operation.bridge, operation.device, operation.columns["port"])
        case RemovePort():
            _remove_port(operation, state)
        case MovePort():
            found = place_of(state, operation.device)
            _bridge(operation.target, state)
            if found:
                put_port(state, found[0], operation.device, None)
                put_port(state, operation.target, operation.device, found[1])
        case SetIds():
            _set_ids(operation, state)
        case SetMtu():
            if found := place_of(state, operation.device):
                after = replace(found[1], mtu_request=operation.value)
                put_port(state, found[0], operation.device, after)
        case Settle() | RemoveQos():
            return
        case other:
            raise NotImplementedError(f"the simulated switch can't {other!r}")


def _remove_port(operation: RemovePort, state: State) -> None:
    bridge = state.bridges.get(operation.bridge)
    port = bridge.ports.get(operation.device) if bridge else None
    if port and port.row == operation.row:
        put_port(state, operation.bridge, operation.device, None)


def _set_ids(operation: SetIds, state: State) -> None:
    found = place_of(state, operation.device)
    if operation.table == "Bridge" or found is None:
        raise NotImplementedError(f"the simulated switch can't {operation!r}")
    bridge, port = found

    def changed(pairs: Mapping[str, str]) -> dict[str, str]:
        return {k: v for k, v in {**pairs, **operation.value}.items() if v is not None}

    if operation.table == "Port":
        after = replace(port, marks=changed(port.marks))
    elif operation.column == "options":
        after = replace(port, options=changed(port.options))
    else:
        after = replace(port, external_ids=changed(port.external_ids))
    put_port(state, bridge, operation.device, after)
