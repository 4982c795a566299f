# SPDX-License-Identifier: Apache-2.0
"""A daemon's socket that accepts and says nothing, as a daemon that hangs."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path


class Silent:
    """A socket; ``connections`` are those that clients have made so far."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connections: list[socket.socket] = []
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # it was shut down
            while True:
                self.connections.append(self._socket.accept()[0])

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        for one in (self._socket, *self.connections):
            one.close()


@contextlib.contextmanager
def silent(folder: Path) -> Iterator[Silent]:
    """Have a silent socket for a block."""
    found = Silent(folder / "silent.sock")
    try:
        yield found
    finally:
        found.close()
