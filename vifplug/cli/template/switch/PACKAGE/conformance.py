# SPDX-License-Identifier: Apache-2.0
"""What vifplug's suite must know of this plugin: how its switch is run, and what may drift."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from vifplug import VIF
from vifplug.fields import dump
from vifplug.testing import NetworkNamespace
from vifplug.testing.cases import Case
from vifplug.testing.conformance import Drift, PluginTests, RunningSwitch, Scene

from << package >>.client import ask
from << package >>.snapshot import << name >>


class Toy:
    """The toy switch, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.socket, self.database = folder / "socket", folder / "ports.json"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [sys.executable, "-m", "<< package >>.toy", str(self.socket), str(self.database)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self.process.stdout and self.process.stdout.readline() == b"ready\n"

    def stop(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.communicate()


def port_removed(scene: Scene, vif: VIF) -> None:
    """Have another program remove the VIF's port."""
    path, until = scene.switch.options["socket"], time.monotonic() + 10
    for device in scene.devices(vif):
        ask(path, {"do": "remove", "name": device}, until=until)


class Test<< name >>(PluginTests):
    """The suite, with the cases in the folder ``cases``."""

    vif_type = "<< vif_type >>"
    drifts: ClassVar[dict[str, Drift]] = {"port removed": port_removed}

    @contextmanager
    def host(self, namespace: NetworkNamespace, case: Case) -> Iterator[RunningSwitch]:
        found = case.host.switch(<< name >>) or << name >>()
        with tempfile.TemporaryDirectory() as folder:
            Path(folder).chmod(0o755)
            toy = Toy(Path(folder))
            ports = {name: dump(row) for name, row in found.ports.items()}
            toy.database.write_text(json.dumps(ports))
            toy.start()
            try:
                yield RunningSwitch(
                    options={"socket": str(toy.socket)},
                    state=lambda: json.loads(toy.database.read_text()),
                    stop=toy.stop,
                    start=toy.start,
                    pause=lambda: toy.process.send_signal(signal.SIGSTOP),
                    resume=lambda: toy.process.send_signal(signal.SIGCONT),
                )
            finally:
                toy.stop()

