# SPDX-License-Identifier: Apache-2.0
"""vde_switch's management socket, and the process that is a port's other end."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from vifplug.errors import NO_VIF, DeadlineExceeded, SwitchError

_PROMPT = b"\nvde$ "
_SUCCESS = 1000
_LONGEST = 1 << 24
_PORT = re.compile(r"Port (\d+) untagged_vlan=(\d+)")
_ENDPOINT = re.compile(r"\s*-- endpoint ID (\d+) module .*? : (.*)")
_ENDPOINT_PROGRAM = Path(__file__).with_name("endpoint.py")


class VdeError(SwitchError):
    """The switch can't be used. ``number`` is the system's errno; 0: it said nonsense."""

    def __init__(self, vif_id: str, endpoint: str, why: str, number: int = 0) -> None:
        super().__init__(vif_id, endpoint, why, number)
        self.number = number


@dataclass(frozen=True)
class Endpoint:
    """One program that is connected to a port of the switch, and how it describes itself."""

    port: int
    vlan: int
    number: int
    label: str


class Management:
    """A connection to the management socket. ``until`` is absolute CLOCK_MONOTONIC."""

    def __init__(self, path: str, until: float) -> None:
        self._path, self._until = path, until
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            with self._told():
                self._wait()
                self._socket.connect(path)
            self._answer()
        except VdeError:
            self.close()
            raise

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def ask(self, command: str) -> list[str]:
        """Give a command; return the lines of its answer. Raises VdeError."""
        with self._told():
            self._wait()
            self._socket.sendall(f"{command}\n".encode())
        *lines, status = self._answer()
        code, _, words = status.partition(" ")
        if not code.isdigit():
            raise VdeError(NO_VIF, self._path, f"{command}: no status in {status[:80]!r}")
        if int(code) != _SUCCESS:
            raise VdeError(NO_VIF, self._path, f"{command}: {words}", int(code) - _SUCCESS)
        return [line for line in lines if line != "." and not line.startswith("0000 ")]

    def endpoints(self) -> list[Endpoint]:
        """Return all programs that are connected to a port."""
        found, port, vlan = [], 0, 0
        for line in self.ask("port/allprint"):
            if match := _PORT.match(line):
                port, vlan = int(match[1]), int(match[2])
            elif match := _ENDPOINT.match(line):
                found.append(Endpoint(port, vlan, int(match[1]), match[2].rstrip()))
        return found

    def labelled(self, label: str) -> list[Endpoint]:
        """Return the programs that describe themselves so."""
        return [one for one in self.endpoints() if one.label == label]

    def vlans(self) -> tuple[int, ...]:
        """Return the VLANs that the switch knows."""
        lines = self.ask("vlan/allprint")
        return tuple(int(line.split()[1]) for line in lines if line.startswith("VLAN "))

    def _answer(self) -> list[str]:
        """Return the lines up to the next prompt."""
        found = b""
        while not found.endswith(_PROMPT):
            with self._told():
                self._wait()
                more = self._socket.recv(1 << 16)
            if not more or len(found) > _LONGEST:
                raise VdeError(NO_VIF, self._path, "it ended the connection", errno.ECONNRESET)
            found += more
        return [line for line in found.decode(errors="replace").splitlines()[:-1] if line] or [""]

    def _wait(self) -> None:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        self._socket.settimeout(left)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Have the system's errors as VdeError."""
        try:
            yield
        except TimeoutError:
            raise VdeError(NO_VIF, self._path, "it did not answer", errno.ETIMEDOUT) from None
        except OSError as error:
            why = str(error.strerror or error)
            raise VdeError(NO_VIF, self._path, why, error.errno or 0) from error


@contextlib.contextmanager
def connect(control: str, device: str, label: str, until: float) -> Iterator[Callable[[], None]]:
    """Connect a device to a new port, for a with block; then it stays if it was told to go.

    Yields what tells the program to pass frames. Raises VdeError, DeadlineExceeded.
    """
    command = (sys.executable, "-I", str(_ENDPOINT_PROGRAM), control, device, label)
    process = subprocess.Popen(  # noqa: S603 - no shell, and fields that were checked
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )

    def tell(word: bytes, expected: bytes) -> None:
        """Say something to the program, and wait for its answer."""
        assert process.stdin and process.stdout  # noqa: S101 - as asked for
        process.stdin.write(word)
        process.stdin.flush()
        left = max(until - time.monotonic(), 0)
        if not select.select([process.stdout], [], [], left)[0]:
            raise DeadlineExceeded(NO_VIF, f"the connection of {device}", "failed")
        said = process.stdout.readline().strip()
        if said != expected:
            raise VdeError(NO_VIF, control, said.decode(errors="replace") or "its endpoint failed")

    with process:
        try:
            tell(b"", b"ready")
            yield lambda: tell(b"go\n", b"gone")
        except BaseException:
            process.kill()
            raise
