# SPDX-License-Identifier: Apache-2.0
"""The examples as distributions: small, of public names only, and passed by the suite."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.example_switch.test_example_switch import PUBLIC, imported, lines_of_code
from tests.examples.conftest import EXAMPLES, Example
from vifplug.testing.shell import COMMAND

BESIDE = {"conformance.py", "stand_in_agent.py"}
"""What is for the tests only."""

LIMITS = {"routed": (130, ()), "vde": (150, ("client.py", "endpoint.py")), "vrouter": (150, ())}
"""The most lines of code of each, and the files that do not count: the client of its switch."""

each = pytest.mark.parametrize("name", LIMITS)


def sources(name: str) -> list[Path]:
    package = f"vifplug_{name}"
    return [path for path in sorted((EXAMPLES / package / package).glob("*.py"))
            if path.name not in BESIDE]  # fmt: skip


@pytest.mark.unit
@each
def test_an_example_is_small(name: str) -> None:
    most, client = LIMITS[name]
    counted = [path for path in sources(name) if path.name not in client]
    assert sum(lines_of_code(path) for path in counted) <= most


@pytest.mark.unit
@each
def test_an_example_imports_public_names_only(name: str) -> None:
    import vifplug

    public = {f"vifplug.{word}" for word in (*PUBLIC, *vifplug.__all__)}
    for path in sources(name):
        ours = {one for one in imported(path) if one.partition(".")[0] == "vifplug"}
        assert {one for one in ours if ".".join(one.split(".")[:2]) not in public} == set()
        assert not any(part.startswith("_") for one in ours for part in one.split("."))


@pytest.mark.unit
def test_the_endpoint_needs_nothing_but_python() -> None:
    (endpoint,) = (path for path in sources("vde") if path.name == "endpoint.py")
    assert imported(endpoint) - {"__future__"} <= sys.stdlib_module_names


@pytest.mark.parametrize("example", LIMITS, indirect=True)
def test_an_example_passes_the_suite_for_every_plugin(example: Example) -> None:
    done = subprocess.run(
        (COMMAND, "conformance", f"vifplug_{example.vif_type}"),
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
        env={**os.environ, "PYTHONPATH": str(example.folder)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
