# SPDX-License-Identifier: Apache-2.0
"""A pytest plugin that prints, at the end of a run, what faults were tried.

``pytest_plugins = ["vifplug.testing.faults.report"]`` in the topmost conftest.py. It adds up what
the processes of pytest-xdist try.
"""

from __future__ import annotations

from typing import Any

import pytest

from vifplug.testing.faults.points import POINTS, WRONG, table

_TOLD = "vifplug_faults"
"""The key of what a process tells the one that started it."""


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the process that started this one, if one did, what was tried."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[_TOLD] = [[*key, number, WRONG[key]] for key, number in POINTS.items()]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add up what the processes tell; one that crashed tells nothing."""
    for call, fault, tried, wrong in getattr(node, "workeroutput", {}).get(_TOLD, ()):
        POINTS[call, fault] += tried
        WRONG[call, fault] += wrong


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table, if anything was tried."""
    if POINTS:
        terminalreporter.write_sep("=", "faults tried at every step")
        for line in table():
            terminalreporter.write_line(line)
