# SPDX-License-Identifier: Apache-2.0
"""Parts: the things that must exist on a host for one VIF, and how each compares with a host.

A part is a wish. ``operations()`` says which changes make it true on a given host: none where it
is true already. It raises Conflict where another's device stands in the way. A part also says how
it is un-made. All of it is pure.
"""

from vifplug.model.mark import UPLINK, VLAN_DEVICE
from vifplug.parts.bridge import Bridge, BridgePort, changes_mtu
from vifplug.parts.claim import BRIDGED, Claim, claimed_mtu
from vifplug.parts.guest import GuestTap
from vifplug.parts.mtu import FixedMtu
from vifplug.parts.part import LEAST_IPV6_MTU, Leaving, Part, build, drift, fresh
from vifplug.parts.roles import (
    BRIDGE,
    BRIDGES,
    HOST_DEVICE,
    Role,
    require_own_id,
    uplink_of,
    vlan_device,
)
from vifplug.parts.route import HostRoute, ProxyNeighbour, Sysctl
from vifplug.parts.tap import MOST_TAP_MTU, Tap, host_side_address, is_its_tap, stale_address
from vifplug.parts.uplink import Uplink, Vlan

CORE: tuple[type[Part], ...] = (
    Bridge,
    FixedMtu,
    BridgePort,
    Claim,
    GuestTap,
    Tap,
    Uplink,
    Vlan,
)
"""The kinds of part that the core itself can make, in the order in which they are un-made."""

__all__ = [
    "BRIDGE",
    "BRIDGED",
    "BRIDGES",
    "CORE",
    "HOST_DEVICE",
    "LEAST_IPV6_MTU",
    "MOST_TAP_MTU",
    "UPLINK",
    "VLAN_DEVICE",
    "Bridge",
    "BridgePort",
    "Claim",
    "FixedMtu",
    "GuestTap",
    "HostRoute",
    "Leaving",
    "Part",
    "ProxyNeighbour",
    "Role",
    "Sysctl",
    "Tap",
    "Uplink",
    "Vlan",
    "build",
    "changes_mtu",
    "claimed_mtu",
    "drift",
    "fresh",
    "host_side_address",
    "is_its_tap",
    "require_own_id",
    "stale_address",
    "uplink_of",
    "vlan_device",
]
