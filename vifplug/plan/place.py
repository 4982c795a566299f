# SPDX-License-Identifier: Apache-2.0
"""Where a VIF is plugged: one id is in one place, whatever vif_type put it there. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from vifplug.errors import Conflict
from vifplug.model.host import Host
from vifplug.model.link import Link, is_bridge
from vifplug.model.mark import PREFIX, Mark, Owner, derived_name
from vifplug.plan.derived import Kinds, is_named_after, with_core
from vifplug.plan.removal import kind_of
from vifplug.switch import Wanted


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a host has a VIF.

    ``vif_type`` and ``process`` are empty where another program put it there. ``bridge`` is the
    bridge or other device that it joins, ``device`` what shows it.
    """

    vif_type: str
    process: str
    bridge: str | None
    device: str

    @property
    def way(self) -> str:
        """How the VIF is plugged there."""
        way = f"vif_type {self.vif_type}" if self.vif_type else "put there by another program"
        return f"{way}, {self.process}" if self.process else way

    def __str__(self) -> str:
        if self.bridge in (None, self.device):
            return f"has this VIF already ({self.way})"
        return f"is on {self.bridge} already ({self.way})"


@dataclass(frozen=True)
class Lookup:
    """By what a VIF's own devices are looked for, without a dump: names and marks.

    ``prefixes`` are those of names derived from its id. ``endings`` are the ends of marks that its
    devices may bear whose names are not derived.
    """

    prefixes: tuple[str, ...]
    endings: tuple[str, ...]

    @classmethod
    def of(cls, kinds: Kinds, ways: Iterable[tuple[str, str]]) -> Lookup:
        """Return how VIFs of some ways (vif_type and process) are looked for."""
        prefixes = dict.fromkeys(prefix for kind in with_core(kinds) for prefix in kind.derived)
        roles = dict.fromkeys(role for kind in kinds for role in kind.own_roles)
        endings = (Owner(vif_id="", vif_type=vif_type, process=process).mark(role)
                   for vif_type, process in ways for role in roles)  # fmt: skip
        return cls(tuple(prefixes), tuple(text.removeprefix(PREFIX) for text in endings))

    def names(self, vif_id: str) -> tuple[str, ...]:
        """Return the names and marks of one VIF."""
        start = PREFIX + vif_id
        derived = (derived_name(prefix, vif_id) for prefix in self.prefixes)
        return (*derived, *(start + ending for ending in self.endings))


def places(
    vif_id: str,
    interface_id: str | None,
    host: Host,
    kinds: Kinds,
    names: Iterable[str],
    *,
    dead: bool = False,
) -> Iterator[Place]:
    """Yield where a host has a VIF; ``names`` are those of :class:`Lookup`.

    ``dead``: also the port of another program that has no device. A switch takes the device as soon
    as one of this name is made. So only a VIF of that switch's own may pass over such a port.
    """
    own = dict(_own(vif_id, host, kinds, names))
    for name, link in own.items():
        marks = [mark for mark in link.marks if mark.vif_id == vif_id]
        master = _bridge_above(link, own, host)
        # A move that was killed half-way has left the marks of both places.
        for mark in marks:
            yield _place(mark, master, name)
        if master and not marks:
            yield _place(None, master, name)
    for device, claim in host.claims_of(vif_id):
        # A claim of a role that is not known here is that of another plugin's vif_type.
        known = kind_of(claim, kinds)
        if not known or any(claim.role in kind.joining_roles for kind in kinds):
            yield _place(claim, device, device)
    for trace in host.traces(vif_id, interface_id):
        if trace.bridge and trace.main and (dead or not trace.dead):
            yield Place(
                vif_type=trace.vif_type,
                process=trace.process,
                bridge=trace.bridge,
                device=next(iter((*trace.devices, *trace.ports)), trace.bridge),
            )


def _own(vif_id: str, host: Host, kinds: Kinds, names: Iterable[str]) -> Iterator[tuple[str, Link]]:
    """Yield the VIF's own devices: marked, or named after it and of the right kind."""
    for name in names:
        if name.startswith(PREFIX):
            if device := host.carrying(name):
                yield device
        elif (link := host.link(name)) and (
            vif_id in link.owners or is_named_after(name, link, vif_id, with_core(kinds))
        ):
            yield name, link


def _bridge_above(link: Link, own: dict[str, Link], host: Host) -> str | None:
    """Return the Linux bridge that a device is a port of; not one of the VIF's own."""
    master = host.link(link.master) if link.master and link.master not in own else None
    return link.master if is_bridge(master) else None


def _place(mark: Mark | None, bridge: str | None, device: str) -> Place:
    return Place(
        vif_type=mark.vif_type if mark else "",
        process=mark.process if mark else "",
        bridge=bridge,
        device=device,
    )


def elsewhere(
    wanted: Wanted, host: Host, kinds: Kinds, names: Iterable[str], *, dead: bool = False
) -> Place | None:
    """Return a place that a VIF has and that is not where its parts put it."""
    return next(strays(wanted, host, kinds, names, dead=dead), None)


def strays(
    wanted: Wanted, host: Host, kinds: Kinds, names: Iterable[str], *, dead: bool = False
) -> Iterator[Place]:
    """Yield each place that a VIF has and that is not where its parts put it."""
    owner = wanted.owner
    bridges, own = wanted.places, set(wanted.devices)
    found = [*places(owner.vif_id, wanted.interface_id, host, kinds, names, dead=dead)]
    for place in found:
        other_type = place.vif_type not in ("", owner.vif_type)
        other_way = place.vif_type != "" and place.process != owner.process
        other_bridge = bridges and place.bridge and place.bridge not in bridges | own
        if other_type or other_way or (other_bridge and not _drifted(place, found, wanted, host)):
            yield place


def _drifted(place: Place, found: Iterable[Place], wanted: Wanted, host: Host) -> bool:
    """Whether another program has put a VIF there that was plugged where it is wanted.

    The plug brings it back. A bridge of another kind is no drift, because the VIF stays there.
    """
    owner, bridges = wanted.owner, wanted.places
    way = (owner.vif_type, owner.process)
    if place.vif_type or all(
        (each.vif_type, each.process) != way or each.bridge not in bridges for each in found
    ):
        return False
    kind = is_bridge(host.link(place.bridge or ""))
    return any(is_bridge(host.link(bridge)) == kind for bridge in bridges)


def leaves(wanted: Wanted, host: Host, kinds: Kinds, names: Iterable[str]) -> bool:
    """Whether a VIF that moves leaves another vif_type or process; not just another bridge.

    It also does where it has a claim that none of its parts brings over.
    """
    owner = wanted.owner
    way = (owner.vif_type, owner.process)
    found = places(owner.vif_id, wanted.interface_id, host, kinds, names, dead=True)
    return any(
        (place.vif_type, place.process) != way if place.vif_type else _strange(place, wanted)
        for place in found
    ) or any(_forgotten(*each, wanted) for each in host.claims_of(owner.vif_id))


def stays(device: str, claim: Mark, wanted: Wanted | None) -> bool:
    """Whether a claim is that of the new place: of its way, and on a device that it uses.

    A move that was killed half-way has left claims of both places. One of the new place's own way
    may also be on a third device, where the VIF was before.
    """
    if wanted is None or (claim.vif_type, claim.process) != (
        wanted.owner.vif_type, wanted.owner.process):  # fmt: skip
        return False
    return any(device in (*part.shared, *part.places) for part in wanted.parts)


def _forgotten(device: str, claim: Mark, wanted: Wanted) -> bool:
    """Whether no part has a device that the VIF claims, nor brings such a claim over to another."""
    carried = any(claim.role in part.roles_claimed for part in wanted.parts)
    return not carried and not stays(device, claim, wanted)


def _strange(place: Place, wanted: Wanted) -> bool:
    """Whether the place where another program put a VIF is no kind of place that its parts have."""
    return bool(wanted.places) and place.bridge not in wanted.places


def require_one_place(
    wanted: Wanted, host: Host, kinds: Kinds, names: Iterable[str], *, dead: bool = False
) -> None:
    """Raise Conflict where a host has a VIF elsewhere than its parts put it."""
    place = elsewhere(wanted, host, kinds, names, dead=dead)
    if place is not None:
        needed = "this VIF in one place: unplug it there, or plug with --move"
        raise Conflict(wanted.owner.vif_id, place.device, str(place), needed)
