# SPDX-License-Identifier: Apache-2.0
"""Names that Neutron's agents, Nova and os-vif know too: of devices, ports and bridges. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vifplug.model.mark import derived_name
from vifplug.model.vif import VIF

OVS, VHOSTUSER = "ovs", "vhostuser"
"""The vif_types that the plugin connects."""

MANUAL, AUTOMATIC, HYBRID = "manual", "automatic", "hybrid"
PROCESSES = (MANUAL, AUTOMATIC, HYBRID)
"""The ways in which a VIF of vif_type ovs is connected."""

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
