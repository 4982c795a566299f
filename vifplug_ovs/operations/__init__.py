# SPDX-License-Identifier: Apache-2.0
"""The changes of Open vSwitch's database that a plan is made of, each with its own undo. Pure.

``requests()`` is what a change comes to in a transaction (RFC 7047, 5.2). A row's UUID is ours to
choose (ovsdb-server(7), since 2.13): so an undo can name a row before the server has told its UUID.
"""

from vifplug_ovs.operations.bridges import AddBridge, ClaimBridge, RemoveBridge, UnclaimBridge
from vifplug_ovs.operations.mtu import FixMtu, UnfixMtu
from vifplug_ovs.operations.operation import DeviceOperation, OvsOperation
from vifplug_ovs.operations.ports import (
    AddPort,
    MovePort,
    RemovePort,
    RemoveQos,
)
from vifplug_ovs.operations.settings import SetIds, SetMtu, Settle, set_ids

__all__ = [
    "AddBridge",
    "AddPort",
    "ClaimBridge",
    "DeviceOperation",
    "FixMtu",
    "MovePort",
    "OvsOperation",
    "RemoveBridge",
    "RemovePort",
    "RemoveQos",
    "SetIds",
    "SetMtu",
    "Settle",
    "UnclaimBridge",
    "UnfixMtu",
    "set_ids",
]
