# SPDX-License-Identifier: Apache-2.0
"""How an OVS VIF is connected: manual, automatic or hybrid. Pure.

Source: the LibvirtVIFDrivers blueprint, "Determining VIF setup process".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vifplug.model.host import Host
from vifplug.model.mark import Owner, derived_name
from vifplug.model.vif import VIF
from vifplug_ovs.names import AUTOMATIC, CHOOSE, HYBRID, INTEGRATION_PATCH, MANUAL, PROCESSES
from vifplug_ovs.snapshot import IFACE_ID, Ovs

_VIRTUALPORT = (0, 9, 11)
"""The libvirt that first makes OVS ports by itself."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A process, why, and ``fresh``: the process that an unplugged VIF would get today."""

    process: str
    why: str
    fresh: str = ""


def choose(
    vif: VIF, host: Host, *, details: Mapping[str, bool], pinned: str, beforehand: str = ""
) -> Choice:
    """Return how a VIF is connected: as it is plugged, as it is pinned, or as this host can.

    ``details`` are the VIF's pins, ``pinned`` is the option's. ``beforehand`` names an option or a
    detail that works only where the port is made before the guest.
    """
    plugged = _plugged(vif, host)
    if plugged is None:
        runs = _guest_runs(vif, host)
        return _fresh(vif, host, details, pinned, beforehand, runs=runs)
    fresh = _fresh(vif, host, details, pinned, beforehand, runs=False)
    return Choice(process=plugged, why="as it is plugged", fresh=fresh.process)


def _fresh(
    vif: VIF, host: Host, details: Mapping[str, bool], pinned: str, beforehand: str, *, runs: bool
) -> Choice:
    """Return how a VIF that is not plugged is connected; ``runs``: its guest runs already."""
    if details["ovs_hybrid_plug"]:
        return Choice(process=HYBRID, why="details.ovs_hybrid_plug")
    if details["ovs_create_tap"]:
        return Choice(process=MANUAL, why="details.ovs_create_tap")
    if pinned != CHOOSE:
        return Choice(process=pinned, why="option process")
    if host.firewall and not vif.filtered:
        return Choice(process=HYBRID, why="a firewall is required here")
    if details["delegate_create"]:
        # Nova waits for the port of a guest that it moves here before the guest comes.
        return Choice(process=MANUAL, why="details.delegate_create")
    if beforehand:
        return Choice(process=MANUAL, why=beforehand)
    if runs:
        # libvirt makes a port when a guest starts, and never for one that runs.
        return Choice(process=MANUAL, why="its guest runs")
    version = f"libvirt {host.libvirt_version}"
    if host.libvirt_at_least(*_VIRTUALPORT):
        return Choice(process=AUTOMATIC, why=version)
    return Choice(process=MANUAL, why=version)


def _guest_runs(vif: VIF, host: Host) -> bool:
    tap = host.link(vif.devname or derived_name("tap", vif.id))
    return tap is not None and tap.kind == "tap" and bool(tap.carrier)


def _plugged(vif: VIF, host: Host) -> str | None:
    """Return how the VIF is plugged: by our marks and claims, else by what Nova or os-vif made."""
    for mark, process in marks(vif).items():
        if host.carrying(mark):
            return process
    ovs = host.switch(Ovs)
    if ovs is not None:
        marked = [port.mark for _, port in ovs.marked(vif.id).values()]
        for noted in (*marked, *(claim for _, claim in ovs.claims(vif.id))):
            if noted and noted.process in PROCESSES:
                return noted.process
    return _by_others(vif, host, ovs)


def marks(vif: VIF) -> Mapping[str, str]:
    """Return the marks of a VIF's devices that tell how it is plugged, and the process of each."""
    roles = (HYBRID, "qbr"), (HYBRID, "qvb"), (HYBRID, "qvo"), (MANUAL, "tap")
    return {
        Owner(vif_id=vif.id, vif_type=vif.vif_type, process=process).mark(role): process
        for process, role in roles
    }


def _by_others(vif: VIF, host: Host, ovs: Ovs | None) -> str | None:
    """Return how Nova, os-vif or libvirt have plugged the VIF."""
    bridge = host.link(derived_name("qbr", vif.id))
    if bridge and bridge.kind == "bridge" and not bridge.marks:
        return HYBRID
    interface_id = vif.interface_id or vif.id
    for name, (_, port) in (ovs.bearing(interface_id) if ovs else {}).items():
        if port.by_libvirt:
            return AUTOMATIC
        if name == derived_name("qvo", vif.id):
            return HYBRID
        if name == derived_name(INTEGRATION_PATCH, vif.id):
            return MANUAL
        if name == (vif.devname or derived_name("tap", vif.id)) and IFACE_ID in port.external_ids:
            return MANUAL
    return None
