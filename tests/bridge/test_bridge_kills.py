# SPDX-License-Identifier: Apache-2.0
"""The daemon, or its caller, killed at every step of every planning case.

Neither can undo what it had begun. A killed daemon's half-done work converges at the next plug,
and the next unplug leaves nothing of it. A killed caller's work is done to its end all the same.
"""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path

import pytest
from oslo_config.fixture import Config
from oslo_privsep.priv_context import Method

from tests.bridge.planning import Case
from tests.bridge.realhost import prepare
from tests.bridge.saboteur import NONE, Saboteur, distinct
from vifplug import GenericVIFDriver, PrivilegeError
from vifplug.netlink import Netlink
from vifplug.testing import NetworkNamespace
from vifplug_bridge import privileged

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


@pytest.fixture
def saboteur(conf: Config, monkeypatch: pytest.MonkeyPatch) -> Saboteur:
    found = Saboteur()
    monkeypatch.setattr(Netlink, "perform", lambda self, operation: found.perform(self, operation))
    return found


def converges(case: Case, driver: GenericVIFDriver, host: NetworkNamespace) -> None:
    driver.plug(None, case.vif)
    assert not driver.check(None, case.vif)
    driver.unplug(None, case.vif)
    assert case.vif.id not in str(host.everything())
    assert not host.ip_json("link", "show", "type", "tun")
    assert driver.list() == []


@pytest.mark.parametrize("fault", ["daemon killed before", "daemon killed after"])
@pytest.mark.parametrize("case", distinct(), ids=lambda case: case.name)
def test_a_daemon_killed_at_any_step(
    case: Case, fault: str, saboteur: Saboteur, conf: Config
) -> None:
    for position, _ in enumerate(case.plan().operations):
        with NetworkNamespace(enter=True) as host:
            driver = prepare(case, conf, host)
            saboteur.arm(position, fault)
            privileged.context.start(Method.FORK)
            with pytest.raises(PrivilegeError, match="has ended"):
                driver.plug(None, case.vif)
            assert saboteur.hits == 1
            saboteur.arm(NONE, fault)
            privileged.context.stop()
            privileged.context.start(Method.FORK)
            converges(case, driver, host)
            privileged.context.stop()


@pytest.mark.parametrize("case", distinct(), ids=lambda case: case.name)
def test_a_caller_killed_at_any_step(case: Case, saboteur: Saboteur, conf: Config) -> None:
    for position, _ in enumerate(case.plan().operations):
        with NetworkNamespace(enter=True) as host:
            driver = prepare(case, conf, host)
            saboteur.arm(position, "caller killed")
            caller = multiprocessing.Process(target=plug, args=(case,))
            caller.start()
            caller.join(timeout=30)
            assert caller.exitcode == -9
            locks, until = Path(conf.conf.vifplug.lock_path), time.monotonic() + 10
            while list(locks.rglob("*.lock")) and time.monotonic() < until:
                time.sleep(0.005)
            assert saboteur.hits == 1
            assert not driver.check(None, case.vif)
            saboteur.arm(NONE, "caller killed")
            privileged.context.start(Method.FORK)
            converges(case, driver, host)
            privileged.context.stop()


def plug(case: Case) -> None:
    privileged.context.stop()
    privileged.context.start(Method.FORK)
    GenericVIFDriver().plug(None, case.vif)
