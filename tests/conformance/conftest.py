# SPDX-License-Identifier: Apache-2.0
"""Plugins as ``vifplug new-plugin`` makes them, installed where other tests don't see them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from vifplug.testing.shell import COMMAND

PACKAGE = "vifplug_zap"
_INSTALL = ("-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target")


def run(*words: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program; with a folder of distributions that Python sees beside its own."""
    environment = {**os.environ, **({"PYTHONPATH": str(path)} if path else {})}
    return subprocess.run(
        words, capture_output=True, text=True, check=False, timeout=900, env=environment
    )


@dataclass(frozen=True)
class Made:
    """A distribution that is installed in a folder of its own."""

    folder: Path

    def conformance(self, *words: str) -> tuple[int, dict[int, dict[str, Any]]]:
        """Run the suite; return the exit status, and what became of each check."""
        command = (COMMAND, "conformance", PACKAGE, "-f", "json", *words)
        done = run(*command, path=self.folder)
        assert done.stdout, done.stderr
        return done.returncode, {row["check"]: row for row in json.loads(done.stdout)}

    def changed(self, folder: Path, changes: Mapping[str, Mapping[str, str]]) -> Made:
        """Return a distribution like this one, whose code differs."""
        shutil.copytree(self.folder, folder, ignore=shutil.ignore_patterns("__pycache__"))
        for name, texts in changes.items():
            path = folder / PACKAGE / name
            text = path.read_text()
            for old, new in texts.items():
                assert old in text, f"{name} has no {old!r}"
                text = text.replace(old, new)
            path.write_text(text)
        return Made(folder)


def _made(factory: pytest.TempPathFactory, *words: str) -> Made:
    source, target = factory.mktemp("made") / "zap", factory.mktemp("target")
    done = run(COMMAND, "new-plugin", PACKAGE, str(source), *words)
    assert done.returncode == 0, done.stderr
    done = run(sys.executable, *_INSTALL, str(target), str(source))
    assert done.returncode == 0, done.stderr
    return Made(target)


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A plugin without a switch."""
    return _made(tmp_path_factory)


@pytest.fixture(scope="session")
def switched(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A plugin with a switch."""
    return _made(tmp_path_factory, "--switch")
