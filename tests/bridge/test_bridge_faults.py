# SPDX-License-Identifier: Apache-2.0
"""A fault at every step of every planning case, in the real privileged daemon on a real kernel.

The steps are those of the plan. A fault is: the step is refused; it is done and still reported as
failed; it is reported as done and was not. Whatever it is, the host is as it was before, down to
links, addresses, routes and sysctls; and the next plug and unplug work.
"""

from __future__ import annotations

import errno
import multiprocessing
from collections.abc import Iterator
from typing import Any

import pytest
from oslo_config.fixture import Config
from oslo_privsep.priv_context import Method

from tests.bridge.dumps import differences
from tests.bridge.planning import GOOD, Case
from tests.bridge.realhost import make_real
from vifplug import GenericVIFDriver, PlugFailed
from vifplug.netlink import Netlink
from vifplug.operations import Operation
from vifplug.testing import NetworkNamespace
from vifplug_bridge import privileged

FAULTS = ("refused", "done but failed", "not done")
NONE = -1


class Saboteur:
    """Makes one of the daemon's steps go wrong; shared with the daemon, which is forked later."""

    def __init__(self) -> None:
        self._at = multiprocessing.Value("i", NONE)
        self._fault = multiprocessing.Value("i", 0)
        self._count = multiprocessing.Value("i", 0)
        self._hits = multiprocessing.Value("i", 0)
        self._perform = Netlink.perform

    def perform(self, netlink: Netlink, operation: Operation) -> None:
        position, self._count.value = self._count.value, self._count.value + 1
        if position != self._at.value:
            return self._perform(netlink, operation)
        self._hits.value += 1
        fault = FAULTS[self._fault.value]
        if fault == "not done":
            return None
        if fault == "done but failed":
            self._perform(netlink, operation)
        raise OSError(errno.EPERM, f"sabotaged: {operation}")

    def arm(self, position: int, fault: str) -> None:
        self._fault.value = FAULTS.index(fault)
        self._count.value = self._hits.value = 0
        self._at.value = position

    @property
    def hits(self) -> int:
        return int(self._hits.value)


@pytest.fixture
def saboteur(
    namespace: NetworkNamespace, conf: Config, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Saboteur]:
    found = Saboteur()
    monkeypatch.setattr(Netlink, "perform", lambda self, operation: found.perform(self, operation))
    privileged.context.start(Method.FORK)
    yield found
    privileged.context.stop()


def distinct() -> list[Case]:
    """Return a case for each list of steps that any case has."""
    found: dict[Any, Case] = {}
    for case in GOOD:
        found.setdefault(tuple(map(repr, case.plan().operations)), case)
    return [case for steps, case in found.items() if steps]


@pytest.mark.parametrize("case", distinct(), ids=lambda case: case.name)
def test_a_fault_at_any_step_leaves_the_host_as_it_was(
    case: Case, saboteur: Saboteur, namespace: NetworkNamespace, conf: Config
) -> None:
    make_real(case.host, namespace)
    for name, value in (case.read("options.json") or {}).items():
        conf.config(group="vifplug_bridge", **{name: value})
    conf.config(group="vifplug", libvirt_version=case.host.libvirt_version, mtu=case.host.mtu)
    driver, before = GenericVIFDriver(), namespace.everything()
    steps = [str(operation) for operation in case.plan().operations]

    tried = []
    for position, step in enumerate(steps):
        for fault in FAULTS:
            saboteur.arm(position, fault)
            failed = _plug_fails(driver, case)
            assert saboteur.hits == 1
            if fault != "not done":
                assert failed and failed.step == step
            elif failed:
                assert failed.step in (*steps[position + 1 :], "the look at the result")
            else:  # the kernel had it so by itself: nothing was missing
                assert not driver.check(None, case.vif)
                saboteur.arm(NONE, fault)
                _take_back(case)
            assert differences(before, namespace.everything()) == []
            tried.append((step, fault))
    assert len(tried) == len(steps) * len(FAULTS)

    saboteur.arm(NONE, "refused")
    assert driver.plug(None, case.vif).changed
    assert not driver.check(None, case.vif)
    driver.unplug(None, case.vif)
    assert case.vif.id not in str(namespace.everything())


def _plug_fails(driver: GenericVIFDriver, case: Case) -> PlugFailed | None:
    try:
        driver.plug(None, case.vif)
    except PlugFailed as failure:
        assert failure.left == ()
        return failure
    return None


def _take_back(case: Case) -> None:
    with Netlink() as netlink:
        for operation in reversed(case.plan().operations):
            if back := operation.undo():
                netlink.perform(back)
