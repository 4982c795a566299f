# SPDX-License-Identifier: Apache-2.0
"""What became of each check, as a table that a vendor can publish."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from vifplug.testing.conformance import CHECKS, PluginTests, number_of

__all__ = ["Row", "Table"]

_NOT_SELECTED = "no test was selected"


@dataclass
class Row:
    """What became of one check for one vif_type."""

    vif_type: str
    check: int
    passed: int = 0
    failed: list[str] = field(default_factory=list)
    why: dict[str, None] = field(default_factory=dict)
    """Why some of its tests were skipped, each reason once."""

    @property
    def result(self) -> str:
        """Return passed, failed or skipped."""
        return "failed" if self.failed else "passed" if self.passed else "skipped"

    @property
    def reasons(self) -> str:
        """Why some of its tests were skipped, or all."""
        return "; ".join(self.why) or ("" if self.passed or self.failed else _NOT_SELECTED)

    def to_dict(self) -> dict[str, Any]:
        """Return the row as ``-f json`` prints it."""
        return {"vif_type": self.vif_type, "check": self.check, "title": CHECKS[self.check],
                "result": self.result, "tests": self.passed + len(self.failed),
                "failed": self.failed, "skipped": self.reasons or None}  # fmt: skip


class Table:
    """A pytest plugin that collects what became of each check."""

    def __init__(self, distribution: str, suites: Mapping[str, type[PluginTests]]) -> None:
        self.distribution = distribution
        self._suites = suites
        self.rows = {
            (name, number): Row(vif_type=suite.vif_type, check=number)
            for name, suite in suites.items()
            for number in CHECKS
        }
        self.broken: list[str] = []
        """What kept pytest from collecting tests."""
        self._total = self._done = 0

    @property
    def well(self) -> bool:
        """Whether nothing failed, and something passed."""
        rows = self.rows.values()
        return not self.broken and not any(r.failed for r in rows) and any(r.passed for r in rows)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note how many tests there are."""
        self._total = len(session.items)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note what can't be collected."""
        if report.failed:
            self.broken.append(_last_line(report))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note what became of a test."""
        _, suite, test = report.nodeid.split("::", 2)
        name = test.partition("[")[0]
        number = number_of(getattr(self._suites[suite], name, None))
        if number is None:  # a test that the distribution adds
            number = max(CHECKS)
        row = self.rows[suite, number]
        if report.failed:
            row.failed.append(f"{test}: {_last_line(report)}")
        elif report.skipped:
            row.why[_reason(report)] = None
        elif report.when == "call":
            row.passed += 1
        if report.when == "teardown":
            self._done += 1
            self._progress()

    def _progress(self) -> None:
        if sys.stderr.isatty():
            end = "\r\033[K" if self._done == self._total else ""
            print(f"\r{self._done} of {self._total} tests{end}", end="", file=sys.stderr)

    def print(self) -> None:
        """Print what became of each check as Markdown, then each failure."""
        known = (("vifplug", importlib.metadata.version("vifplug")),
                 ("Linux", platform.release()), ("Python", platform.python_version()))  # fmt: skip
        versions = [f"{name} {version}" for name, version in known]
        version = importlib.metadata.version(self.distribution)
        print(f"# {self.distribution} {version} ({', '.join(versions)})")
        for name, suite in self._suites.items():
            rows = [row for (of, _), row in self.rows.items() if of == name]
            counted = [f"{sum(row.result == each for row in rows)} {each}"
                       for each in ("passed", "failed", "skipped")]  # fmt: skip
            print(f"\n## vif_type {suite.vif_type}: {', '.join(counted)}\n")
            print("| check | result | tests | what is checked |")
            print("|---|---|---|---|")
            for row in rows:
                number = row.passed + len(row.failed)
                reasons = f" ({row.reasons})" if row.reasons else ""
                title = f"{CHECKS[row.check]}{reasons}".replace("|", "\\|")
                print(f"| {row.check} | {row.result} | {number} | {title} |")
            for row in rows:
                for failure in row.failed:
                    print(f"\nfailed: {row.check}: {failure}")
        for each in self.broken:
            print(f"\nfailed: {each}")


def _last_line(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Return what went wrong, in one line."""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = str(crash.message if crash else report.longrepr)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(lines[:3] if crash else lines[-1:])[:400]


def _reason(report: pytest.TestReport) -> str:
    longrepr = report.longrepr
    text = longrepr[2] if isinstance(longrepr, tuple) else str(longrepr)
    return text.removeprefix("Skipped: ")
