# SPDX-License-Identifier: Apache-2.0
"""A folder that declares a host's VIFs, and the command that applies it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vifplug.testing.shell import Shell


class Folder:
    """The folder. ``said`` is what the last ``apply`` wrote to standard error."""

    def __init__(self, vifplug: Shell, path: Path) -> None:
        self.vifplug, self.path, self.said = vifplug, path, ""
        path.mkdir()

    def write(self, name: str, data: object) -> None:
        """Write a file: text as it is, or data as JSON."""
        text = data if isinstance(data, str) else json.dumps(data)
        (self.path / name).write_text(text)

    def apply(self, *words: str, status: int = 0) -> str:
        """Apply the folder; return what is printed. It must end with this status."""
        done = self.vifplug("apply", str(self.path), *words)
        self.said = done.stderr
        assert done.returncode == status, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout

    def rows(self, *words: str, status: int = 0) -> list[dict[str, Any]]:
        """Return what ``apply`` prints for programs."""
        found: list[dict[str, Any]] = json.loads(self.apply(*words, "-f", "json", status=status))
        return found

    def plugged(self) -> set[str]:
        """Return the ids of the VIFs that the host has."""
        return {one["id"] for one in self.vifplug.json("list")}
