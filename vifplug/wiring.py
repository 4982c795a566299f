# SPDX-License-Identifier: Apache-2.0
"""Wiring: all that one VIF needs. Plan: what of it differs from a host. Both are plain values."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from vifplug.errors import VifplugError
from vifplug.guest.interface import Interface
from vifplug.model.host import Host
from vifplug.model.link import Link
from vifplug.model.mark import DERIVED, Mark, Owner, derived_name, shared_mark
from vifplug.operations.addressing import move_addressing
from vifplug.operations.altnames import AddAltname, RemoveAltname
from vifplug.operations.links import RemoveLink, SetLink
from vifplug.operations.operation import Operation
from vifplug.parts import Part, leaked, let_down, released, stacked_on, uplink_of
from vifplug.parts.uplink import UPLINK, VLAN_DEVICE
from vifplug_ovs.snapshot import IFACE_ID, OvsPort
from vifplug_vepa.parts.lower import WOKEN

COLUMNS = 80


@dataclass(frozen=True, kw_only=True)
class Wiring:
    """What ``VIFPlugin.wire()`` returns.

    ``parts`` are in building order. ``process`` names how the VIF is connected where its type
    knows several ways, ``why`` says what decided. ``notes`` are things that a person should know,
    such as a wish that could not be met.
    """

    parts: tuple[Part, ...]
    interface: Interface
    process: str = ""
    why: str = ""
    notes: tuple[str, ...] = ()

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices that are, or will be, the VIF's own."""
        return tuple(name for part in self.parts for name in part.devices)


@dataclass(frozen=True, kw_only=True)
class Step:
    """What a plan does about one part: make, change, move or keep it."""

    action: str
    part: Part
    detail: str
    operations: tuple[Operation, ...]

    def to_dict(self) -> dict[str, str]:
        """Return the step as ``vifplug plan -f json`` prints it."""
        return {
            "action": self.action,
            "part": self.part.kind,
            "name": self.part.title,
            "detail": self.detail,
        }


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One VIF's parts compared with a host. False in a condition when nothing would change.

    ``unsure``: only the privileged side can tell whether there is more to do.
    """

    owner: Owner
    steps: tuple[Step, ...]
    why: str = ""
    notes: tuple[str, ...] = ()
    unsure: bool = False

    def __bool__(self) -> bool:
        return bool(self.operations)

    @property
    def operations(self) -> tuple[Operation, ...]:
        """The changes, in order."""
        return tuple(operation for step in self.steps for operation in step.operations)

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices that are, or will be, the VIF's own."""
        return tuple(name for step in self.steps for name in step.part.devices)

    @property
    def title(self) -> str:
        """The VIF, its type, and the process with its reason."""
        words = [self.owner.vif_id, self.owner.vif_type]
        if self.owner.process:
            words.append(f"{self.owner.process} ({self.why})" if self.why else self.owner.process)
        return "  ".join(words)

    def __str__(self) -> str:
        """Return the plan as text of at most 80 columns; the form is that of plan.txt."""
        lines = [self.title]
        width = max((len(step.part.kind) for step in self.steps), default=0)
        for step in self.steps:
            kind = step.part.kind.ljust(max(width, 6))
            start = f"  {step.action:6}  {kind}  {step.part.title:15}  "
            lines += _wrapped(start, step.detail)
        for note in self.notes:
            lines += _wrapped("  note    ", note)
        return "\n".join(lines)


def _wrapped(start: str, text: str) -> list[str]:
    room = max(COLUMNS - len(start), 20)
    first, *more = textwrap.wrap(text, room, break_on_hyphens=False) or [""]
    return [(start + first).rstrip(), *(" " * len(start) + line for line in more)]


def plan(owner: Owner, wiring: Wiring, host: Host) -> Plan:
    """Compare a wiring's parts with a host. Raises Conflict."""
    host = host.planning()
    unsure = any(part.unsure(owner, host) for part in wiring.parts)
    steps = compare(owner, wiring.parts, host)
    return Plan(owner=owner, steps=steps, why=wiring.why, notes=wiring.notes, unsure=unsure)


def is_there(owner: Owner, wiring: Wiring, host: Host) -> bool:
    """Whether a host is known to have all of a wiring; no further than to what differs first.

    Raises Conflict, of what was looked at.
    """
    return not any(
        part.unsure(owner, host) or part.operations(owner, host) for part in wiring.parts
    )


def compare(owner: Owner, parts: Iterable[Part], host: Host) -> tuple[Step, ...]:
    """Compare parts with a host in order, each with what the ones before it will have made.

    Raises Conflict; then nothing of these parts stays noted on the host's scratch pad.
    """
    host = host.planning()
    steps: list[Step] = []
    try:
        for part in parts:
            operations = part.operations(owner, host)
            action, detail = part.step(operations, host)
            steps.append(Step(action=action, part=part, detail=detail, operations=operations))
            for operation in operations:
                operation.foresee(host)
    except VifplugError:
        for operation in reversed([o for step in steps for o in step.operations]):
            if back := operation.undo():
                back.foresee(host)
        raise
    return tuple(steps)


Unit = tuple[Operation, ...]
"""Changes of which all are done, in order, or none."""


def removal(vif_id: str, host: Host, *, remove_unused: bool) -> tuple[Unit, ...]:
    """Return what unplugs a VIF: all that carries its mark or claim, or bears its derived names.

    A shared device that we made goes with its last user only when ``remove_unused`` says so. It
    goes first, and the VIF's claim on it last: so an unplug that failed or was killed can be
    repeated.
    """
    units: list[Unit] = []
    own: list[Unit] = []
    claims: list[Unit] = []
    for name, link in host.marked(vif_id).items():
        marks = [mark for mark in link.marks if mark.vif_id == vif_id]
        made = [mark for mark in marks if not mark.claim]
        if made:
            own.append((RemoveLink(device=name, mark=str(made[0])),))
            continue
        for mark in marks:
            units += [(one,) for one in leaked(name, mark, host)]
            # Apart from its claim, which goes once a look has shown that this was done.
            units.append((*released(name, mark, host), *let_down(name, mark, host)))
            claims.append((RemoveAltname(device=name, altname=str(mark)),))
    for name, link in _unmarked(vif_id, host).items():
        own.append((RemoveLink(device=name, kind=link.kind),))
    if remove_unused:
        shared = used(vif_id, host)
        for name in shared:
            if unit := _unused_bridge(vif_id, name, host):
                if claim := _missing_claim(vif_id, name, host):
                    units.append((AddAltname(device=name, altname=claim),))
                    claims.append((RemoveAltname(device=name, altname=claim),))
                units.append(unit)
        gone = {unit[-1].device for unit in units if unit}
        units += [_unused_vlan(vif_id, name, host, gone) for name in shared]
        going = {unit[-1].device for unit in units if unit}
        for name in shared:
            units += _unused_device(vif_id, name, host, going)
    return tuple(unit for unit in (*units, *own, *claims) if unit)


def used(vif_id: str, host: Host) -> tuple[str, ...]:
    """Return the shared devices that a VIF uses: it claims them, or its devices are their ports."""
    found: set[str | None] = set()
    for name, link in (host.marked(vif_id) | _unmarked(vif_id, host)).items():
        claims = all(mark.claim for mark in link.marks if mark.vif_id == vif_id) and link.marks
        found.add(name if claims else link.master)
    return tuple(sorted(name for name in found if name))


def _unused_bridge(vif_id: str, name: str, host: Host) -> Unit:
    """Return what removes a bridge of ours that only this VIF uses; its uplink gets back its own.

    Nothing for a bridge that others made or use: an address without an uplink is a use, too.
    """
    bridge, mark = host.link(name), shared_mark("bridge", name)
    if bridge is None or mark not in bridge.altnames:
        return ()
    uplink, joined = uplink_of(name, host) or (None, None)
    mine = {*host.marked(vif_id), *_unmarked(vif_id, host)}
    strangers = set(host.ports(name)) - {uplink} - mine
    if _claimed(bridge, vif_id) or strangers:
        return ()
    removed = RemoveLink(
        device=name, mark=mark, unless_used=True, or_fail=uplink is not None, leaving=vif_id
    )
    made_by_us = joined is not None and shared_mark(VLAN_DEVICE, uplink or "") in joined.altnames
    if uplink is None or joined is None or made_by_us:
        if host.addresses(name):
            return ()
        if uplink is None:
            return (removed,)
    leave = SetLink(device=uplink, attribute="master", value=None, before=name)
    between = leave if joined and joined.master == name else None
    unmarked = RemoveAltname(device=uplink, altname=shared_mark(UPLINK, name))
    # The bridge last: its removal can't be taken back.
    return (*move_addressing(host, name, uplink, between=between), unmarked, removed)


def _missing_claim(vif_id: str, bridge: str, host: Host) -> str | None:
    """Return the claim on a bridge that a VIF lacks whose tap is its port."""
    marks = [m for link in host.marked(vif_id).values() for m in link.marks if m.vif_id == vif_id]
    if not marks or any(m.claim and m.role == "bridge" for m in marks):
        return None
    one = marks[0]
    return Owner(vif_id=vif_id, vif_type=one.vif_type, process=one.process).claim("bridge")


def _unused_vlan(vif_id: str, name: str, host: Host, gone: set[str]) -> Unit:
    """Return what removes a VLAN device of ours that only this VIF uses; ``gone`` are bridges."""
    device, mark = host.link(name), shared_mark(VLAN_DEVICE, name)
    if device is None or mark not in device.altnames:
        return ()
    elsewhere = device.master is not None and device.master not in gone
    if _claimed(device, vif_id) or elsewhere:
        return ()
    if any(link.lower == name for link in host.links.values()):
        return ()
    return (RemoveLink(device=name, mark=mark, unless_used=True, leaving=vif_id),)


def _unused_device(vif_id: str, name: str, host: Host, going: set[str]) -> tuple[Unit, ...]:
    """Return what sets a device down again that a plug brought up, and that only this VIF uses.

    ``going`` are devices that the same unplug removes.
    """
    device, mark = host.link(name), shared_mark(WOKEN, name)
    if device is None or mark not in device.altnames or _claimed(device, vif_id):
        return ()
    if device.master or host.addresses(name):
        return ()
    lying = {n for n, link in host.links.items() if link.lower == name and link.kind != "veth"}
    if lying - going:
        return ()
    down = SetLink(device=name, attribute="up", value=False, before=True)
    return ((down,) if device.up else (), (RemoveAltname(device=name, altname=mark),))


def _claimed(link: Link, vif_id: str) -> bool:
    """Whether another VIF than this one claims a device."""
    return any(mark.claim and mark.vif_id != vif_id for mark in link.marks)


def _unmarked(vif_id: str, host: Host) -> dict[str, Link]:
    """Return the devices that Nova or os-vif made for the VIF: by derived name, kind, no mark."""
    found = {}
    for prefix, kind in DERIVED.items():
        name = derived_name(prefix, vif_id)
        link = host.link(name)
        if link and link.kind == kind and not link.marks:
            found[name] = link
    return found


@dataclass(frozen=True, kw_only=True)
class Plugged:
    """One VIF that the host has plugged, as its marks and claims tell.

    ``in_use``: a guest holds the VIF's tap open (the tap has carrier), or its socket, or has a
    macvtap that may be held.
    """

    id: str
    vif_type: str
    process: str | None
    devices: tuple[str, ...]
    bridge: str | None
    in_use: bool

    def to_dict(self) -> dict[str, Any]:
        """Return it as ``vifplug list -f json`` prints it."""
        return {
            "id": self.id,
            "vif_type": self.vif_type,
            "process": self.process,
            "devices": list(self.devices),
            "bridge": self.bridge,
            "in_use": self.in_use,
        }


def plugged(host: Host) -> list[Plugged]:
    """Return what a host has plugged, in the order of the VIFs' ids."""
    found: dict[str, list[Mark]] = {}
    on: dict[str, list[tuple[str, Link, bool]]] = {}
    for name, link in host.links.items():
        for mark in link.marks:
            if not mark.shared:
                found.setdefault(mark.vif_id, []).append(mark)
                on.setdefault(mark.vif_id, []).append((name, link, mark.claim))
    for mark in host.ovs.marks() if host.ovs else ():
        found.setdefault(mark.vif_id, []).append(mark)
    return [_plugged(found[vif_id][0], on.get(vif_id, []), host) for vif_id in sorted(found)]


def _plugged(mark: Mark, on: list[tuple[str, Link, bool]], host: Host) -> Plugged:
    own = {name: link for name, link, claim in on if not claim}
    bridge = next((name for name, link, claim in on if claim and link.kind == "bridge"), None)
    if bridge is None:
        bridge = next((link.master for link in own.values() if link.master), None)
    sockets: dict[str, OvsPort] = {}
    if host.ovs:
        ports = host.ovs.of(mark.vif_id)
        sockets = {name: port for name, (_, port) in ports.items() if port.vhost_user}
        own |= {name: link for name in ports if (link := host.link(name))}
        # Of a VIF with a bridge of its own, that which bears its ids is on the shared one.
        ported = sorted(ports.values(), key=lambda one: IFACE_ID not in one[1].external_ids)
        switches = [name for name, _ in ported]
        switches += [name for name, _, _ in host.ovs.claims(mark.vif_id)]
        bridge = next(iter(switches), bridge)
    # A tap that libvirt makes bears the derived name; it shows that the guest runs.
    tap_name = derived_name("tap", mark.vif_id)
    tap = host.link(tap_name)
    if tap and tap.kind == "tap" and (tap_name in own or not tap.marks):
        own[tap_name] = tap
    for name, link, claim in on:
        for one in (m for m in link.marks if claim and m.vif_id == mark.vif_id):
            own |= stacked_on(name, one, host)
    taps = [link for link in own.values() if link.kind == "tap"]
    return Plugged(
        id=mark.vif_id,
        vif_type=mark.vif_type,
        process=mark.process or None,
        devices=(*own, *sockets),
        bridge=bridge,
        in_use=any(link.carrier for link in taps)
        or any(port.link_state == "up" for port in sockets.values())
        or any(link.kind == "macvtap" and host.held(n) is not False for n, link in own.items()),
    )
