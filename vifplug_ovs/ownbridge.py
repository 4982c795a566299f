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
from vifplug_ovs.parts.bridge import Bridge, OwnBridge, own_bridge
from vifplug_ovs.parts.port import PATCH, Port
from vifplug_ovs.ports import datapath_of


def there(vif: VIF, host: Host) -> bool:
    """Whether a VIF has a bridge of its own."""
    return host.ovs is not None and own_bridge(vif.id, host.ovs) is not None


def parts(vif: VIF, host: Host, port: Port, bridge: Bridge) -> tuple[Part, ...]:
    """Return what puts a VIF's port on a bridge of its own, and its ids on the patch from there."""
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
