# SPDX-License-Identifier: Apache-2.0
"""VIFs unplugged: all of each that can go, past errors, then looked at."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from vifplug.apply.means import Means, log_each
from vifplug.apply.outcome import Applied, Outcome, words
from vifplug.apply.units import all_or_none, require_time
from vifplug.errors import Conflict, DeadlineExceeded, InUse, PrivilegeError, UnplugFailed
from vifplug.kernel.perform import perform
from vifplug.model.host import BATCH, Host
from vifplug.operations.altnames import RemoveAltname
from vifplug.operations.claims import RemoveClaim, without_claims
from vifplug.operations.links import RemoveLink, RemoveLinks
from vifplug.operations.operation import Operation, SwitchOperation, Unit
from vifplug.parts.roles import require_own_id, uplink_of
from vifplug.plan.removal import lost_marks, removal, used
from vifplug.plan.usage import held_by_guest
from vifplug.switch import Departure, Refused, SomeFailed

LOG = logging.getLogger(__name__)

_PLANNING = "the look at the host"


def used_by(vif_ids: Sequence[str], means: Means, *, remove_unused: bool) -> set[str]:
    """Return the shared devices that the unplug of some VIFs may change: these are locked.

    Without ``remove_unused`` it takes away the VIFs' claims only.
    """
    if not vif_ids:
        return set()
    host = means.look(batch=remove_unused and len(vif_ids) >= BATCH)
    if not remove_unused:
        return {device for vif_id in vif_ids for device, _ in host.claims_of(vif_id)}
    shared = {name for vif_id in vif_ids for name in used(vif_id, host, means.kinds)}
    uplinks = (uplink_of(device, host) for device in shared)
    return {*shared, *(uplink[0] for uplink in uplinks if uplink)}


@dataclass(kw_only=True)
class Unplugging:
    """A VIF being unplugged: what the switch and the kernel have of it, and what failed."""

    vif: Departure
    in_switch: Sequence[SwitchOperation]
    units: tuple[Unit, ...]
    failures: list[str] = field(default_factory=list)

    @property
    def vif_id(self) -> str:
        """The VIF's id."""
        return self.vif.vif_id

    @property
    def changed(self) -> bool:
        """Whether the host had anything of the VIF."""
        return bool(self.in_switch or self.units)

    @property
    def more_than_claims(self) -> bool:
        """Whether the host had more of the VIF than claims."""
        return bool(self.in_switch) or len(self.units) > len(self.claims)

    @property
    def claims(self) -> list[Unit]:
        """What removes the VIF's claims."""
        return [unit for unit in self.units if isinstance(unit[0], RemoveClaim)]

    @property
    def marks(self) -> list[Unit]:
        """What removes marks of shared devices that stay."""
        return [u for u in self.units if all(isinstance(each, RemoveAltname) for each in u)]

    @property
    def links(self) -> list[Unit]:
        """What removes devices and gives back settings."""
        return [unit for unit in self.units if unit not in (*self.marks, *self.claims)]

    @property
    def own(self) -> list[RemoveLink]:
        """What removes a device that is this VIF's alone."""
        return [
            unit[0]
            for unit in self.links
            if len(unit) == 1 and isinstance(unit[0], RemoveLink) and not unit[0].unless_used
        ]

    @property
    def outcome(self) -> Outcome:
        """What became of the VIF."""
        if self.failures:
            return UnplugFailed(self.vif_id, self.failures)
        performed = [*self.in_switch, *(operation for unit in self.units for operation in unit)]
        devices = tuple(each.device for each in self.own)
        return Applied.by(performed, changed=self.changed, devices=devices)


def unplug(vifs: Sequence[Departure], means: Means, *, remove_unused: bool) -> list[Outcome]:
    """Remove all that is each VIF's; go on past errors and report them together.

    An UnplugFailed tells where something is left; what is gone already is no error. A VIF that a
    guest holds stays, with InUse, unless it is forced.
    """
    try:
        means.kernel.claims.require_ours()
    except PrivilegeError as error:  # who uses which device, and what it gives back, is not known
        return [error for _ in vifs]
    failures: list[str] = []
    in_switch: Sequence[Sequence[Operation]] = [()] * len(vifs)
    try:
        in_switch, host = _look(vifs, means)
    except Exception as error:
        failures.append(words(error))  # the devices can go all the same
        host = means.look(batch=len(vifs) >= BATCH)
    try:
        staying = _in_use(vifs, host, means) | _refused(vifs, host)
        every = zip(vifs, in_switch, strict=True)
        going = [(vif, inside) for vif, inside in every if vif.vif_id not in staying]
        units = _removals([vif for vif, _ in going], host, means, remove_unused=remove_unused)
    except TimeoutError as error:  # nothing was begun
        return [_too_late(vif, failures, error) for vif in vifs]
    means.lost[:] = lost_marks(host, means.kinds)
    leaving = [
        Unplugging(
            vif=vif,
            in_switch=without_claims(operations)[0],
            units=(*own, *_unclaimed(operations)),
            failures=[*failures, *_unreadable(vif.vif_id, means)],
        )
        for (vif, operations), own in zip(going, units, strict=True)
    ]
    _leave(leaving, means, remove_unused=remove_unused)
    outcomes = staying | {vif.vif_id: vif.outcome for vif in leaving}
    return [outcomes[vif.vif_id] for vif in vifs]


def _too_late(vif: Departure, failures: Sequence[str], error: TimeoutError) -> Outcome:
    """Return what becomes of a VIF of which nothing was removed before the deadline."""
    if failures:
        return UnplugFailed(vif.vif_id, [*failures, words(error)])
    return DeadlineExceeded(vif.vif_id, _PLANNING, "failed")


def _leave(leaving: Sequence[Unplugging], means: Means, *, remove_unused: bool) -> None:
    """Remove what the switch and the kernel have of some VIFs, and look at the host again."""
    _leave_switch(leaving, means)
    _remove(leaving, means)
    busy = [vif for vif in leaving if vif.changed and not vif.failures]
    # Of a VIF that has only claims, the first look has shown that nothing else is left.
    removed = [vif for vif in busy if vif.more_than_claims]
    _still_to_do(removed, means, remove_unused=remove_unused, marks=False, claims=False)
    # With a failure the marks and claims stay: they tell the next unplug what is still to do.
    marked = [vif for vif in busy if vif.marks and not vif.failures]
    for vif in marked:
        for unit in vif.marks:
            vif.failures += all_or_none(unit, means, vif.vif_id)
    _still_to_do(marked, means, remove_unused=remove_unused, claims=False)
    claimed = [vif for vif in busy if vif.claims and not vif.failures]
    for vif in claimed:
        for unit in vif.claims:
            vif.failures += all_or_none(unit, means, vif.vif_id)
    _still_to_do(claimed, means, remove_unused=False)


def _in_use(vifs: Sequence[Departure], host: Host, means: Means) -> dict[str, Outcome]:
    """Return the error for each VIF that a guest may hold, and that is not forced."""
    found = {}
    for vif in vifs:
        require_time(means)
        found[vif.vif_id] = None if vif.force else held_by_guest(vif, host, means.kinds)
    return {vif_id: InUse(vif_id, held[0], "", held[1]) for vif_id, held in found.items() if held}


def _refused(vifs: Sequence[Departure], host: Host) -> dict[str, Outcome]:
    """Return the error for each VIF that is named with another VIF's interface id."""
    found: dict[str, Outcome] = {}
    for vif in vifs:
        try:
            require_own_id(vif.vif_id, vif.interface_id, host)
        except Conflict as error:
            found[vif.vif_id] = error
    return found


def clear(mark: RemoveAltname, means: Means) -> bool:
    """Remove a mark that leads nowhere, if it still does; return whether it was removed.

    That it stays hurts nothing: the next plug removes it too.
    """
    try:
        if mark not in lost_marks(means.look(batch=False), means.kinds):
            return False
        LOG.debug("%s", mark)
        perform(mark, means.kernel)
    except OSError as error:
        LOG.warning("%s: %s", mark, words(error))
        return False
    return True


def _look(vifs: Sequence[Departure], means: Means) -> tuple[Sequence[Sequence[Operation]], Host]:
    """Return what takes each VIF out of the switch; and the host, with what was seen there."""
    in_switch: Sequence[Sequence[Operation]] = [()] * len(vifs)
    seen = None
    if means.switch:
        in_switch = means.switch.removals(vifs)
        seen = means.switch.seen()
    host = means.look(batch=len(vifs) >= BATCH)
    return in_switch, replace(host, switches={seen.key: seen}) if seen else host


def _unclaimed(operations: Iterable[Operation]) -> Iterable[Unit]:
    """Return what removes the claims on the switch's bridges, of what takes a VIF out of it."""
    return ((each,) for each in without_claims(operations)[1])


def _removals(
    vifs: Sequence[Departure], host: Host, means: Means, *, remove_unused: bool
) -> list[tuple[Unit, ...]]:
    """Return what unplugs each VIF once those before it are gone: the last user gives back."""
    if len(vifs) > 1:
        host = host.planning()
    found = []
    for vif in vifs:
        require_time(means)
        units = removal(vif.vif_id, host, means.kinds, remove_unused=remove_unused)
        found.append(units)
        for operation in (each for unit in units for each in unit if len(vifs) > 1):
            operation.foresee(host)
    return found


def _unreadable(vif_id: str, means: Means) -> list[str]:
    """Return why some of a VIF's claims can't be read: what they note would be lost."""
    unread = means.kernel.claims.unread(vif_id).items()
    return [f"claims {path}: {why}; remove it, then unplug again" for path, why in unread]


def _leave_switch(leaving: Sequence[Unplugging], means: Means) -> None:
    """Take all VIFs out of the switch in one transaction.

    The unplug does not wait for the switch: what it still has of them goes with the devices, and
    the next plug waits until it has seen both.
    """
    groups = [vif.in_switch for vif in leaving]
    if not any(groups) or means.switch is None:
        return
    for vif in leaving:
        log_each(vif.in_switch, vif.vif_id)
    try:
        means.require_time(leaving[0].vif_id, str(next(each for group in groups for each in group)))
        means.switch.send(groups)
        means.switch.confirm()
    except SomeFailed as some:
        for position, (operation, why) in some.failed.items():
            leaving[position].failures.append(f"{operation}: {words(why)}")
    except Exception as error:
        if isinstance(error, Refused) and len(leaving) > 1:
            for piece in _pieces(leaving, error):
                _leave_switch(piece, means)
            return
        for vif in leaving:
            if vif.in_switch:
                vif.failures.append(f"{vif.in_switch[0]}: {words(error)}")


def _pieces(leaving: Sequence[Unplugging], refused: Refused) -> Iterable[Sequence[Unplugging]]:
    """Cut out the VIF that was refused, or cut in halves where nothing tells which it was."""
    at, culprit = refused.culprit, refused.culprit is not None
    middle = len(leaving) // 2 if at is None else at
    cuts = (leaving[:middle], leaving[middle : middle + culprit], leaving[middle + culprit :])
    return [piece for piece in cuts if piece]


def _remove(leaving: Sequence[Unplugging], means: Means) -> None:
    """Remove devices: shared ones each by itself, then all that are the VIFs' own in one go."""
    for vif in leaving:
        for unit in vif.links:
            if unit[0] not in vif.own or len(unit) > 1:
                vif.failures += all_or_none(unit, means, vif.vif_id)
    own = [operation for vif in leaving for operation in vif.own]
    if len(leaving) > 1 and own and not all_or_none((RemoveLinks.of(own),), means, _ids(leaving)):
        return
    for vif in leaving:
        if vif.own:
            vif.failures += all_or_none((RemoveLinks.of(vif.own),), means, vif.vif_id)


def _ids(leaving: Sequence[Unplugging]) -> str:
    return ", ".join(vif.vif_id for vif in leaving)


def _still_to_do(
    leaving: Sequence[Unplugging],
    means: Means,
    *,
    remove_unused: bool,
    marks: bool = True,
    claims: bool = True,
) -> None:
    """Look at the host again; note what an unplug would still have to do.

    Without ``marks`` or ``claims`` these have still to go.
    """
    if not leaving:
        return
    vifs = [vif.vif for vif in leaving]
    try:
        in_switch, host = _look(vifs, means)
        units = _removals(vifs, host, means, remove_unused=remove_unused)
        for vif, operations, again in zip(leaving, in_switch, units, strict=True):
            but = [*(() if marks else vif.marks), *(() if claims else vif.claims)]
            units_left = (unit for unit in (*again, *_unclaimed(operations)) if unit not in but)
            left: list[Operation] = [o for unit in units_left for o in unit]
            left += without_claims(operations)[0]
            vif.failures += [f"{operation}: still to do" for operation in left]
    except Exception as error:
        for vif in leaving:
            vif.failures.append(words(error))
