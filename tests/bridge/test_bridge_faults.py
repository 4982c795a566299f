# SPDX-License-Identifier: Apache-2.0
"""A fault at every step of every planning case, in the real privileged daemon on a real kernel.

The steps are those of the plan. A fault is: the step is refused; it is done and still reported as
failed; it is reported as done and was not. Whatever it is, the host is as it was before, down to
links, addresses, routes and sysctls; and the next plug and unplug work.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from oslo_config.fixture import Config
from oslo_privsep.priv_context import Method

from tests.bridge.dumps import differences
from tests.bridge.planning import Case
from tests.bridge.realhost import prepare
from tests.bridge.saboteur import FAULTS, NONE, Saboteur, distinct
from vifplug import GenericVIFDriver, PlugFailed
from vifplug.netlink import Netlink
from vifplug.testing import NetworkNamespace
from vifplug_bridge import privileged


@pytest.fixture
def saboteur(
    namespace: NetworkNamespace, conf: Config, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Saboteur]:
    found = Saboteur()
    monkeypatch.setattr(Netlink, "perform", lambda self, operation: found.perform(self, operation))
    privileged.context.start(Method.FORK)
    yield found
    privileged.context.stop()


@pytest.mark.parametrize("case", distinct(), ids=lambda case: case.name)
def test_a_fault_at_any_step_leaves_the_host_as_it_was(
    case: Case, saboteur: Saboteur, namespace: NetworkNamespace, conf: Config
) -> None:
    driver, before = prepare(case, conf, namespace), namespace.everything()
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
