# SPDX-License-Identifier: Apache-2.0
"""How a VIF leaves the place where another vif_type, or another process, has put it. Pure.

The guest's tap is kept, with its index, so that a guest that runs does not notice. Everything else
that the VIF had goes. The new place is compared with the host as it will be by then.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from vifplug.errors import Conflict
from vifplug.model.host import Host
from vifplug.model.link import Link, is_bridge
from vifplug.model.mark import Owner
from vifplug.operations.altnames import AddAltname, RemoveAltname
from vifplug.operations.claims import RemoveClaim, without_claims
from vifplug.operations.links import RemoveLink, SetLink, SetLinks
from vifplug.operations.operation import LinkOperation, Operation, SwitchOperation
from vifplug.parts.bridge import BridgePort
from vifplug.plan.derived import Kinds, named_after, with_core
from vifplug.plan.place import stays
from vifplug.plan.removal import kind_of
from vifplug.switch import Departure, Order, Wanted


@dataclass(frozen=True, kw_only=True)
class Leave:
    """How a VIF leaves its place.

    ``first`` takes its taps out of their bridges, ``marks`` gives those of ours the new place's
    mark, ``in_switch`` takes the VIF out of the switch. ``last`` takes away the old place's marks
    and claims, once the VIF is in its new place. ``gone`` removes the devices that it needs no
    more: this can't be undone, so it comes after the look at the result. ``taps`` are kept.
    """

    first: tuple[Operation, ...]
    marks: tuple[Operation, ...]
    in_switch: tuple[SwitchOperation, ...]
    last: tuple[Operation, ...]
    gone: tuple[RemoveLink, ...]
    taps: tuple[str, ...]

    @property
    def operations(self) -> tuple[Operation, ...]:
        """All changes, in order."""
        return (*self.first, *self.marks, *self.in_switch, *self.last, *self.gone)


def leave(
    departure: Departure,
    host: Host,
    kinds: Kinds,
    in_switch: Iterable[Operation],
    *,
    wanted: Wanted | None = None,
) -> Leave:
    """Return how a VIF leaves its place, and note on a host that is being planned that it has.

    ``in_switch`` takes it out of the switch, with its claims there. ``wanted`` is the VIF as it
    will be: what it has of its new place already, after a move that was killed, stays. None: that
    is not known yet. Raises Conflict where a guest runs on a tap that its new place does not take,
    and where another plugin's claim notes values that these kinds of part can't give back.
    """
    vif_id = departure.vif_id
    inside, unclaimed = without_claims(in_switch)
    own = host.marked(vif_id) | named_after(vif_id, host, with_core(kinds))
    taps = {
        name: link
        for name, link in own.items()
        if link.kind == "tap" and (wanted is None or _takes(wanted, name, link))
    }
    first = [
        SetLink(device=name, attribute="master", value=None, before=link.master)
        for name, link in taps.items()
        if link.master and is_bridge(host.link(link.master))
    ]
    owner = wanted.owner if wanted else Owner(vif_id=vif_id, vif_type="")
    kept = wanted.devices if wanted else ()
    mark = owner.mark("tap")
    ours = {name: link for name, link in taps.items() if link.marks}
    marks = [
        AddAltname(device=name, altname=mark)
        for name, link in ours.items()
        if mark not in link.altnames
    ]
    last: list[Operation] = [
        RemoveAltname(device=name, altname=str(each))
        for name, link in ours.items()
        for each in link.marks
        if each.vif_id == vif_id and str(each) != mark
    ]
    for device, claim in host.claims_of(vif_id):
        if stays(device, claim, wanted):
            continue
        kind = kind_of(claim, kinds)
        if kind is None:
            needed = "no claim of another plugin: unplug the VIF there first"
            raise Conflict(vif_id, device, f"has this VIF's claim ({claim.vif_type})", needed)
        last += [each for unit in kind.given_back(device, claim, host) for each in unit]
        last.append(RemoveClaim(device=device, claim=str(claim)))
    last += [each for each in unclaimed if not stays(each.device, each.mark, wanted)]
    gone = [
        RemoveLink(device=name, mark=_mark_of(link, vif_id), kind=link.kind)
        for name, link in own.items()
        if name not in taps and name not in kept
    ]
    leaving = Leave(
        first=tuple(first),
        marks=tuple(marks),
        in_switch=inside,
        last=tuple(last),
        gone=tuple(gone),
        taps=tuple(taps),
    )
    _foresee(leaving.operations, host)
    for name in taps:
        # The switch lets go of its ports by itself.
        if link := host.link(name):
            host.planned_links.put(name, link.but({"master": None}))
    return leaving


def _takes(wanted: Wanted, tap: str, link: Link) -> bool:
    """Whether a VIF's new place takes its tap. Raises Conflict where a guest runs on one that not.

    Without a guest, a tap that its new place does not take is one of the devices that it leaves.
    """
    if tap in wanted.devices or any(
        part.device == tap for part in wanted.parts if isinstance(part, BridgePort)
    ):
        return True
    if link.carrier:
        owner = wanted.owner
        way = ", ".join(word for word in (f"vif_type {owner.vif_type}", owner.process) if word)
        needed = f"no guest that runs: {way} does not take its tap"
        raise Conflict(owner.vif_id, tap, "is the tap of this VIF's guest", needed)
    return False


def in_order(leaving: Leave, arrival: Order) -> Order:
    """Return the whole move in its order; ``arrival`` is what the new place takes.

    A switch has to let go of a tap before a bridge may take it. It also sets back the MTU of a tap
    that it still has. A port without a device would take one that is made before the port is gone.
    """
    taps = leaving.taps if leaving.in_switch else ()
    dead = _names(leaving.in_switch) - _names(arrival.inside) - {*taps}
    before, late = _apart(arrival.before, taps, dead)
    meanwhile, later = _apart(arrival.meanwhile, taps, dead)
    return Order(
        before=(*leaving.first, *leaving.marks, *before),
        inside=(*leaving.in_switch, *arrival.inside),
        meanwhile=meanwhile,
        after=(*late, *later, *arrival.after, *leaving.last),
    )


_OF_THE_SWITCH = ("master", "mtu")
"""The attributes of a tap that a switch does not leave to others while it has the tap."""


def _names(operations: Iterable[SwitchOperation]) -> set[str]:
    """Return the ports that a switch's operations name."""
    return {str(name) for each in operations if (name := getattr(each, "device", None))}


def _apart(
    operations: Iterable[Operation], taps: Collection[str], dead: Collection[str]
) -> tuple[tuple[Operation, ...], tuple[Operation, ...]]:
    """Return operations without those that have to wait until a switch lets go; and these.

    In these, the order stays: a tap gets its MTU before it joins a bridge.
    """
    rest: list[Operation] = []
    waiting: list[Operation] = []
    for operation in operations:
        several = operation.these if isinstance(operation, SetLinks) else (operation,)
        late = [each for each in several if _waits(each, taps, dead)]
        waiting += late
        if not late:
            rest.append(operation)
        elif isinstance(operation, SetLinks):
            rest += SetLinks.of([each for each in operation.these if each not in late])
    return tuple(rest), tuple(waiting)


def _waits(operation: Operation, taps: Collection[str], dead: Collection[str]) -> bool:
    """Whether an operation is about a kept tap or a dead port's device, and a switch minds it."""
    if not isinstance(operation, LinkOperation):
        return False
    mindful = isinstance(operation, SetLink) and operation.attribute in _OF_THE_SWITCH
    return operation.device in dead or (mindful and operation.device in taps)


def _mark_of(link: Link, vif_id: str) -> str | None:
    return next((str(mark) for mark in link.marks if mark.vif_id == vif_id), None)


def _foresee(operations: Iterable[Operation], host: Host) -> None:
    for operation in operations:
        operation.foresee(host)
