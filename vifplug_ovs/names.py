# SPDX-License-Identifier: Apache-2.0
"""The names of what is made for a VIF: those that Neutron's agents, Nova and os-vif know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vifplug.model.mark import derived_name
from vifplug.model.vif import VIF

OWN_BRIDGE, OWN_PATCH, INTEGRATION_PATCH = "pb", "pbp", "ibp"
"""Of a bridge per port: the bridge, and the two ends of the patch to the integration bridge."""

VHOST_USER = "vhu"
TRUNK_BRIDGE = "tbr-"
"""How the bridges begin that Neutron's trunks have, one a trunk."""


def port_names(vif: VIF, options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the ports that a VIF may have."""
    if vif.vif_type == "vhostuser":
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
