# SPDX-License-Identifier: Apache-2.0
"""A bridge per port: the VIF's device on a bridge of its own, with a patch to the switch's. Pure.

The port that bears the VIF's ids is then there, with a number, before the guest's device is, so
that OVN has its flows ready when a migrated guest goes on. Source: os-vif's per_port_bridge,
LP 1933517.
"""

from __future__ import annotations

from dataclasses import replace

from vifplug.model.host import Host
from vifplug.model.mark import derived_name
from vifplug.model.vif import VIF
from vifplug.parts import Part
from vifplug_ovs.names import INTEGRATION_PATCH, OWN_BRIDGE, OWN_PATCH
from vifplug_ovs.parts import PATCH, Bridge, OwnBridge, Port
from vifplug_ovs.ports import datapath_of
from vifplug_ovs.snapshot import Ovs


def has_one(vif: VIF, host: Host) -> bool:
    """Whether a VIF has a bridge of its own."""
    ovs = host.switch(Ovs)
    return ovs is not None and ovs.own_bridge(vif.id) is not None


def parts(vif: VIF, host: Host, port: Port, bridge: Bridge) -> tuple[Part, ...]:
    """Return the parts of a VIF whose device is on a bridge of its own.

    ``port`` is the port that the VIF would have on the shared ``bridge``. Its ids go to the patch.
    """
    own, near, far = (
        derived_name(prefix, vif.id) for prefix in (OWN_BRIDGE, OWN_PATCH, INTEGRATION_PATCH)
    )
    device = Port(
        name=port.name,
        bridge=own,
        address=port.address,
        mtu=port.mtu,
        qos_type=port.qos_type,
    )
    inner = Port(name=near, bridge=own, address=port.address, type=PATCH, peer=far)
    outer = replace(
        port,
        name=far,
        mtu=None,
        qos_type="",
        type=PATCH,
        peer=near,
        beside=(port.name, near),
    )
    return OwnBridge(name=own, datapath_type=datapath_of(bridge, host)), device, inner, outer
