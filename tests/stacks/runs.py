# SPDX-License-Identifier: Apache-2.0
"""Runs tests on a stack: this machine's own programs, or those of a root."""

from __future__ import annotations

import collections
import configparser
import contextlib
import json
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.stacks import roots
from tests.wheels import ROOT, copied

HERE = "here"
"""The stack of the machine that runs the tests."""

_PYPI = "+pypi"

_SCRIPT = Path(__file__).with_name("run.sh")
_SOURCES, _REPORT = "/opt/vifplug", "/opt/report"


class NoRun(Exception):
    """No test ran on the stack; the text says why."""


@dataclass(frozen=True)
class Stack:
    """A suite of Debian, with its own oslo, cliff and others or PyPI's newest; or this machine."""

    suite: str = HERE
    pypi: bool = False

    @property
    def name(self) -> str:
        """The stack in a word, as the command line takes it."""
        return f"{self.suite}{_PYPI}" if self.pypi else self.suite


_ROOTS = [Stack(suite, pypi) for suite in roots.SUITES for pypi in (False, True)]
STACKS = {stack.name: stack for stack in (Stack(), *_ROOTS)}
"""All stacks by name."""


@dataclass(frozen=True)
class Run:
    """How each test ended on a stack, the versions there, and pytest's words and status."""

    stack: Stack
    outcomes: Mapping[str, str]
    versions: Mapping[str, str]
    output: str
    status: int

    @property
    def counted(self) -> str:
        """How many tests ended in which way."""
        counts = collections.Counter(self.outcomes.values())
        return ", ".join(f"{number} {how}" for how, number in sorted(counts.items()))


def run(stack: Stack, tests: Sequence[str], *, timeout: float, shown: bool = False) -> Run:
    """Run the tests on a stack. ``shown`` prints what they say at once. Raises NoRun, NoRoot."""
    output = None if shown else subprocess.PIPE
    with tempfile.TemporaryDirectory(prefix="stack-report.") as folder:
        report = Path(folder)
        start = _here if stack.suite == HERE else _inside
        said, status = start(stack, report, tests, timeout, output)
        if not (report / "junit.xml").exists():
            raise NoRun(f"no test ran on {stack.name}: status {status}\n{said[-4000:]}")
        outcomes = _outcomes(ElementTree.parse(report / "junit.xml"))
        versions = json.loads((report / "versions").read_text())
    return Run(stack, outcomes, versions, said, status)


def kept(stack: Stack) -> Run:
    """Return what the runs of a stack have left: the newest outcome of each test."""
    file = _kept(stack)
    if not file.exists():
        raise NoRun(f"{stack.name} has not run yet")
    return Run(stack, output="", status=0, **json.loads(file.read_text()))


def keep(ran: Run) -> None:
    """Keep a run for the table, with what the runs before it have left of other tests."""
    before: Mapping[str, str] = {}
    with contextlib.suppress(NoRun):
        last = kept(ran.stack)
        before = last.outcomes if last.versions == ran.versions else {}
    found = {"outcomes": {**before, **ran.outcomes}, "versions": ran.versions}
    _kept(ran.stack).write_text(json.dumps(found))


def _kept(stack: Stack) -> Path:
    roots.cache().mkdir(parents=True, exist_ok=True)
    return roots.cache() / f"{stack.name}.json"


def _here(
    stack: Stack, report: Path, tests: Sequence[str], timeout: float, output: int | None
) -> tuple[str, int]:
    command = ["sh", str(_SCRIPT), sys.executable, str(report), *tests]
    started = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output,
        stderr=subprocess.STDOUT if output else None, text=True,
    )  # fmt: skip
    try:
        return _ended(started, timeout)
    finally:
        started.kill()
        started.wait()


def _inside(
    stack: Stack, report: Path, tests: Sequence[str], timeout: float, output: int | None
) -> tuple[str, int]:
    binds = {report: _REPORT}
    if stack.pypi:
        binds[roots.venv(stack.suite, _requirements())] = roots.VENV
    env = {"INSTALL": "1", "PYTHONSAFEPATH": "1"}
    with tempfile.TemporaryDirectory(prefix="stack-sources.") as folder:
        binds[copied(Path(folder))] = _SOURCES
        script = f"{_SOURCES}/{_SCRIPT.relative_to(ROOT)}"
        command = ["sh", script, f"{roots.VENV}/bin/python", _REPORT, *tests]
        at = roots.root(stack.suite)
        with roots.entered(at, command, binds=binds, env=env, output=output) as started:
            return _ended(started, timeout)


def _ended(started: subprocess.Popen[str], timeout: float) -> tuple[str, int]:
    try:
        said, _ = started.communicate(timeout=timeout)
    except subprocess.TimeoutExpired as late:
        raise NoRun(f"no end within {timeout:.0f} s: {(late.stdout or b'')[-4000:]!r}") from None
    return said or "", started.returncode


def _requirements() -> list[str]:
    """Return what the tests need of PyPI: setup.cfg's own list."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    needs = parser["options"]["install_requires"].split()
    return sorted({*needs, *parser["options.extras_require"]["test"].split()})


def _outcomes(junit: ElementTree.ElementTree[ElementTree.Element]) -> dict[str, str]:
    """Return by a test's id how it ended: passed, failed, error or skipped."""
    found = {}
    for case in junit.iter("testcase"):
        module, name = case.attrib["classname"], case.attrib["name"]
        inner = [child.tag for child in case if child.tag in ("failure", "error", "skipped")]
        found[f"{_file(module)}::{name}"] = inner[0] if inner else "passed"
    return found


def _file(module: str) -> str:
    """Return the file of a test's class name, which pytest writes with dots."""
    parts = module.split(".")
    while parts and not (ROOT / Path(*parts)).with_suffix(".py").exists():
        parts.pop()
    return str(Path(*parts).with_suffix(".py"))
