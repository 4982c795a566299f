# SPDX-License-Identifier: Apache-2.0
"""What vifplug's suite must know of this plugin: how its switch is run, and what may drift.

The switch is Debian's vde-switch.
"""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from vifplug import VIF
from vifplug.testing import NetworkNamespace, TapEnd
from vifplug.testing.cases import Case
from vifplug.testing.conformance import Drift, PluginTests, RunningSwitch, Scene
from vifplug.testing.fixture import PlainFixture
from vifplug_vde import endpoint
from vifplug_vde.snapshot import Vde

__all__ = ["TestVde", "VdeSwitch"]

_STARTS_WITHIN = 10.0
_MOVES = re.compile(r" (IN|OUT): +pkts.*| endpoint ID \d+")


class VdeSwitch(PlainFixture):
    """A switch of a test's own. It ends with the test, in whichever way. It has VLANs 7 and 8.

    ``management`` is its socket, ``control`` the folder of its others.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.management, self.control = folder / "vde.mgmt", folder / "vde.ctl"

    def _setUp(self) -> None:  # noqa: N802 (fixtures' name)
        self.addCleanup(self.kill)
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        rules = self._folder / "vde.rc"
        rules.write_text("vlan/create 7\nvlan/create 8\n")
        for leftover in (self.management, self.control / "ctl"):
            leftover.unlink(missing_ok=True)
        command = ("vde_switch", "-s", self.control, "-M", self.management, "-f", rules,
                   "--mgmtmode", "666")  # fmt: skip
        # It ends with its standard input, so also with a test that is killed.
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + _STARTS_WITHIN
        while True:
            try:
                self.ask("showinfo")
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def kill(self) -> None:
        """Kill it, if it runs; its sockets stay."""
        if self._process:
            self._process.kill()
            with self._process:
                self._process.wait()

    def pause(self) -> None:
        """Have it hang."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Have it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process:
            self._process.send_signal(number)

    def ask(self, command: str) -> str:
        """Give a command; return what it says."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_STARTS_WITHIN)
            connection.connect(str(self.management))
            _up_to_its_prompt(connection)
            # One command at a time: it forgets what it has read beside the first.
            connection.sendall(f"{command}\n".encode())
            return _up_to_its_prompt(connection)

    def ports(self) -> list[str]:
        """Return the ports that a program is connected to, with its label, without counters."""
        lines = self.ask("port/print").splitlines()
        return [_MOVES.sub("", line).strip() for line in lines if "ort " in line or "--" in line]

    def labels(self) -> list[str]:
        """Return how the programs that are connected describe themselves."""
        return [line.partition(": ")[2] for line in self.ports() if line.startswith("--")]

    def port_of(self, label: str) -> tuple[int, int]:
        """Return the number of the port of a label, and that of its end."""
        said = self.ask("port/print")
        port = 0
        for line in said.splitlines():
            if match := re.match(r"Port (\d+)", line):
                port = int(match[1])
            if (match := re.search(r"endpoint ID (\d+)", line)) and line.endswith(label):
                return port, int(match[1])
        raise LookupError(f"no port {label!r} in {said}")


def _up_to_its_prompt(connection: socket.socket) -> str:
    said = b""
    while not said.endswith(b"\nvde$ "):
        more = connection.recv(1 << 16)
        if not more:
            raise ConnectionResetError(f"vde_switch said {said!r} and ended the connection")
        said += more
    return said.decode()


def closed(scene: Scene, vif: VIF) -> None:
    """Have another program close the VIF's port."""
    port, number = _switch(scene).port_of(_label(vif))
    _switch(scene).ask(f"port/epclose {port} {number}")


def moved(scene: Scene, vif: VIF) -> None:
    """Have another program put the VIF's port into another VLAN."""
    port, _ = _switch(scene).port_of(_label(vif))
    _switch(scene).ask(f"port/setvlan {port} 8")


def _switch(scene: Scene) -> VdeSwitch:
    return VdeSwitch(Path(scene.switch.options["management"]).parent)


def _label(vif: VIF) -> str:
    return f"vifplug:{vif.id}::vde:vde tap{vif.id[:11]}"


class TestVde(PluginTests):
    """The suite, with the cases in the folder ``cases``."""

    vif_type = "vde"
    drifts: ClassVar[dict[str, Drift]] = {"port closed": closed, "in another VLAN": moved}

    def is_real(self, case: Case) -> bool:
        """Whether the switch is empty: a port of a case would need its program."""
        return not (case.host.switch(Vde) or Vde()).ports

    @contextlib.contextmanager
    def host(self, namespace: NetworkNamespace, case: Case) -> Iterator[RunningSwitch]:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder).chmod(0o755)
            with VdeSwitch(Path(folder)) as switch:
                yield RunningSwitch(
                    options={"management": switch.management, "control": switch.control},
                    state=switch.ports,
                    stop=switch.kill,
                    start=switch.start,
                    pause=switch.pause,
                    resume=switch.resume,
                )

    def reaches(self, scene: Scene, vif: VIF) -> None:
        (tap,), switch = scene.devices(vif), _switch(scene)
        connection, frames = endpoint.connected(str(switch.control), "other", "another guest")
        with connection, frames, TapEnd(scene.host, tap) as guest:
            port, _ = switch.port_of("another guest")
            switch.ask(f"port/setvlan {port} {vif.network.vlan or 0}")
            frame = b"\xff" * 6 + bytes.fromhex(vif.address.replace(":", "")) + b"\x88\xb5hello"
            guest.send(frame)
            frames.settimeout(_STARTS_WITHIN)
            while not frames.recv(1 << 16).startswith(frame):
                pass
