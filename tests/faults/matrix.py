# SPDX-License-Identifier: Apache-2.0
"""What must hold when a step goes wrong: each function tries one fault at every step of a subject.

A plugin's tests give their planning cases as subjects. What was tried is counted in POINTS, which
the test run prints as a table at its end.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from oslo_config import cfg
from oslo_privsep.priv_context import Method

from tests.claims import every_claim, without_tokens
from tests.faults.dumps import differences
from tests.faults.saboteur import HALF, LATE, ORPHANED, REFUSED, UNDONE, Saboteur
from vifplug import VIF, DeadlineExceeded, GenericVIFDriver, PlugFailed, PrivilegeError
from vifplug.apply.plugging import CLEARING
from vifplug.daemon.context import Context
from vifplug.errors import UnplugFailed, VifplugError
from vifplug.kernel.claims import ClaimsFolder
from vifplug.kernel.netlink import Netlink
from vifplug.kernel.perform import Kernel, perform
from vifplug.operations import Operation, SwitchOperation
from vifplug.switch import Order
from vifplug.testing import NetworkNamespace

SETTLES_WITHIN = 5.0
"""Seconds that a host gets to become what it was: some of it follows in the kernel's own time."""

TRIES = 6
"""How often a step that must come too late is tried until its time was right."""

POINTS: Counter[tuple[str, str]] = Counter()
WRONG: Counter[tuple[str, str]] = Counter()


@dataclass(frozen=True)
class Subject:
    """A VIF, what makes its host real in a namespace, and the context of its daemon.

    ``dump`` is all that a host has; what it needs besides the namespace ends with the stack.
    ``order`` puts its operations in the order of its switch, where it has one. ``move``: the VIF is
    plugged elsewhere on that host, and a plug brings it over.
    """

    vif: VIF
    prepare: Callable[[NetworkNamespace, contextlib.ExitStack], GenericVIFDriver]
    context: Context
    dump: Callable[[NetworkNamespace], dict[str, Any]] = NetworkNamespace.everything
    order: Callable[[Sequence[Operation]], Order] = lambda all: Order(before=tuple(all))
    move: bool = False


@dataclass
class Scene:
    """A subject on a host of its own, with a daemon that is a fork of the test."""

    subject: Subject
    saboteur: Saboteur
    host: NetworkNamespace
    driver: GenericVIFDriver
    before: dict[str, Any]
    after: dict[str, Any] = field(default_factory=dict)
    """The host as it was when the VIF was last seen to have left nothing."""
    timeout: float = 0.1
    """Seconds that a call gets whose step comes too late."""

    @property
    def vif(self) -> VIF:
        return self.subject.vif

    def call(self, call: str, *, timeout: float | None = None) -> None:
        """Plug, which may move, or unplug the VIF."""
        if call == "plug":
            self.driver.plug(None, self.vif, timeout=timeout, move=self.subject.move)
        else:
            # Of a VIF that moves, the guest runs.
            self.driver.unplug(None, self.vif, timeout=timeout, force=self.subject.move)

    def as_before(self) -> None:
        """Require that the host is what it was, in full."""
        until = time.monotonic() + SETTLES_WITHIN
        while (found := differences(self.before, self.everything())) and time.monotonic() < until:
            time.sleep(0.01)
        assert found == []

    def everything(self) -> dict[str, Any]:
        """Return all that the host has, and the claims on its devices."""
        return {**without_tokens(self.subject.dump(self.host)), "claims": every_claim()}

    def works(self) -> None:
        """Require that plug converges and unplug leaves nothing, and no other's address went."""
        self.saboteur.rest()
        self.call("plug")
        assert not self.driver.check(None, self.vif)
        self.call("unplug")
        self.leaves_nothing()

    def leaves_nothing(self) -> None:
        """Require that nothing of the VIF is left, and all addresses and routes of the host are."""
        until = time.monotonic() + SETTLES_WITHIN
        while (found := self._left(self.everything())) and time.monotonic() < until:
            time.sleep(0.01)
        assert found == []
        assert self.vif.id not in {one.id for one in self.driver.list()}

    def _left(self, after: dict[str, Any]) -> list[str]:
        """Return what a dump still has of the VIF, and what of the host's addressing differs."""
        self.after = after
        taps = {name for name, link in after["links"].items()
                if link.get("linkinfo", {}).get("info_kind") == "tun"}  # fmt: skip
        found = [name for name in taps if name == self.vif.devname or self.vif.id[:11] in name]
        found += [line for line in differences({}, after) if self.vif.id in line]
        return found + differences(kept(self.before, after), kept(after, self.before))

    def with_another_daemon(self) -> None:
        """Start the daemon anew, on the host that is there."""
        self.saboteur.rest()
        self.subject.context.stop()
        self.subject.context.start(Method.FORK)


def kept(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return the addresses of the devices that two dumps have, and the routes through them.

    Without the devices' names where an uplink has joined another's bridge, and stays there.
    """
    both = one["addresses"].keys() & other["addresses"].keys()
    moved = any(one["links"][name].get("master") != other["links"][name].get("master")
                for name in both)  # fmt: skip
    addresses: Any = {name: one["addresses"][name] for name in sorted(both)}
    routes = [r for family in one["routes"].values() for r in family]
    routes = [r for r in routes if r.get("dev", "lo") in both]
    if moved:
        pooled = [address for found in addresses.values() for address in found]
        addresses = sorted(str(address | {"label": ""}) for address in pooled)
        routes = sorted(str(route | {"dev": ""}) for route in routes)
    return {"addresses": addresses, "routes": routes}


@contextlib.contextmanager
def scene(subject: Subject, saboteur: Saboteur, host: NetworkNamespace) -> Iterator[Scene]:
    """Make the subject's host real in a namespace that the thread is in, and start its daemon."""
    saboteur.rest()
    with contextlib.ExitStack() as stack:
        driver = subject.prepare(host, stack)
        subject.context.stop()
        subject.context.start(Method.FORK)
        stack.callback(subject.context.stop)
        at = Scene(subject, saboteur, host, driver, {})
        at.before = at.everything()
        yield at


def scenes(subject: Subject, saboteur: Saboteur) -> Iterator[Scene]:
    """Return scenes without end, each with a daemon of its own.

    The host stays the same for as long as it is what it was at first, in full. What a plug and an
    unplug change for good (drift that was repaired) needs a host made anew.
    """
    while True:
        with NetworkNamespace(enter=True) as host, scene(subject, saboteur, host) as at:
            yield at
            while not differences(at.before, at.after):
                at.with_another_daemon()
                yield at


@contextlib.contextmanager
def point(call: str, fault: str) -> Iterator[None]:
    """Count a point that is tried, and whether something was wrong."""
    POINTS[call, fault] += 1
    try:
        yield
    except BaseException:
        WRONG[call, fault] += 1
        raise


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
    return [*order.before, *order.inside[:1], *order.meanwhile, *order.inside[:1]]


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
        at = next(found)
        saboteur.rest()
        at.call("plug")
        count = saboteur.steps
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
            caller = multiprocessing.Process(target=_plug, args=(at,))
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


def table() -> list[str]:
    """Return what was tried, as the rows of docs/reliability.md."""
    rows = [f"| {call} | {fault} | {POINTS[call, fault]} | {WRONG[call, fault]} |"
            for call, fault in sorted(POINTS)]  # fmt: skip
    total = f"| all | | {sum(POINTS.values())} | {sum(WRONG.values())} |"
    return ["| call | fault at each step | points | wrong |", "|---|---|---|---|", *rows, total]
