# SPDX-License-Identifier: Apache-2.0
"""Distributions of third parties, installed by pip into folders of the tests' own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

_INSTALL = ("-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target")


def installed(folder: Path, package: str, space: Path) -> Path:
    """Install a distribution from its sources; return the folder that then is for sys.path.

    ``space`` is an empty folder. Nothing is written beside the sources.
    """
    source, target = space / "source", space / "target"
    shutil.copytree(
        folder / package, source / package, ignore=shutil.ignore_patterns("__pycache__")
    )
    for path in folder.iterdir():
        if path.is_file() and path.suffix != ".py":
            shutil.copy(path, source)
    command = (sys.executable, *_INSTALL, str(target), str(source))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target
