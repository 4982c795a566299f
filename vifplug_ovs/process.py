# SPDX-License-Identifier: Apache-2.0
"""How an OVS VIF is connected: manual, automatic or hybrid.

Source: the LibvirtVIFDrivers blueprint, "Determining VIF setup process".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vifplug.model.host import Host
from vifplug.model.mark import Owner, derived_name
from vifplug.model.vif import VIF
from vifplug_ovs.names import INTEGRATION_PATCH
from vifplug_ovs.snapshot import IFACE_ID

MANUAL, AUTOMATIC, HYBRID = "manual", "automatic", "hybrid"
PROCESSES = (MANUAL, AUTOMATIC, HYBRID)
CHOOSE = "choose"

_VIRTUALPORT = (0, 9, 11)
"""The libvirt that first makes OVS ports by itself."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A process, what decided, and what would be chosen for a VIF that was not plugged."""

    process: str
    why: str
    fresh: str = ""


def choose(
    vif: VIF, host: Host, *, details: Mapping[str, bool], pinned: str, beforehand: str = ""
) -> Choice:
    """Return how a VIF is connected: as it is plugged, as it is pinned, or as this host can.

    ``details`` are the VIF's pins, ``pinned`` is the option's; ``beforehand`` names an option for
    which the port must be ours.
    """
    fresh = _fresh(vif, host, details, pinned, beforehand)
    plugged = _plugged(vif, host)
    if plugged is None:
        return fresh
    return Choice(process=plugged, why="as it is plugged", fresh=fresh.process)


def _fresh(
    vif: VIF, host: Host, details: Mapping[str, bool], pinned: str, beforehand: str
) -> Choice:
    if details["ovs_hybrid_plug"]:
        return Choice(process=HYBRID, why="details.ovs_hybrid_plug")
    if details["ovs_create_tap"]:
        return Choice(process=MANUAL, why="details.ovs_create_tap")
    if pinned != CHOOSE:
        return Choice(process=pinned, why="option process")
    if host.firewall and not vif.filtered:
        return Choice(process=HYBRID, why="a firewall is required here")
    if details["delegate_create"]:
        # Whoever moves a guest waits for its port before the guest is there.
        return Choice(process=MANUAL, why="details.delegate_create")
    if beforehand:
        return Choice(process=MANUAL, why=f"option {beforehand}")
    version = f"libvirt {host.libvirt_version}"
    if host.libvirt_at_least(*_VIRTUALPORT):
        return Choice(process=AUTOMATIC, why=version)
    return Choice(process=MANUAL, why=version)


def _plugged(vif: VIF, host: Host) -> str | None:
    """Return how the VIF is plugged: by our marks, else by what Nova or os-vif left for it."""
    for mark, process in marks(vif).items():
        if host.carrying(mark):
            return process
    if host.ovs is not None:
        for _, port in host.ovs.marked(vif.id).values():
            if port.mark and port.mark.process in PROCESSES:
                return port.mark.process
        for _, claim, _ in host.ovs.claims(vif.id):
            if claim.process in PROCESSES:
                return claim.process
    return _by_others(vif, host)


def marks(vif: VIF) -> Mapping[str, str]:
    """Return the marks of devices that tell how a VIF is plugged, and the process of each."""
    roles = (HYBRID, "qbr"), (HYBRID, "qvb"), (HYBRID, "qvo"), (MANUAL, "tap")
    return {
        Owner(vif_id=vif.id, vif_type=vif.vif_type, process=process).mark(role): process
        for process, role in roles
    }


def _by_others(vif: VIF, host: Host) -> str | None:
    bridge = host.link(derived_name("qbr", vif.id))
    if bridge and bridge.kind == "bridge" and not bridge.marks:
        return HYBRID
    interface_id = vif.interface_id or vif.id
    for name, (_, port) in (host.ovs.bearing(interface_id) if host.ovs else {}).items():
        if port.by_libvirt:
            return AUTOMATIC
        if name == derived_name("qvo", vif.id):
            return HYBRID
        if name == derived_name(INTEGRATION_PATCH, vif.id):
            return MANUAL
        if name == (vif.devname or derived_name("tap", vif.id)) and IFACE_ID in port.external_ids:
            return MANUAL
    return None
