# SPDX-License-Identifier: Apache-2.0
"""``vifplug watch`` as a service runs it: its events, its signals, and what systemd is told."""

from __future__ import annotations

import contextlib
import json
import queue
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Any

from vifplug.testing.shell import Shell

WITHIN = 30.0
"""Seconds in which a busy machine does everything."""


class Watching:
    """One that runs, and what it says."""

    def __init__(self, process: subprocess.Popen[str], manager: socket.socket) -> None:
        self._process, self._manager = process, manager
        self._states: queue.Queue[str] = queue.Queue()
        self._events: queue.Queue[dict[str, Any]] = queue.Queue()
        self._complaints: list[str] = []
        assert process.stdout and process.stderr
        self._threads = [
            threading.Thread(target=self._read_events, args=[process.stdout]),
            threading.Thread(target=self._complaints.extend, args=[process.stderr]),
            threading.Thread(target=self._read_states),
        ]
        for thread in self._threads:
            thread.start()

    def _read_events(self, lines: Iterator[str]) -> None:
        for line in lines:
            self._events.put(json.loads(line))

    def _read_states(self) -> None:
        # At once, because the queue of a socket is short.
        while text := self._manager.recv(4096).decode():
            self._states.put(text)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def complaints(self) -> str:
        """Standard error so far."""
        return "".join(self._complaints)

    def event(self) -> dict[str, Any]:
        """Return the next event."""
        return self._events.get(timeout=WITHIN)

    def event_of(self, kind: str, vif_id: str) -> dict[str, Any]:
        """Return the next event of a kind and a VIF."""
        while True:
            event = self.event()
            if (event["event"], event["id"]) == (kind, vif_id):
                return event

    def complains(self, words: str) -> None:
        """Wait until standard error has some words."""
        until = time.monotonic() + WITHIN
        while words not in self.complaints:
            assert time.monotonic() < until, self.complaints
            time.sleep(0.02)

    def more(self) -> list[dict[str, Any]]:
        """Return the events that have come already."""
        found = []
        with contextlib.suppress(queue.Empty):
            while True:
                found.append(self._events.get_nowait())
        return found

    def is_told(self, word: str) -> str:
        """Wait until the service manager is told of a state; return all of that message."""
        while word not in (text := self._states.get(timeout=WITHIN)):
            pass
        return text

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def end(self) -> int:
        """End it as systemd does; return its exit status."""
        self._process.send_signal(signal.SIGTERM)
        return self.ended()

    def ended(self) -> int:
        """Return the exit status, once it has ended by itself."""
        status = self._process.wait(WITHIN)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self._manager.getsockname())
        for thread in self._threads:
            thread.join()
        for stream in (self._process.stdout, self._process.stderr):
            if stream:
                stream.close()
        return status

    def close(self) -> None:
        if any(thread.is_alive() for thread in self._threads):
            self._process.kill()
            self.ended()


@contextlib.contextmanager
def watching(vifplug: Shell, *words: str) -> Iterator[Watching]:
    """Run a watch for the length of a block; it has looked at everything when that begins."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        # With a file, because a socket without one is of one network namespace.
        address = vifplug.folder / "notify"
        address.unlink(missing_ok=True)
        manager.bind(str(address))
        vifplug.environment["NOTIFY_SOCKET"] = str(address)
        # A background job ignores SIGINT, and a program that it starts inherits that.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            process = vifplug.start("watch", "-f", "json", *words)
        finally:
            signal.signal(signal.SIGINT, before)
        found = Watching(process, manager)
        try:
            found.is_told("READY=1")
            yield found
        finally:
            found.close()
            del vifplug.environment["NOTIFY_SOCKET"]
