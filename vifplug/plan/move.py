# SPDX-License-Identifier: Apache-2.0
"""How a VIF leaves the place where another vif_type, or another process, has put it. Pure.

The guest's tap is kept, with its index, so that a guest that runs does not notice. Everything else
that the VIF had goes. The new place is compared with the host as it will be by then.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vifplug.errors import Conflict
from vifplug.model.host import Host
from vifplug.model.link import Link
from vifplug.model.mark import Owner
from vifplug.operations.altnames import AddAltname, RemoveAltname
from vifplug.operations.claims import RemoveClaim
from vifplug.operations.links import RemoveLink, SetLink
from vifplug.operations.operation import Operation, SwitchOperation
from vifplug.plan.removal import Kinds, named_after
from vifplug.switch import Order


@dataclass(frozen=True, kw_only=True)
class Leave:
    """What a VIF leaves behind.

    ``first`` takes its taps out of their bridges. ``last`` takes away marks and claims, once the
    VIF is in its new place. ``gone`` removes the devices that it needs no more: this can't be
    undone, so it comes after the look at the result. ``taps`` are kept.
    """

    first: tuple[Operation, ...]
    last: tuple[Operation, ...]
    gone: tuple[RemoveLink, ...]
    taps: tuple[str, ...]

    def marked_for(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        """Return what marks the kept taps of ours as the new owner's; note it on the host."""
        mark = owner.mark("tap")
        marks = tuple(
            AddAltname(device=tap, altname=mark)
            for tap in self.taps
            if any(o.device == tap for o in self.last if isinstance(o, RemoveAltname))
        )
        _foresee(marks, host)
        return marks


def leave(vif_id: str, host: Host, kinds: Kinds, in_switch: Iterable[SwitchOperation]) -> Leave:
    """Return how a VIF leaves its place, and note on a host that is being planned that it has.

    ``in_switch`` takes it out of the switch. Raises Conflict where another plugin's claim notes
    values that these kinds of part can't give back.
    """
    marked = host.marked(vif_id)
    own = marked | named_after(vif_id, host, kinds)
    taps = {name: link for name, link in own.items() if link.kind == "tap"}
    first = [
        SetLink(device=name, attribute="master", value=None, before=link.master)
        for name, link in taps.items()
        if link.master and _is_bridge(host.link(link.master))
    ]
    last: list[Operation] = [
        RemoveAltname(device=name, altname=str(mark))
        for name in taps
        for mark in own[name].marks
        if mark.vif_id == vif_id
    ]
    for device, claim in host.claims_of(vif_id):
        kind = next((kind for kind in kinds if claim.role in kind.claim_roles), None)
        if kind is None:
            needed = "no claim of another plugin: unplug the VIF there first"
            raise Conflict(vif_id, device, f"has this VIF's claim ({claim.vif_type})", needed)
        last += [each for unit in kind.given_back(device, claim, host) for each in unit]
        last.append(RemoveClaim(device=device, claim=str(claim)))
    gone = tuple(
        RemoveLink(device=name, mark=_mark_of(link, vif_id), kind=link.kind)
        for name, link in own.items()
        if name not in taps
    )
    ours = {o.device for o in last if isinstance(o, RemoveAltname)}
    _foresee((*first, *last, *gone, *in_switch), host)
    for name in taps:
        # The switch lets go of its ports by itself. Whose the tap will be is not known yet.
        mark = (Owner(vif_id=vif_id, vif_type="").mark("tap"),) if name in ours else ()
        if link := host.link(name):
            left = link.but({"master": None, "altnames": (*link.altnames, *mark)})
            host.planned_links.put(name, left)
    return Leave(first=tuple(first), last=tuple(last), gone=gone, taps=tuple(taps))


def in_order(
    leaving: Leave,
    marks: Sequence[Operation],
    in_switch: Sequence[SwitchOperation],
    arrival: Order,
) -> Order:
    """Return the whole move in its order; ``arrival`` is what the new place takes.

    A switch has to let go of a tap before a bridge may take it.
    """
    kernel = (*arrival.before, *arrival.meanwhile)
    late = [o for o in kernel if in_switch and _joins(o, leaving.taps)]
    return Order(
        before=(*leaving.first, *marks, *(o for o in arrival.before if o not in late)),
        inside=(*in_switch, *arrival.inside),
        meanwhile=tuple(o for o in arrival.meanwhile if o not in late),
        after=(*late, *arrival.after, *leaving.last),
    )


def _joins(operation: Operation, taps: Sequence[str]) -> bool:
    return (
        isinstance(operation, SetLink)
        and operation.attribute == "master"
        and operation.device in taps
    )


def _mark_of(link: Link, vif_id: str) -> str | None:
    return next((str(mark) for mark in link.marks if mark.vif_id == vif_id), None)


def _is_bridge(link: Link | None) -> bool:
    return link is not None and link.kind == "bridge"


def _foresee(operations: Iterable[Operation], host: Host) -> None:
    for operation in operations:
        operation.foresee(host)
