# SPDX-License-Identifier: Apache-2.0
"""VIFs plugged: each whole or not at all, then looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vifplug.apply.job import Applied, Job, Outcome
from vifplug.apply.means import Means, Refused
from vifplug.errors import PlugFailed, VifplugError
from vifplug.model.host import Host
from vifplug.operations.links import SetLink
from vifplug.operations.operation import Operation
from vifplug.wiring import compare
from vifplug_ovs.order import Order, in_order


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
