# SPDX-License-Identifier: Apache-2.0
"""``vifplug conformance``: the suite for every plugin, run on an installed distribution."""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys

from vifplug.cli import FAILED
from vifplug.cli.command import Command

NEEDED = ("pytest", "fixtures", "jsonschema")
"""What the extra ``testing`` installs."""


class Conformance(Command):
    """Check an installed plugin with vifplug's own suite; exit 1 where a check fails."""

    reads_configuration = False

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "distribution", metavar="DISTRIBUTION", help="the plugin's, as pip has it"
        )
        words = "folder of planning cases (default: the package's folder cases)"
        parser.add_argument("--cases", metavar="DIR", help=words)
        parser.add_argument("--junit", metavar="FILE", help="also write the results as JUnit XML")
        parser.add_argument("-k", metavar="EXPR", help="only tests of these names, as pytest's -k")

    def act(self, arguments: argparse.Namespace) -> int:
        missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
        if missing:
            mend = "pip install 'vifplug[testing]'"
            print(f"vifplug: conformance needs {' and '.join(missing)}: {mend}", file=sys.stderr)
            return FAILED
        # Another process, because pytest and the daemons' forks want one of their own.
        words = [sys.executable, "-P", "-m", "vifplug.testing.conform", arguments.distribution]
        for option in ("cases", "junit"):
            value = getattr(arguments, option)
            words += [f"--{option}={value}"] if value else []
        words += ["-k", arguments.k] if arguments.k else []
        words += ["--verbose"] if self.app.verbose else []
        return subprocess.run([*words, "--format", arguments.format], check=False).returncode  # noqa: S603
