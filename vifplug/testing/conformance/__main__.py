# SPDX-License-Identifier: Apache-2.0
"""Runs the suite on an installed distribution: what ``vifplug conformance`` starts."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

import pytest


def main() -> int:
    """Run it; return the exit status."""
    parser = argparse.ArgumentParser(prog="vifplug conformance")
    parser.add_argument("distribution")
    parser.add_argument("--cases")
    parser.add_argument("--junit")
    parser.add_argument("-k")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    # After pytest, so that a failed assert of theirs shows values.
    from vifplug.testing.conformance.installed import ASKED, NotTestable, suites
    from vifplug.testing.conformance.table import Table

    try:
        found = suites(arguments.distribution, arguments.cases)
    except NotTestable as error:
        print(f"vifplug: {error}", file=sys.stderr)
        return error.status
    cases = str(Path(arguments.cases).resolve()) if arguments.cases else None
    os.environ[ASKED] = json.dumps([arguments.distribution, cases])
    table = Table(arguments.distribution, found)
    with tempfile.TemporaryDirectory(prefix="vifplug-conformance-") as folder:
        words = [str(Path(__file__).with_name("collected.py")), f"--rootdir={folder}",
                 "-c", os.devnull, "-p", "no:cacheprovider", "--import-mode=importlib",
                 "-W", "ignore::pytest.PytestUnhandledThreadExceptionWarning"]  # fmt: skip
        words += ["-v"] if arguments.verbose else ["-p", "no:terminal"]
        words += [f"--junitxml={Path(arguments.junit).resolve()}"] if arguments.junit else []
        words += ["-k", arguments.k] if arguments.k else []
        pytest.main(words, plugins=[table])
    if arguments.format == "json":
        print(json.dumps([row.to_dict() for row in table.rows.values()], indent=2))
        for each in table.broken:
            print(f"vifplug: {each}", file=sys.stderr)
    else:
        table.print()
    return 0 if table.well else 1


sys.exit(main())
