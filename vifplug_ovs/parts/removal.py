# SPDX-License-Identifier: Apache-2.0
"""The operations that take a VIF out of Open vSwitch. Pure."""

from __future__ import annotations

from vifplug.errors import Conflict
from vifplug.operations import Operation
from vifplug_ovs.operations import RemoveBridge, RemovePort, RemoveQos, UnclaimBridge
from vifplug_ovs.snapshot import Ovs


def removal(vif_id: str, interface_id: str | None, ovs: Ovs) -> tuple[Operation, ...]:
    """Return the operations that take everything of a VIF out of the switch, its claims last."""
    ports = ovs.of(vif_id, interface_id)
    bridge = ovs.own_bridge(vif_id)
    if bridge:
        # Named one by one, because os-vif's ports there bear no ids but have QoS rows.
        own = ovs.bridges[bridge].ports
        ports |= {name: (bridge, port) for name, port in own.items() if name != bridge}
    operations: list[Operation] = [
        RemovePort(device=name, bridge=on, row=port.row, vif_id=vif_id)
        for name, (on, port) in ports.items()
    ]
    if not ports and vif_id in ovs.qos:
        operations.append(RemoveQos(vif_id=vif_id))
    if bridge:
        operations.append(RemoveBridge(device=bridge, row=ovs.bridges[bridge].row))
    operations += [
        UnclaimBridge(device=on, claim=str(claim), token=ovs.token(on))
        for on, claim in ovs.claims(vif_id)
    ]
    return tuple(operations)


def leaving(vif_id: str, interface_id: str | None, ovs: Ovs) -> tuple[Operation, ...]:
    """Return the operations that take a VIF out of the switch which moves elsewhere.

    Raises Conflict where it has a bridge of its own, which can't be made again.
    """
    operations = removal(vif_id, interface_id, ovs)
    for operation in operations:
        if isinstance(operation, RemoveBridge):
            needed = "no bridge of the VIF's own: unplug the VIF there first"
            raise Conflict(vif_id, f"OVS bridge {operation.device}", "is this VIF's", needed)
    return operations
