# SPDX-License-Identifier: Apache-2.0
"""What every part of the bench needs: a row of its table, a stop watch, and os-vif's Python."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

RUNS = 20
ROOT = Path(__file__).resolve().parents[1]
PEER = ROOT / ".tox" / "bench-os-vif"
OS_VIF = "os-vif==5.3.0"

Row = tuple[str, list[float], list[float], float | None]
"""What is measured, our times, what they are compared with, and the bar for the ratio."""


def peer() -> Path:
    """Return the folder with the programs of an environment with os-vif, made on the first run."""
    if not (PEER / "ready").exists():
        print(f"installing {OS_VIF} into {PEER}")
        subprocess.run([sys.executable, "-m", "venv", PEER], check=True)
        quiet = ("-q", "--disable-pip-version-check")
        words = [PEER / "bin/pip", "install", *quiet, OS_VIF]
        subprocess.run(words, check=True, stderr=subprocess.DEVNULL)
        (PEER / "ready").touch()
    return PEER / "bin"


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that some work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
