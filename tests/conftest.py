# SPDX-License-Identifier: Apache-2.0
"""What holds for all tests."""

from __future__ import annotations

import os
import sys

import pytest

pytest.register_assert_rewrite("tests.faults.matrix")


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
