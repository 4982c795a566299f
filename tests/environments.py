# SPDX-License-Identifier: Apache-2.0
"""Virtual environments of what the tests run beside us, made once on a machine.

They lie under ``$VIFPLUG_ENVIRONMENTS``, or ~/.cache/vifplug-tests/environments, named for what is
installed in them, and stay: a Nova and what it needs are 400 MB of 140 distributions.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

_HOME = Path.home() / ".cache/vifplug-tests/environments"
CACHE = Path(os.environ.get("VIFPLUG_ENVIRONMENTS") or _HOME)


def environment(name: str, *requirements: str) -> Path:
    """Return the folder of a virtual environment that has these requirements."""

    def fill(folder: Path) -> None:
        _run(sys.executable, "-m", "venv", str(folder))
        _run(str(folder / "bin/python"), "-m", "pip", "install", *requirements)

    return _kept(name, requirements, fill)


def packages(name: str, *requirements: str) -> Path:
    """Return a folder with these distributions and nothing of what they need."""

    def fill(folder: Path) -> None:
        words = ("install", "--no-deps", "--target", str(folder), *requirements)
        _run(sys.executable, "-m", "pip", *words)

    return _kept(name, requirements, fill)


def _kept(name: str, requirements: Iterable[str], fill: Callable[[Path], None]) -> Path:
    said = "\n".join((sys.version, *requirements))
    folder = CACHE / f"{name}-{hashlib.sha256(said.encode()).hexdigest()[:12]}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"lock-{folder.name}").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # What was cut off has no mark, and is made anew: an environment can't be renamed.
        if not (folder / "whole").exists():
            shutil.rmtree(folder, ignore_errors=True)
            fill(folder)
            (folder / "whole").touch()
    return folder


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
