# SPDX-License-Identifier: Apache-2.0
"""What must hold when a step goes wrong: each function tries one fault at every step of a subject.

A plugin's tests give their planning cases as subjects. What was tried is counted in
:mod:`vifplug.testing.faults.points`.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import time
from collections.abc import Sequence
from pathlib import Path

from oslo_config import cfg
from oslo_privsep.priv_context import Method

from vifplug import Conflict, DeadlineExceeded, GenericVIFDriver, PlugFailed, PrivilegeError
from vifplug.apply.plugging import CLEARING
from vifplug.errors import UnplugFailed, VifplugError
from vifplug.kernel.claims import ClaimsFolder
from vifplug.kernel.netlink import Netlink
from vifplug.kernel.perform import Kernel, perform
from vifplug.operations import Operation, SwitchOperation
from vifplug.testing.faults.points import point
from vifplug.testing.faults.saboteur import HALF, LATE, ORPHANED, REFUSED, UNDONE, Saboteur
from vifplug.testing.faults.scene import Scene, Subject, scene, scenes
from vifplug.testing.namespace import NetworkNamespace

__all__ = ["faulty_moves", "faulty_plugs", "faulty_unplugs", "killed_callers", "killed_daemons"]

TRIES = 6
"""How often a step that must come too late is tried until its time was right."""


def faulty_plugs(subject: Subject, saboteur: Saboteur, fault: str) -> int:
    """A fault at every step of a plug: the host is as it was. Return how many were tried."""
    with NetworkNamespace(enter=True) as host, scene(subject, saboteur, host) as at:
        planned = _steps(at.driver.plan(None, at.vif).operations, subject)
        count = len(planned)
        if saboteur.messages:
            count = _counted(at)
            at.before = at.everything()
        for position in range(count):
            with point("plug", fault):
                failed = _failed_plug(at, position, fault)
                if failed is None:  # the kernel had it so by itself: nothing was missing
                    assert fault == UNDONE
                    assert not at.driver.check(None, at.vif)
                    if any(isinstance(operation, SwitchOperation) for operation in planned):
                        break  # the switch did it; to take that back is more than an undo
                    _take_back(planned)
                elif fault in (REFUSED, HALF) and not saboteur.messages:
                    assert failed == str(planned[position])
                at.as_before()
        at.works()
        return count


def _steps(operations: Sequence[Operation], subject: Subject) -> list[Operation]:
    """Return operations in the order of their steps.

    A database takes all of its in one, for which it is asked, and which it confirms.
    """
    order = subject.order(operations)
    transaction = order.inside[:1]
    return [*order.before, *transaction, *order.meanwhile, *transaction, *order.after]


def _counted(at: Scene) -> int:
    at.driver.plug(None, at.vif)
    count = at.saboteur.steps
    at.driver.unplug(None, at.vif)
    return count


def _failed_plug(at: Scene, position: int, fault: str) -> str | None:
    """Plug; return the step at which it failed, or None."""
    match _sabotaged(at, "plug", position, fault):
        case None:
            return None
        case PlugFailed() as error:
            assert error.left == () or error.step == CLEARING
            assert fault != LATE
            return error.step
        case DeadlineExceeded() as error:
            assert (fault, error.outcome) == (LATE, "failed")
            return error.step
        case Conflict() as missed if fault == UNDONE:  # by the look at the result
            return str(missed)
        case other:
            raise other


def _sabotaged(at: Scene, call: str, position: int, fault: str) -> VifplugError | None:
    """Plug, or plug and then unplug, with a step that goes wrong; return what that raised.

    A step that comes too late must begin before the deadline, and the daemon must take back what
    it did before the caller stops to wait. If this machine was too slow for that, try again with
    twice the time.
    """
    for _ in range(TRIES):
        if call == "unplug":
            at.saboteur.rest()
            at.driver.plug(None, at.vif)
        at.saboteur.arm(position, fault, lateness=at.timeout)
        found = _error(at, call, at.timeout if fault == LATE else None)
        unknown = isinstance(found, DeadlineExceeded) and found.outcome == "unknown"
        if fault != LATE or (at.saboteur.hits and not unknown):
            break
        _wait_for_the_daemon()
        at.timeout *= 2
    assert at.saboteur.hits == 1
    at.saboteur.rest()
    return found


def _error(at: Scene, call: str, timeout: float | None) -> VifplugError | None:
    try:
        at.call(call, timeout=timeout)
    except VifplugError as error:
        return error
    return None


def _take_back(operations: Sequence[Operation]) -> None:
    with Netlink() as netlink:
        kernel = Kernel(netlink, ClaimsFolder(cfg.CONF.vifplug.lock_path))
        for operation in reversed(operations):
            if back := operation.undo():
                perform(back, kernel)


def faulty_moves(subject: Subject, saboteur: Saboteur, fault: str) -> int:
    """A fault at every step of a move. The host is as it was, with the VIF in its old place.

    Only where devices of the old place can't be removed is the VIF moved; then the next move ends
    that. Return how many were tried.
    """
    with contextlib.closing(scenes(subject, saboteur)) as found:
        # The least of two, because a plug repairs a device that the switch has just set down.
        count = min(_steps_of_a_move(next(found)) for _ in range(2))
        for position, at in zip(range(count), found, strict=False):
            with point("move", fault):
                failed = _failed_plug(at, position, fault)
                if failed not in (None, CLEARING):
                    at.as_before()
                    at.after = at.before
                    continue
                if failed is None:  # the last steps came late, or another did what was not done
                    assert fault in (LATE, UNDONE)
                    assert not at.driver.check(None, at.vif)
                at.works()
        return count


def _steps_of_a_move(at: Scene) -> int:
    at.saboteur.rest()
    at.call("plug")
    return at.saboteur.steps


def faulty_unplugs(subject: Subject, saboteur: Saboteur, fault: str) -> int:
    """A fault at every step of an unplug: it is told, and the next unplug leaves nothing."""
    with NetworkNamespace(enter=True) as host, scene(subject, saboteur, host) as at:
        at.driver.plug(None, at.vif)
        at.driver.unplug(None, at.vif)
        at.driver.plug(None, at.vif)  # from here on it is always plugged afresh
        saboteur.rest()
        at.driver.unplug(None, at.vif)
        count = saboteur.steps
        at.leaves_nothing()
        for position in range(count):
            with point("unplug", fault):
                failed = _sabotaged(at, "unplug", position, fault)
                if failed is None:  # the last step came late, or another did what was not done
                    assert fault in (LATE, UNDONE)
                elif not isinstance(failed, UnplugFailed):
                    raise failed
                at.driver.unplug(None, at.vif)
                at.leaves_nothing()
        return count


def killed_daemons(subject: Subject, saboteur: Saboteur, fault: str, call: str) -> int:
    """The daemon killed at every step: the next plug converges, the next unplug leaves nothing."""
    with contextlib.closing(scenes(subject, saboteur)) as found:
        for position, at in enumerate(found):
            if call == "unplug":
                at.driver.plug(None, at.vif)
            saboteur.arm(position, fault)
            try:
                at.call(call)
            except PrivilegeError as error:
                assert "has ended" in str(error)
            if not saboteur.hits:
                return position
            with point("move" if subject.move else call, fault):
                saboteur.rest()
                if call == "unplug" and position % 2:
                    at.driver.unplug(None, at.vif)
                    at.leaves_nothing()
                at.works()
    raise AssertionError("there is always another scene")


def killed_callers(subject: Subject, saboteur: Saboteur) -> int:
    """The caller killed at every step of a plug: the daemon finishes, and the VIF is plugged."""
    with contextlib.closing(scenes(subject, saboteur)) as found:
        for position, at in enumerate(found):
            at.subject.context.stop()
            saboteur.arm(position, ORPHANED)
            caller = multiprocessing.get_context("fork").Process(target=_plug, args=(at,))
            caller.start()
            caller.join(timeout=30)
            if not saboteur.hits:
                assert caller.exitcode == 0
                return position
            with point("plug", ORPHANED):
                assert caller.exitcode == -9
                _wait_for_the_daemon()
                assert not at.driver.check(None, at.vif)
                saboteur.rest()
                at.subject.context.start(Method.FORK)
                at.works()
    raise AssertionError("there is always another scene")


def _plug(at: Scene) -> None:
    at.subject.context.start(Method.FORK)
    with contextlib.suppress(VifplugError):
        GenericVIFDriver().plug(None, at.vif)
    at.subject.context.stop()


def _wait_for_the_daemon() -> None:
    """Wait until the daemon, which nobody can call any more, has freed its locks."""
    locks, until = Path(cfg.CONF.vifplug.lock_path), time.monotonic() + 60
    while list(locks.rglob("*.lock")) and time.monotonic() < until:
        time.sleep(0.005)
