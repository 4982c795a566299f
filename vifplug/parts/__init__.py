# SPDX-License-Identifier: Apache-2.0
"""Parts: the things that must exist on a host for one VIF, and how each compares with a host.

A part is a wish. ``operations()`` says which changes make it true on a given host: none where it
is true already. It raises Conflict where another's device stands in the way. All of it is pure.
"""

from vifplug.parts.bridge import Bridge, BridgePort, Claim
from vifplug.parts.hybrid import FilterBridge, Veth
from vifplug.parts.part import Part, build
from vifplug.parts.tap import MOST_TAP_MTU, Tap, host_side_address
from vifplug.parts.uplink import Uplink, Vlan, uplink_of

CORE: tuple[type[Part], ...] = (
    Bridge,
    BridgePort,
    Claim,
    FilterBridge,
    Tap,
    Uplink,
    Veth,
    Vlan,
)
"""The kinds of part that the core itself can make."""

__all__ = [
    "CORE",
    "MOST_TAP_MTU",
    "Bridge",
    "BridgePort",
    "Claim",
    "FilterBridge",
    "Part",
    "Tap",
    "Uplink",
    "Veth",
    "Vlan",
    "build",
    "host_side_address",
    "uplink_of",
]
