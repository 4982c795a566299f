# SPDX-License-Identifier: Apache-2.0
"""What holds for all tests."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests import parallel
from tests.kernel import inside
from vifplug.testing import NetworkNamespace
from vifplug.testing.conformance import NOT_HERE, PURE, number_of

# The processes of tests share what the test has made. Python 3.14 forks no more by itself.
multiprocessing.set_start_method("fork", force=True)

pytest_plugins = ["vifplug.testing.faults.report"]
# A busy machine is no fault of the example that it was busy with.
hypothesis.settings.register_profile(
    "vifplug", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("vifplug")
_ELSEWHERE = pytest.StashKey[int]()


@pytest.fixture
def namespace() -> Iterator[NetworkNamespace]:
    """A host's network, which the test and the daemons that it forks are in."""
    with NetworkNamespace(enter=True) as entered:
        yield entered


def pytest_configure(config: pytest.Config) -> None:
    """In the other kernel, have told outside what becomes of the tests."""
    if inside.is_one():
        config.pluginmanager.register(inside.Reporter(Path(os.environ[inside.REPORT])))


def _is_not_for_its_plugin(item: pytest.Item) -> bool:
    skipped = item.get_closest_marker("skip")
    return bool(skipped and str(skipped.kwargs.get("reason", "")).startswith(NOT_HERE))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> parallel.Scheduling:
    """Share the tests out among several processes, if -n asks for them."""
    return parallel.Scheduling(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs another kernel: tests/kernel/test_other_kernel.py runs it there.

    And what the conformance suite has no use for: that is no skipped test.
    """
    left_out = [item for item in items if _is_not_for_its_plugin(item)]
    if left_out:
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)
    for item in items:
        if number_of(getattr(item, "function", None)) in PURE:
            item.add_marker("unit")
    # Who may make no namespace to try the kernel in can run none of these tests either.
    root = os.geteuid() == 0
    left_out = inside.elsewhere(items) if root and not inside.is_one() else []
    if left_out:
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)
    config.stash[_ELSEWHERE] = sum(not inside.test_of(item) for item in left_out)
    if parallel.is_worker(config):
        items.sort(key=parallel.turn)


def pytest_report_collectionfinish(config: pytest.Config) -> str | list[str]:
    """Say that there are tests for another kernel, since this run may not have selected theirs."""
    number = config.stash.get(_ELSEWHERE, 0)
    return _elsewhere(number) if number else []


def _elsewhere(number: int) -> str:
    where = "tests/kernel/test_other_kernel.py"
    return f"{number} need what this kernel lacks; they are run by {where}"


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the process that started this one, if one did, how many tests are left out."""
    if parallel.is_worker(session.config):
        parallel.tell(session.config, elsewhere=session.config.stash.get(_ELSEWHERE, 0))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take what a process tells: each has collected all tests."""
    found = parallel.told(node)
    if found:
        node.config.stash[_ELSEWHERE] = found["elsewhere"]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """In CI a skipped test is a failure: there, everything that tests need must be had."""
    skipped = terminalreporter.stats.get("skipped", [])
    if os.environ.get("VIFPLUG_NO_SKIPS") and skipped:
        terminalreporter.write_line(f"{len(skipped)} skipped where nothing may be", red=True)
        terminalreporter._session.exitstatus = pytest.ExitCode.TESTS_FAILED
    several = bool(config.getoption("numprocesses", None))
    if several and config.stash.get(_ELSEWHERE, 0):
        terminalreporter.write_line(_elsewhere(config.stash[_ELSEWHERE]))
