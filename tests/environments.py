# SPDX-License-Identifier: Apache-2.0
"""Virtual environments of the peers that tests run beside us, made once on a machine.

They lie under ~/.cache/vifplug-tests/environments, named for what is installed in them, and stay.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

_CACHE = Path.home() / ".cache/vifplug-tests/environments"


def environment(name: str, *requirements: str) -> Path:
    """Return the folder with the programs of an environment that has these requirements."""
    said = "\n".join((sys.version, *requirements))
    folder = _CACHE / f"{name}-{hashlib.sha256(said.encode()).hexdigest()[:12]}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # What was cut off has no mark, and is made anew: an environment can't be renamed.
        if not (folder / "whole").exists():
            shutil.rmtree(folder, ignore_errors=True)
            _run(sys.executable, "-m", "venv", str(folder))
            _run(str(folder / "bin/pip"), "install", *requirements)
            (folder / "whole").touch()
    return folder / "bin"


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
