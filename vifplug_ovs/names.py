# SPDX-License-Identifier: Apache-2.0
"""Names that Neutron's agents, Nova and os-vif know too, and what options may say. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vifplug.fields import LINE, Choice, Table, Text
from vifplug.model.mark import derived_name
from vifplug.model.vif import VIF

OVS, VHOSTUSER = "ovs", "vhostuser"
"""The vif_types that the plugin connects."""

MANUAL, AUTOMATIC, HYBRID = "manual", "automatic", "hybrid"
PROCESSES = (MANUAL, AUTOMATIC, HYBRID)
"""The ways in which a VIF of vif_type ovs is connected."""

CHOOSE = "choose"
"""The value of option process that leaves the choice to the plugin."""

AGENT, OVN = "openvswitch", "ovn"
"""The mechanism drivers of Neutron by which a port is wired: by the Open vSwitch agent, by OVN."""

DRIVERS = Table(LINE, most=64)
"""Neutron's ``bound_drivers``: the mechanism driver that has bound the port, by level."""

DEAD_VLAN = 4095
"""The tag of the ports that Neutron's agent has not wired, or has taken out of their network."""

DATAPATHS = Choice("system", "netdev")
QOS_TYPES = Choice("", "linux-noop", "linux-htb", "linux-hfsc", "linux-sfq", "linux-codel",
                   "linux-fq_codel", "linux-netem")  # fmt: skip
SOCKET = Text(
    r"(?=.{2,107}$)(?!.*/\.{1,2}(?:/|$))(?:/[A-Za-z0-9_.+@:-]+)+",
    "the absolute path of a socket: at most 107 of A-Z a-z 0-9 _ . + @ : - /, without . and ..",
)

OWN_BRIDGE, OWN_PATCH, INTEGRATION_PATCH = "pb", "pbp", "ibp"
"""Prefixes where each port has an own bridge: of the bridge, and of both ends of its patch."""

VHOST_USER = "vhu"
TRUNK_BRIDGE = "tbr-"
"""The prefix of the bridges that Neutron makes, one for each trunk."""


def port_names(vif: VIF, options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the ports that a VIF may have."""
    if vif.vif_type == VHOSTUSER:
        return (vif.devname or derived_name(VHOST_USER, vif.id),)
    names = [vif.devname or derived_name("tap", vif.id), derived_name("qvo", vif.id)]
    if options["per_port_bridge"]:
        names += [derived_name(prefix, vif.id) for prefix in (OWN_PATCH, INTEGRATION_PATCH)]
    return tuple(names)


def within(socket: str, folder: str) -> bool:
    """Whether a socket lies below a folder. /var/run is /run."""
    return _run(socket).startswith(f"{_run(folder)}/")


def _run(path: str) -> str:
    return path.removeprefix("/var") if path.startswith("/var/run/") else path
