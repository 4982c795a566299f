# SPDX-License-Identifier: Apache-2.0
"""The list of the tests that may run in the other kernel; ``python -m tests.kernel.ids`` writes it.

It is kept, since only a run that collects them knows them, and theirs may fail to.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.kernel.inside import REPORT, read

_FILE = Path(__file__).with_name("ids.txt")
_ROOT = Path(__file__).parents[2]


def kept() -> list[str]:
    """Return the ids in the list."""
    return _FILE.read_text().splitlines() if _FILE.exists() else []


def collected() -> list[str]:
    """Return the ids of all tests with the marker, collected by a pytest of its own."""
    with tempfile.TemporaryDirectory(prefix="vifplug-ids.") as folder:
        report = Path(folder, "report")
        argv = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "kernel"]
        env = {**os.environ, REPORT: str(report), "PYTEST_ADDOPTS": ""}
        done = subprocess.run(
            argv, cwd=_ROOT, env=env, capture_output=True, text=True, timeout=600, check=False
        )
        found = read(report, "").collected
    if done.returncode or found is None:
        raise RuntimeError(f"collecting failed:\n{done.stdout}{done.stderr}")
    return found


if __name__ == "__main__":
    _FILE.write_text("".join(f"{test}\n" for test in sorted(collected())))
