# SPDX-License-Identifier: Apache-2.0
"""Parts: the things that must exist on a host for one VIF, and how each compares with a host.

A part is a wish. ``operations()`` says which changes make it true on a given host: none where it
is true already. It raises Conflict where another's device stands in the way. All of it is pure.
"""

from vifplug.parts.bridge import Bridge, BridgePort, Claim
from vifplug.parts.part import Part, build
from vifplug.parts.tap import MOST_TAP_MTU, Tap, host_side_address
from vifplug.parts.uplink import Uplink, Vlan, uplink_of
from vifplug_ovs.parts.hybrid import FilterBridge, Veth
from vifplug_ovs.parts.representor import Representor, let_down, representor_of
from vifplug_vepa.parts.function import VirtualFunction, released
from vifplug_vepa.parts.lower import CARRIES_VLAN, MODES, PASSTHROUGH, Lower, leaked, stacked_on

CORE: tuple[type[Part], ...] = (
    Bridge,
    BridgePort,
    Claim,
    FilterBridge,
    Representor,
    Tap,
    Uplink,
    Veth,
    Vlan,
)
"""The kinds of part that the core itself can make."""

DIRECT: tuple[type[Part], ...] = (Lower, VirtualFunction, Vlan)
"""The kinds of part below a guest's macvtap or virtual function."""

__all__ = [
    "CARRIES_VLAN",
    "CORE",
    "DIRECT",
    "MODES",
    "MOST_TAP_MTU",
    "PASSTHROUGH",
    "Bridge",
    "BridgePort",
    "Claim",
    "FilterBridge",
    "Lower",
    "Part",
    "Representor",
    "Tap",
    "Uplink",
    "Veth",
    "VirtualFunction",
    "Vlan",
    "build",
    "host_side_address",
    "leaked",
    "let_down",
    "released",
    "representor_of",
    "stacked_on",
    "uplink_of",
]
