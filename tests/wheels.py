# SPDX-License-Identifier: Apache-2.0
"""Our distributions as users get them: a copy of the sources, to be built and installed from."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOT_COPIED = shutil.ignore_patterns(
    ".git", ".venv", ".tox", "build", "dist", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis"
)


def ended(*words: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program in an environment of its own; return how it ended."""
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root"}
    environment |= {name: os.environ[name] for name in os.environ if name.startswith("PIP_")}
    return subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def run(*words: object, cwd: Path | None = None) -> str:
    """Run a program that must succeed; return what it printed."""
    done = ended(*words, cwd=cwd)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


def copied(folder: Path) -> Path:
    """Return a copy of the sources below a folder, so that building leaves nothing in them."""
    copy = folder / "vifplug"
    shutil.copytree(ROOT, copy, ignore=NOT_COPIED)
    return copy
