# SPDX-License-Identifier: Apache-2.0
"""``vifplug`` as a person runs it: the installed command, in a namespace of the test's own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from vifplug.testing.namespace import NetworkNamespace

__all__ = ["COMMAND", "Shell"]

COMMAND = str(Path(sys.executable).with_name("vifplug"))
"""The command's path, beside this Python."""


class Shell:
    """Runs the command in a namespace, with a configuration file of the test's own.

    ``options`` are the file's, by group and name. ``environment`` is what the command has besides
    PATH and a locale.
    """

    def __init__(self, namespace: NetworkNamespace, folder: Path) -> None:
        self.namespace, self.folder = namespace, folder
        self.options: dict[str, dict[str, object]] = {
            "vifplug": {
                "lock_path": folder / "locks",
                "libvirt_version": "9.0.0",
                "virt_type": "kvm",
            }
        }
        self.environment: dict[str, str] = {}

    def configure(self, group: str, **options: object) -> None:
        """Set options of a group, for the calls from here on."""
        self.options.setdefault(group, {}).update(options)

    def __call__(self, *words: str, input: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run the command with these words; return how it ended and what it printed."""
        command = self._command(words)
        with self.namespace.entered():
            return subprocess.run(
                command,
                input=input,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
                env=self._environment,
            )

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start the command with these words, and return it as it runs."""
        command = self._command(words)
        with self.namespace.entered():
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=self._environment,
            )

    def _command(self, words: tuple[str, ...]) -> tuple[str, ...]:
        """Return the whole command line, and write the configuration that it names."""
        config = self.folder / "vifplug.conf"
        sections = (
            f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in options.items())
            for group, options in self.options.items()
        )
        config.write_text("\n".join(sections))
        return (COMMAND, "--config-file", str(config), *words)

    @property
    def _environment(self) -> dict[str, str]:
        return {"PATH": "/usr/sbin:/usr/bin", "LC_ALL": "C.UTF-8", **self.environment}

    def json(self, *words: str) -> Any:
        """Return what the command prints with ``-f json``. It must succeed."""
        done = self(*words, "-f", "json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def file(self, data: object, name: str = "vifs.json") -> str:
        """Write a file for the command, as JSON if it is no text; return its path."""
        path = self.folder / name
        path.write_text(data if isinstance(data, str) else json.dumps(data))
        return str(path)
