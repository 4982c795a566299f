# SPDX-License-Identifier: Apache-2.0
"""VIFs unplugged: all of each that can go, past errors, then looked at."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from vifplug.apply.job import Applied, Departure, Outcome, undo, words
from vifplug.apply.means import BATCH, Means, Refused
from vifplug.errors import UnplugFailed, VifplugError
from vifplug.kernel.netlink import Netlink
from vifplug.model.host import Host
from vifplug.operations.altnames import RemoveAltname
from vifplug.operations.links import RemoveLink, RemoveLinks
from vifplug.operations.operation import Operation
from vifplug.parts import uplink_of
from vifplug.query.links import RunningLinks
from vifplug.wiring import Unit, removal, used


def used_by(vif_id: str, *, netlink: Netlink) -> tuple[str, ...]:
    """Return the shared devices that the removal of what a VIF uses alone would touch."""
    host = Host(links=RunningLinks(netlink))
    found = used(vif_id, host)
    uplinks = [uplink[0] for one in found if (uplink := uplink_of(one, host))]
    return tuple(sorted({*found, *uplinks}))


@dataclass(kw_only=True)
class _Leaving:
    """One VIF that is being unplugged."""

    vif: Departure
    in_database: Sequence[Operation]
    units: tuple[Unit, ...]
    failures: list[str] = field(default_factory=list)

    @property
    def vif_id(self) -> str:
        return self.vif.vif_id

    @property
    def changed(self) -> bool:
        return bool(self.in_database or self.units)

    @property
    def claims(self) -> list[Unit]:
        return [unit for unit in self.units if isinstance(unit[-1], RemoveAltname)]

    @property
    def links(self) -> list[Unit]:
        return [unit for unit in self.units if not isinstance(unit[-1], RemoveAltname)]

    @property
    def own(self) -> list[tuple[RemoveLink]]:
        """What removes a device that is this VIF's alone."""
        return [
            (unit[0],)
            for unit in self.links
            if len(unit) == 1 and isinstance(unit[0], RemoveLink) and not unit[0].unless_used
        ]


def unplug(vifs: Sequence[Departure], means: Means, *, remove_unused: bool) -> list[Outcome]:
    """Remove all that is each VIF's; go on past errors and report them together.

    An UnplugFailed tells where something is left; what is gone already is no error.
    """
    failure: list[str] = []
    found: Sequence[Sequence[Operation]] = [()] * len(vifs)
    try:
        if means.database:
            found = means.database.removals(vifs)
    except (VifplugError, OSError) as error:
        failure.append(words(error))  # the devices can go all the same
    host = means.look(batch=len(vifs) >= BATCH)
    leaving = [
        _Leaving(
            vif=vif,
            in_database=operations,
            units=removal(vif.vif_id, host, remove_unused=remove_unused),
            failures=list(failure),
        )
        for vif, operations in zip(vifs, found, strict=True)
    ]
    _leave_database(leaving, means)
    _remove(leaving, means)
    busy = [one for one in leaving if one.changed and not one.failures]
    _still_to_do(busy, means, remove_unused=remove_unused)
    # With a failure the claims stay: they tell the next unplug what is still to do.
    for one in busy:
        for unit in () if one.failures else one.claims:
            one.failures += _all_or_none(unit, means)
    claimed = [one for one in busy if one.claims and not one.failures]
    _still_to_do(claimed, means, remove_unused=False, claims=True)
    return [_left(one) for one in leaving]


def _left(one: _Leaving) -> Outcome:
    if one.failures:
        return UnplugFailed(one.vif_id, one.failures)
    return Applied(changed=one.changed, devices=tuple(o.device for (o,) in one.own))


def _leave_database(leaving: Sequence[_Leaving], means: Means) -> None:
    """Take all VIFs out of the database in one transaction.

    Nobody waits for the switch: what it still has of them is gone with the devices, and the next
    plug waits until it has seen both.
    """
    groups = [one.in_database for one in leaving]
    if not any(groups) or means.database is None:
        return
    try:
        means.require_time(leaving[0].vif_id, str(next(o for g in groups for o in g)))
        means.database.send(groups)
        means.database.confirm()
    except (Refused, VifplugError, OSError) as error:
        if isinstance(error, Refused) and len(leaving) > 1:
            for piece in _pieces(leaving, error):
                _leave_database(piece, means)
            return
        for one in leaving:
            if one.in_database:
                one.failures.append(f"{one.in_database[0]}: {words(error)}")


def _pieces(leaving: Sequence[_Leaving], refused: Refused) -> Iterable[Sequence[_Leaving]]:
    """Cut out the one that was refused, or in halves where nobody knows which it was."""
    at, culprit = refused.culprit, refused.culprit is not None
    middle = len(leaving) // 2 if at is None else at
    cuts = (leaving[:middle], leaving[middle : middle + culprit], leaving[middle + culprit :])
    return [piece for piece in cuts if piece]


def _remove(leaving: Sequence[_Leaving], means: Means) -> None:
    """Remove devices: shared ones each by itself, then all that are the VIFs' own in one go."""
    for one in leaving:
        for unit in one.links:
            if unit not in one.own:
                one.failures += _all_or_none(unit, means)
    own = [operation for one in leaving for (operation,) in one.own]
    if len(leaving) > 1 and own and not _all_or_none((RemoveLinks.of(own),), means):
        return
    for one in leaving:
        if one.own:
            together = RemoveLinks.of([operation for (operation,) in one.own])
            one.failures += _all_or_none((together,), means)


def _still_to_do(
    leaving: Sequence[_Leaving], means: Means, *, remove_unused: bool, claims: bool = False
) -> None:
    """Look at the host again; note what an unplug would still have to do."""
    if not leaving:
        return
    vifs = [one.vif for one in leaving]
    try:
        found = means.database.removals(vifs) if means.database else [()] * len(vifs)
        host = means.look(batch=len(vifs) >= BATCH)
        for one, operations in zip(leaving, found, strict=True):
            again = removal(one.vif_id, host, remove_unused=remove_unused)
            but: Iterable[Unit] = () if claims else one.claims
            left = [operation for unit in again if unit not in but for operation in unit]
            left += operations
            one.failures += [f"{operation}: still to do" for operation in left]
    except (VifplugError, OSError) as error:
        for one in leaving:
            one.failures.append(words(error))


def _all_or_none(unit: Unit, means: Means) -> list[str]:
    """Do all of a unit or nothing; return what failed, and what could not be taken back."""
    done: list[Operation] = []
    for operation in unit:
        try:
            if time.monotonic() > means.deadline:
                raise TimeoutError("the deadline passed")
            done.append(operation)
            means.perform(operation)
        except Exception as error:
            return [f"{operation}: {words(error)}", *undo(done, means.take_back)]
    return []
