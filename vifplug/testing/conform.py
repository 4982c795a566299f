# SPDX-License-Identifier: Apache-2.0
"""Runs the suite on an installed distribution: what ``vifplug conformance`` starts.

Beside the suite's package, since pytest must be there before that is imported: else a failed
assert shows no values.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vifplug.testing import ASSERTING

if TYPE_CHECKING:
    from vifplug.testing.conformance.table import Table

COLLECTED = Path(__file__).parent / "conformance" / "collected.py"


class Run:
    """A pytest plugin that tests one distribution. ``refused`` is why it can't, with a status."""

    def __init__(self, distribution: str, cases: str | None) -> None:
        self.asked = (distribution, cases)
        self.refused: tuple[str, int] | None = None
        self.table: Table | None = None

    def pytest_configure(self, config: pytest.Config) -> None:
        """Find out what there is to be tested."""
        pytest.register_assert_rewrite(*ASSERTING)
        from vifplug.testing.conformance.installed import ASKED, NotTestable, suites
        from vifplug.testing.conformance.table import Table

        try:
            self.table = Table(self.asked[0], suites(*self.asked))
        except NotTestable as error:
            self.refused = str(error), error.status
        else:
            os.environ[ASKED] = json.dumps(self.asked)
            config.pluginmanager.register(self.table)

    def pytest_collection(self, session: pytest.Session) -> bool | None:
        """Collect nothing where nothing can be tested."""
        return True if self.refused else None


def main(arguments: argparse.Namespace) -> int:
    """Run it; return the exit status."""
    cases = str(Path(arguments.cases).resolve()) if arguments.cases else None
    run = Run(arguments.distribution, cases)
    with tempfile.TemporaryDirectory(prefix="vifplug-conformance-") as folder:
        words = [str(COLLECTED), f"--rootdir={folder}", "-c", os.devnull, "-p", "no:cacheprovider",
                 "--import-mode=importlib",
                 "-W", "ignore::pytest.PytestUnhandledThreadExceptionWarning"]  # fmt: skip
        words += ["-v"] if arguments.verbose else ["-p", "no:terminal"]
        words += [f"--junitxml={Path(arguments.junit).resolve()}"] if arguments.junit else []
        words += ["-k", arguments.k] if arguments.k else []
        status = pytest.main(words, plugins=[run])
    if run.refused:
        print(f"vifplug: {run.refused[0]}", file=sys.stderr)
        return run.refused[1]
    if run.table is None or status == pytest.ExitCode.USAGE_ERROR:
        return 2  # pytest has said what is wrong with the command line
    if status == pytest.ExitCode.NO_TESTS_COLLECTED:
        print(f"vifplug: -k {arguments.k} selects no test", file=sys.stderr)
        return 2
    try:
        _print(run.table, arguments.format)
        sys.stdout.flush()
    except BrokenPipeError:  # head has read enough. Python would complain of the rest at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 0 if run.table.well else 1


def _print(table: Table, form: str) -> None:
    if form != "json":
        table.print()
        return
    rows: list[Any] = [row.to_dict() for row in table.rows.values()]
    print(json.dumps(rows, indent=2))
    for each in table.broken:
        print(f"vifplug: {each}", file=sys.stderr)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="vifplug conformance")
    parser.add_argument("distribution")
    parser.add_argument("--cases")
    parser.add_argument("--junit")
    parser.add_argument("-k")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument("--verbose", action="store_true")
    sys.exit(main(parser.parse_args()))
