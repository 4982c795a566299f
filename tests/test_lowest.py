# SPDX-License-Identifier: Apache-2.0
"""The lowest versions that our distributions ask for are those that the environment lowest has."""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parent.parent


def asked() -> Iterator[str]:
    """Yield what the distributions need, and what those need who test with the core's harness."""
    for path in (ROOT / "setup.cfg", *ROOT.glob("vifplug_*/setup.cfg")):
        parser = configparser.ConfigParser()
        parser.read(path)
        yield from parser["options"]["install_requires"].split()
        yield from (
            parser["options.extras_require"]["testing"].split() if path.parent == ROOT else ()
        )


def test_each_lowest_version_is_installed_there() -> None:
    lines = (ROOT / "tests" / "lowest.txt").read_text().splitlines()
    needs = {one for one in asked() if not one.startswith("vifplug")}
    assert all(re.fullmatch(r"[A-Za-z.]+>=[0-9.]+", one) for one in needs), needs
    wanted = {one.replace(">=", "==") for one in needs}
    assert {line for line in lines if not line.startswith("#")} == wanted
