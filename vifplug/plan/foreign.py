# SPDX-License-Identifier: Apache-2.0
"""What os-vif, Nova and libvirt left of VIFs that we did not plug, told by exact shapes. Pure.

A device counts only with the name and the kind that follow from a VIF's id, without a mark, and
with no process or port of others on it. A group that has one device of another shape stays whole.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from vifplug.model.host import Host
from vifplug.model.link import Link
from vifplug.model.snapshot import Trace
from vifplug.plan.derived import Kinds
from vifplug.plan.plugged import Plugged, Told

FOREIGN = "left by others"
"""Stands for the vif_type of such a VIF."""

_START = re.compile(r"[0-9a-f]{8}-[0-9a-f]{2}")
"""The part of a VIF's id that the name of a device has."""

_REST = "00-0000-0000-000000000000"
"""Makes an id of a start where nothing tells the whole: an unplug looks at the start only."""


def left_by_others(
    host: Host, kinds: Kinds, ours: Iterable[str], keep: Collection[str] | None, told: Told
) -> list[Plugged]:
    """Return the VIFs of which others left something, and that neither we nor a guest have.

    ``ours`` are the ids of the VIFs that we plugged. ``keep`` are ids that stay.
    """
    traces: dict[str, list[Trace]] = {}
    for snapshot in host.switches.values():
        for trace in snapshot.left(host):
            traces.setdefault(trace.vif_id, []).append(trace)
    devices = _devices(host, kinds)
    whole = {vif_id[:11]: vif_id for vif_id in traces}
    starts = {vif_id[:11] for vif_id in (*ours, *(keep or ()))}
    ids = {whole.get(start, start + _REST) for start in devices} | traces.keys()
    bridges = {name: trace.bridge for found in traces.values() for trace in found
               for name in trace.devices}  # fmt: skip
    found = []
    for vif_id in sorted(vif_id for vif_id in ids if vif_id[:11] not in starts):
        links = devices.get(vif_id[:11], {})
        if any(not _is_left(name, link, links, host, bridges) for name, link in links.items()):
            continue
        vif = _vif(vif_id, links, traces.get(vif_id, []), told)
        if not vif.wanted:
            found.append(vif)
    return found


def _devices(host: Host, kinds: Kinds) -> dict[str, dict[str, Link]]:
    """Return the devices whose names follow from an id, by the start of that id."""
    prefixes = {prefix: kind for each in kinds for prefix, kind in each.derived.items()}
    found: dict[str, dict[str, Link]] = {}
    for name, link in host.links.items():
        start = name[3:]
        if name[:3] in prefixes and _START.fullmatch(start):
            found.setdefault(start, {})[name] = link
    # A device of another kind may be Neutron's own: then nothing of this id is touched.
    return {
        start: links
        for start, links in found.items()
        if all(
            link.kind == prefixes[name[:3]] and not (link.marks or link.shared_marks)
            for name, link in links.items()
        )
    }


def _is_left(
    name: str, link: Link, group: Collection[str], host: Host, bridges: Collection[str]
) -> bool:
    """Whether nothing but devices of its own group is on a device or under it."""
    if name not in bridges and any(each.has_port(name) for each in host.switches.values()):
        return False
    match link.kind:
        case "tap":
            return not link.carrier
        case "bridge":
            return host.ports(name).keys() <= set(group) and not host.addresses(name)
        case "veth":
            return link.lower in group and (name in bridges or link.master in (None, *group))
    return False


def _vif(vif_id: str, links: dict[str, Link], traces: list[Trace], told: Told) -> Plugged:
    names = dict.fromkeys((*links, *(name for trace in traces for name in trace.devices)))
    address = next((trace.address for trace in traces if trace.address), None)
    instance = next((trace.instance for trace in traces if trace.instance), None)
    whose = told.whose
    guest = whose.interface((vif_id,), names, address) if whose else None
    name = whose.guest(vif_id, instance) if whose else None
    stored = whose is not None and whose.is_stored((vif_id,), names, address)
    return Plugged(
        id=vif_id,
        vif_type="",
        process=None,
        devices=(*names, *(port for trace in traces for port in trace.ports)),
        bridge=next((trace.bridge for trace in traces if trace.bridge), None),
        in_use=False,
        guest=(guest.guest if guest else None) or name or instance,
        address=address,
        wanted=bool(guest or name or stored),
    )
