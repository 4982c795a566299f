# SPDX-License-Identifier: Apache-2.0
"""What holds for all tests."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import hypothesis
import pytest

from tests.kernel import inside

pytest.register_assert_rewrite("tests.faults.matrix", "tests.faults.every_step")
# A busy machine is no fault of the example that it was busy with.
hypothesis.settings.register_profile(
    "vifplug", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("vifplug")
_ELSEWHERE = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    """In the other kernel, have told outside what becomes of the tests."""
    if inside.is_one():
        config.pluginmanager.register(inside.Reporter(Path(os.environ[inside.REPORT])))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs another kernel: tests/kernel/test_other_kernel.py runs it there."""
    left_out = [] if inside.is_one() else inside.elsewhere(items)
    if left_out:
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)
    config.stash[_ELSEWHERE] = sum(not inside.test_of(item) for item in left_out)


def pytest_report_collectionfinish(config: pytest.Config) -> str | list[str]:
    """Say that there are tests for another kernel, since this run may not have selected theirs."""
    number = config.stash[_ELSEWHERE]
    where = "tests/kernel/test_other_kernel.py"
    return f"{number} need what this kernel lacks; they are run by {where}" if number else []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """In CI a skipped test is a failure: there, everything that tests need must be had."""
    skipped = terminalreporter.stats.get("skipped", [])
    if os.environ.get("VIFPLUG_NO_SKIPS") and skipped:
        terminalreporter.write_line(f"{len(skipped)} skipped where nothing may be", red=True)
        terminalreporter._session.exitstatus = pytest.ExitCode.TESTS_FAILED
    matrix = sys.modules.get("tests.faults.matrix")
    if matrix and matrix.POINTS:
        terminalreporter.write_sep("=", "faults tried (docs/reliability.md)")
        for line in matrix.table():
            terminalreporter.write_line(line)
