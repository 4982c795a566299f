# SPDX-License-Identifier: Apache-2.0
"""A test run in the other kernel: which tests run where, and what is told of them outside."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.features import lacking
from tests.kernel.machine import NoKernel, run_inside
from vifplug.testing.faults.points import POINTS, WRONG

REPORT = "VIFPLUG_KERNEL_REPORT"
"""In the environment of a run whose tests are all to stay: the file for what becomes of them."""

_TIMEOUT = 900.0
_OUTCOMES = ("failed", "skipped", "xfailed", "passed")
_LINES = 40


def elsewhere(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """Return the tests that this run leaves out.

    Those are the ones that the running kernel lacks something for, and, of those that show what
    came of one in the other kernel (the marker without a feature), the ones that aren't needed.
    """
    marked = [item for item in items if any(item.iter_markers("kernel"))]
    outer = [item for item in marked if not any(m.args for m in item.iter_markers("kernel"))]
    lack = [item for item in marked if item not in outer and lacking(item)]
    here = {item.nodeid for item in marked if item not in lack}
    return lack + [item for item in outer if not lacking(item) or test_of(item) in here]


def test_of(item: pytest.Item) -> str:
    """Return the id of the test whose outcome a test shows; "" if it shows none's."""
    return str(item.callspec.params.get("test", "")) if hasattr(item, "callspec") else ""


test_of.__test__ = False  # type: ignore[attr-defined]


class Reporter:
    """A plugin that writes, as lines of JSON, what was collected and how each test ended."""

    def __init__(self, to: Path) -> None:
        self._to = to

    def _write(self, **line: object) -> None:
        with self._to.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._write(collected=[item.nodeid for item in session.items])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write the call's outcome, or another phase's that did not pass."""
        if report.when != "call" and report.outcome == "passed":
            return
        outcome = "xfailed" if report.skipped and hasattr(report, "wasxfail") else report.outcome
        parts = [
            report.longreprtext,
            *(f"--- {name} ---\n{text}" for name, text in report.sections),
        ]
        self._write(test=report.nodeid, outcome=outcome, text="\n".join(parts))

    def pytest_sessionfinish(self) -> None:
        if POINTS:
            self._write(points=list(POINTS.items()), wrong=list(WRONG.items()))


@dataclass
class Inside:
    """What is known of a run inside."""

    ended: str
    collected: list[str] | None = None
    outcomes: dict[str, tuple[str, str]] = field(default_factory=dict)
    points: Counter[tuple[str, str]] = field(default_factory=Counter)
    wrong: Counter[tuple[str, str]] = field(default_factory=Counter)

    def outcome(self, test: str) -> tuple[str, str]:
        """Return a test's outcome, as pytest calls it, and its traceback or what else is known."""
        return self.outcomes.get(test, ("failed", f"{test} did not end inside.\n{self.ended}"))


def run(selection: Sequence[str], *, root: Path, folder: Path) -> Inside:
    """Run the selected tests of a checkout in the other kernel; folder is for what it leaves."""
    argv = [sys.executable, "-m", "pytest", "-q", "--color=no", *selection]
    env = {REPORT: "/run/vifplug/report", "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        ended = run_inside(argv, shared=folder, timeout=_TIMEOUT, cwd=root, env=env)
    except NoKernel as error:
        return Inside(str(error))
    status = "did not end" if ended.status is None else f"ended with status {ended.status}"
    console = "" if ended.status is not None else f"\n--- console ---\n{_tail(ended.console)}"
    told = f"pytest in {ended.folder.name} {status}; it said\n{_tail(ended.output)}{console}"
    return read(ended.folder / "report", told)


def read(report: Path, ended: str) -> Inside:
    """Return what a Reporter wrote."""
    inside = Inside(ended)
    lines = report.read_text().splitlines(keepends=True) if report.exists() else []
    for line in lines:
        if line.endswith("\n"):  # else it was cut off
            _take(json.loads(line), inside)
    return inside


def _take(line: dict[str, Any], inside: Inside) -> None:
    if "collected" in line:
        inside.collected = line["collected"]
    if "points" in line:
        inside.points = Counter({tuple(key): number for key, number in line["points"]})
        inside.wrong = Counter({tuple(key): number for key, number in line["wrong"]})
    if "test" in line:
        outcome, text = inside.outcomes.get(line["test"], ("passed", ""))
        worse = min(outcome, line["outcome"], key=_OUTCOMES.index)
        inside.outcomes[line["test"]] = (worse, "\n".join(filter(None, (text, line["text"]))))


def _tail(text: str) -> str:
    return "\n".join(text.splitlines()[-_LINES:])


def is_one() -> bool:
    """Whether all tests are to stay in this run."""
    return bool(os.environ.get(REPORT))
