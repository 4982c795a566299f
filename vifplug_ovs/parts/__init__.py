# SPDX-License-Identifier: Apache-2.0
"""What a VIF on Open vSwitch needs: rows of its database, and devices of the kernel. Pure."""

from vifplug.parts import CORE, Part
from vifplug_ovs.names import DATAPATHS, QOS_TYPES, SOCKET
from vifplug_ovs.parts.bridge import Bridge, Claim, OwnBridge
from vifplug_ovs.parts.hybrid import FilterBridge, Veth
from vifplug_ovs.parts.mtu import FixedMtu, used_by_host
from vifplug_ovs.parts.port import PATCH, GuestPort, Port
from vifplug_ovs.parts.removal import leaving, removal
from vifplug_ovs.parts.representor import Representor, representor_of

KINDS: tuple[type[Part], ...] = (
    *CORE,
    FilterBridge,
    Veth,
    Representor,
    Bridge,
    OwnBridge,
    FixedMtu,
    Port,
    GuestPort,
    Claim,
)
"""The kinds of part that the plugin uses, in the order in which they are un-made."""

__all__ = [
    "DATAPATHS",
    "KINDS",
    "PATCH",
    "QOS_TYPES",
    "SOCKET",
    "Bridge",
    "Claim",
    "FilterBridge",
    "FixedMtu",
    "GuestPort",
    "OwnBridge",
    "Port",
    "Representor",
    "Veth",
    "leaving",
    "removal",
    "representor_of",
    "used_by_host",
]
