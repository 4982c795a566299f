# SPDX-License-Identifier: Apache-2.0
"""The parts of the direct family: what a macvtap or a network card's function needs. Pure."""

from vifplug.parts import Claim, Part, Vlan
from vifplug_vepa.parts.function import VirtualFunction
from vifplug_vepa.parts.lower import CARRIES_VLAN, MODES, PASSTHROUGH, Lower
from vifplug_vepa.parts.required import Edge, Function, PortProfile

KINDS: tuple[type[Part], ...] = (Claim, Vlan, Lower, VirtualFunction, Edge, Function, PortProfile)
"""The kinds of part of this plugin, in the order in which they are un-made.

A VLAN device goes before the device below it is set down.
"""

__all__ = [
    "CARRIES_VLAN",
    "KINDS",
    "MODES",
    "PASSTHROUGH",
    "Edge",
    "Function",
    "Lower",
    "PortProfile",
    "VirtualFunction",
]
