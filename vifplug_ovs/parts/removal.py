# SPDX-License-Identifier: Apache-2.0
"""What takes a VIF out of Open vSwitch's database. Pure."""

from __future__ import annotations

from vifplug_ovs.operations.bridges import RemoveBridge, RemoveClaim
from vifplug_ovs.operations.operation import OvsOperation
from vifplug_ovs.operations.ports import RemovePort, RemoveQos
from vifplug_ovs.parts.bridge import own_bridge
from vifplug_ovs.snapshot import Ovs


def removal(vif_id: str, interface_id: str | None, ovs: Ovs) -> tuple[OvsOperation, ...]:
    """Return what takes all that is a VIF's out of the database."""
    there = ovs.of(vif_id, interface_id)
    bridge = own_bridge(vif_id, ovs)
    if bridge:
        # Ports of os-vif's that bear no ids go as well, with their QoS.
        there |= {n: (bridge, port) for n, port in ovs.bridges[bridge].ports.items() if n != bridge}
    found: list[OvsOperation] = [
        RemovePort(device=name, bridge=on, row=port.row, vif_id=vif_id)
        for name, (on, port) in there.items()
    ]
    if not there and vif_id in ovs.qos:
        found.append(RemoveQos(device=vif_id))
    if bridge:
        found.append(RemoveBridge(device=bridge, row=ovs.bridges[bridge].row))
    found += [
        RemoveClaim(device=on, claim=str(mark), interface_id=noted)
        for on, mark, noted in ovs.claims(vif_id)
    ]
    return tuple(found)
