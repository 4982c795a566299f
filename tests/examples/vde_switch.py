# SPDX-License-Identifier: Apache-2.0
"""A vde_switch of a test's own (Debian's vde-switch). It ends with the test, in whichever way."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import time
from pathlib import Path

from vifplug.testing.fixture import PlainFixture

_STARTS_WITHIN = 10.0
_MOVES = re.compile(r" (IN|OUT): +pkts.*| endpoint ID \d+")


class VdeSwitch(PlainFixture):
    """A switch with VLANs 7 and 8; ``management`` and ``control`` are its sockets."""

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
        command = ("vde_switch", "-s", self.control, "-M", self.management, "-f", rules)
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
        assert self._process
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
