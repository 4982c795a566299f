# SPDX-License-Identifier: Apache-2.0
"""Plans carried out: all or nothing for a plug, all that can be for an unplug, then looked at.

This runs inside a plugin's privileged daemon, under its locks, but is itself plain code.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from vifplug.errors import DeadlineExceeded, PlugFailed, UnplugFailed, VifplugError
from vifplug.host import Host
from vifplug.look import RunningLinks
from vifplug.mark import Owner
from vifplug.netlink import Netlink
from vifplug.operations import MakeLink, Operation, RemoveAltname, RemoveLink, RemoveLinks, SetLink
from vifplug.order import Order, in_order
from vifplug.ovs import Ovs
from vifplug.parts import Part, uplink_of
from vifplug.perform import perform
from vifplug.sysfs import RunningFunctions
from vifplug.wiring import Unit, compare, removal, used

_BATCH = 8
"""From so many VIFs on, the host is read in one dump instead of name by name."""


class Refused(Exception):
    """A database refused a transaction, of which nothing was done; ``culprit`` is the VIF's place.

    ``culprit`` is None where the database does not say whose part of it was wrong.
    """

    def __init__(self, why: str, culprit: int | None = None) -> None:
        super().__init__(why)
        self.culprit = culprit


class Database(Protocol):
    """A switch's database, which a plan changes in transactions, unlike the kernel's devices."""

    def seek(self, jobs: Sequence[Job], *, meanwhile: Callable[[], object]) -> Ovs:
        """Read what the parts of these jobs must know. Raises OVSDBError, DeadlineExceeded.

        ``meanwhile`` may be done while the database is at work.
        """

    def removals(self, vifs: Sequence[Departure]) -> Sequence[Sequence[Operation]]:
        """Read what is these VIFs' and return what takes each out, as :meth:`seek`."""

    def send(self, groups: Sequence[Sequence[Operation]]) -> None:
        """Ask for all changes in one transaction, which can't be recalled: then :meth:`confirm`.

        Raises as that does; it may wait for the answer itself, where the switch needs that time.
        """

    def confirm(self) -> None:
        """Wait until all that was asked for is done. Raises Refused: nothing of it was.

        OVSDBError and DeadlineExceeded: nothing was done, or what may come to be done is undone by
        the database itself. OSError: the caller has to take it back.
        """

    def take_back(self, operation: Operation) -> None:
        """Make one change by itself, also a little past the deadline. Raises as :meth:`confirm`."""

    def settled(
        self, groups: Sequence[Sequence[Operation]], *, meanwhile: Callable[[], object]
    ) -> Sequence[str | None]:
        """Wait until the switch has done what was confirmed; return why not, for each group.

        ``meanwhile`` is done while it works.
        """

    def race(self, job: Job) -> bool:
        """Whether a job's device may be made while the database is at work on its port's row.

        Asked once for a plug; the switch may look for the device before it is made.
        """


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What a plug or unplug did: whether it changed the host, and the VIF's own devices."""

    changed: bool
    devices: tuple[str, ...]


Outcome = Applied | VifplugError


@dataclass(kw_only=True)
class Job:
    """One VIF to be plugged, what was done for it so far, last what can be taken back."""

    owner: Owner
    parts: Sequence[Part]
    done: list[Operation] = field(default_factory=list)
    standing: str = "the first step"
    outcome: Outcome | None = None

    def at_database(self, order: Order) -> None:
        """Note that the database's changes are the step at which it stands."""
        if order.inside:
            self.standing = str(order.inside[0])

    def forget_database(self) -> None:
        """Leave out what was not done in the database after all."""
        self.done = [operation for operation in self.done if not operation.in_database]

    def fail(self, error: BaseException, take_back: Callable[[Operation], None]) -> None:
        """Take back what was done, last first; the error is what becomes of the VIF."""
        left = _undo(self.done, take_back)
        self.done = []
        if isinstance(error, VifplugError) and not left:
            self.outcome = error.about(self.owner.vif_id)
        else:
            self.outcome = PlugFailed(self.owner.vif_id, self.standing, _words(error), left)


@dataclass(frozen=True, kw_only=True)
class Departure:
    """One VIF to be unplugged; of its ``interface_id`` nothing may be known but what marks say."""

    vif_id: str
    interface_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Means:
    """What plans are carried out with: netlink, a database if there is one, and the time.

    ``deadline`` is absolute CLOCK_MONOTONIC. ``facts`` adds what a plugin's parts must know of the
    host besides. ``meanwhile`` is done while a switch works, so that it takes no time.
    """

    netlink: Netlink
    deadline: float
    database: Database | None = None
    facts: Callable[[Host], Host] | None = None
    meanwhile: Callable[[], object] | None = None

    def look(self, *, batch: bool) -> Host:
        """Return the host's devices as they are; in a ``batch`` all are read at once."""
        links = RunningLinks(self.netlink)
        if batch:
            links.read_all()
        return Host(links=links, pci=RunningFunctions())

    def look_for(self, jobs: Sequence[Job]) -> Host:
        """Return the host with all that the parts of some jobs must know.

        Raises OSError, OVSDBError, DeadlineExceeded.
        """
        host = self.look(batch=len(jobs) >= _BATCH)
        for job in jobs:
            host.expect(name for part in job.parts for name in part.devices)
            marks = (part.marks(job.owner) for part in job.parts)
            host.expect(mark for own in marks for mark in own.values())
        if self.database:
            host = replace(host, ovs=self.database.seek(jobs, meanwhile=host.read_ahead))
        return self.facts(host) if self.facts else host

    def perform(self, operation: Operation) -> None:
        """Do one operation on the kernel."""
        perform(self.netlink, operation)

    def use_the_time(self) -> None:
        """Do what has to be done some time, while a switch works."""
        self.netlink.let_go()
        if self.meanwhile:
            self.meanwhile()

    def take_back(self, operation: Operation) -> None:
        """Do one operation that undoes another, on the kernel or in the database."""
        if operation.in_database and self.database:
            self.database.take_back(operation)
        else:
            perform(self.netlink, operation)

    def require_time(self, vif_id: str, step: str) -> None:
        """Raise DeadlineExceeded where the deadline has passed."""
        if time.monotonic() > self.deadline:
            raise DeadlineExceeded(vif_id, step, "failed")


def plug(jobs: Sequence[Job], means: Means) -> list[Outcome]:
    """Make each job's parts exist, or leave the host as it was; one that fails hurts no other.

    What goes into a database goes there in one transaction for all, split where it is refused.
    """
    _together(list(jobs), means)
    return [job.outcome or Applied(changed=False, devices=()) for job in jobs]


def _together(jobs: list[Job], means: Means) -> None:
    try:
        host = means.look_for(jobs).planning()
    except (VifplugError, OSError) as error:
        for job in jobs:
            job.standing = "reading the host"
            job.fail(error, means.take_back)
        return
    plans: list[tuple[Job, Order]] = []
    for job in jobs:
        try:
            steps = compare(job.owner, job.parts, host)
        except Exception as error:
            job.fail(error, means.take_back)
            continue
        operations = [operation for step in steps for operation in step.operations]
        # Many devices take longer to be made than any switch to look for them.
        racing = len(jobs) == 1 and means.database is not None and means.database.race(job)
        order = in_order(operations, racing=racing)
        if _performed(job, order.before, means):
            plans.append((job, order))
    if any(order.inside for _, order in plans):
        if not _committed(plans, means):
            return
        plans = [(job, order) for job, order in plans if job.outcome is None]
        if plans:
            _settle(plans, means)
    _verify([job for job, _ in plans if job.outcome is None], means)


def _performed(job: Job, operations: Sequence[Operation], means: Means) -> bool:
    """Make changes on the kernel; where one fails, take back all that was done for the job."""
    if failure := _stopped_by(job, operations, means):
        job.fail(failure, means.take_back)
        if not isinstance(failure, Exception):
            raise failure
    return failure is None


def _stopped_by(job: Job, operations: Sequence[Operation], means: Means) -> BaseException | None:
    """Make changes on the kernel until one fails; return its error, and take nothing back."""
    try:
        for operation in operations:
            job.standing = str(operation)
            means.require_time(job.owner.vif_id, job.standing)
            # Noted before it is tried: what failed half-way is taken back too.
            job.done.append(operation)
            means.perform(operation)
    except BaseException as error:
        return error
    return None


def _committed(plans: Sequence[tuple[Job, Order]], means: Means) -> bool:
    """Change the database, for all in one transaction; False where they were split instead."""
    assert means.database is not None  # noqa: S101 - only its parts have such operations
    for job, order in plans:
        job.at_database(order)
        job.done += order.inside
    stopped: list[tuple[Job, str, BaseException]] = []
    try:
        means.require_time(plans[0][0].owner.vif_id, plans[0][0].standing)
        means.database.send([order.inside for _, order in plans])
        for job, order in plans:
            if failure := _stopped_by(job, order.meanwhile, means):
                stopped.append((job, job.standing, failure))
            job.at_database(order)
        means.database.confirm()
    except Refused as refused:
        _split([job for job, _ in plans], refused, means)
        return False
    except (VifplugError, OSError) as error:
        for job, _ in plans:
            if isinstance(error, VifplugError):
                job.forget_database()
            job.fail(error, means.take_back)
        return False
    for job, standing, failure in stopped:
        job.standing = standing
        job.fail(failure, means.take_back)
        if not isinstance(failure, Exception):
            raise failure
    return True


def _settle(plans: Sequence[tuple[Job, Order]], means: Means) -> None:
    """Wait for the switch; take back what it did not take."""
    assert means.database is not None  # noqa: S101 - as above
    for job, order in plans:
        job.at_database(order)
    try:
        means.require_time(plans[0][0].owner.vif_id, plans[0][0].standing)
        groups = [order.inside for _, order in plans]
        answers = means.database.settled(groups, meanwhile=means.use_the_time)
    except (Refused, VifplugError, OSError) as error:
        for job, _ in plans:
            job.fail(error, means.take_back)
        return
    for (job, _), why in zip(plans, answers, strict=True):
        if why:
            job.fail(PlugFailed(job.owner.vif_id, job.standing, why), means.take_back)


def _split(jobs: list[Job], refused: Refused, means: Means) -> None:
    """Go on without the job that was refused, or in halves where nobody knows which it was."""
    for job in jobs:
        job.forget_database()
    if len(jobs) == 1:
        jobs[0].fail(refused, means.take_back)
        return
    if refused.culprit is not None:
        jobs[refused.culprit].fail(refused, means.take_back)
        rest = [job for job in jobs if job.outcome is None]
        return _together(rest, means)
    half = len(jobs) // 2
    _together(jobs[:half], means)
    _together(jobs[half:], means)


def _verify(jobs: list[Job], means: Means) -> None:
    """Look at the host again: only what is really there counts as plugged."""
    means.netlink.let_go()
    changed = [job for job in jobs if job.done]
    for job in jobs:
        job.outcome = _applied(job)
    if not changed:
        return
    try:
        host = means.look_for(changed)
    except (VifplugError, OSError) as error:
        for job in changed:
            job.standing = "the look at the result"
            job.fail(error, means.take_back)
        return
    for job in changed:
        job.standing = "the look at the result"
        try:
            left = _left_to_do(job, host)
            if means.database and _put_down(left, means):
                again = means.look(batch=False)
                left = _left_to_do(job, replace(host, links=again.links))
            if left:
                differs = "; ".join(str(operation) for operation in left)
                reason = f"the host did not keep what was done: {differs}"
                raise PlugFailed(job.owner.vif_id, job.standing, reason)
            means.require_time(job.owner.vif_id, job.standing)
        except (VifplugError, OSError) as error:
            job.fail(error, means.take_back)


def _left_to_do(job: Job, host: Host) -> list[Operation]:
    steps = compare(job.owner, job.parts, host)
    return [operation for step in steps for operation in step.operations]


def _put_down(left: Sequence[Operation], means: Means) -> bool:
    """Bring devices up again that the switch has put down; return whether that was all.

    vswitchd reads a new device's flags, and writes them back with one more: without what others
    set in between.
    """
    if not left or not all(isinstance(o, SetLink) and o.attribute == "up" for o in left):
        return False
    for operation in left:
        means.perform(operation)
    return True


def _applied(job: Job) -> Applied:
    devices = tuple(name for part in job.parts for name in part.devices)
    return Applied(changed=bool(job.done), devices=devices)


def _undo(done: Sequence[Operation], take_back: Callable[[Operation], None]) -> list[str]:
    """Take back what was done, last first; return what could not be."""
    left = []
    for operation in reversed(done):
        back = operation.undo()
        if back is None:
            continue
        try:
            take_back(back)
        except Exception as error:
            # The device that the plan itself made may be gone, or never have come.
            made = any(isinstance(o, MakeLink) and o.device == back.device for o in done)
            if not (made and not isinstance(back, RemoveLink)):
                left.append(f"{back}: {_words(error)}")
    return left


def _words(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


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
        failure.append(_words(error))  # the devices can go all the same
    host = means.look(batch=len(vifs) >= _BATCH)
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
                one.failures.append(f"{one.in_database[0]}: {_words(error)}")


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
        host = means.look(batch=len(vifs) >= _BATCH)
        for one, operations in zip(leaving, found, strict=True):
            again = removal(one.vif_id, host, remove_unused=remove_unused)
            but: Iterable[Unit] = () if claims else one.claims
            left = [operation for unit in again if unit not in but for operation in unit]
            left += operations
            one.failures += [f"{operation}: still to do" for operation in left]
    except (VifplugError, OSError) as error:
        for one in leaving:
            one.failures.append(_words(error))


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
            return [f"{operation}: {_words(error)}", *_undo(done, means.take_back)]
    return []
