# SPDX-License-Identifier: Apache-2.0
"""Connections to OVSDB that outlive a call: the server takes longer to greet us than to answer."""

from __future__ import annotations

import atexit
import contextlib
import os
from collections.abc import Iterator

from vifplug_ovs.ovsdb.connection import PATIENCE, Connection
from vifplug_ovs.ovsdb.endpoint import Keys

_idle: dict[tuple[int, str], list[Connection]] = {}
"""By process and endpoint: a forked process must not use its parent's connections."""


def take(
    endpoint: str, *, deadline: float, keys: Keys | None = None, patience: float = PATIENCE
) -> Connection:
    """Return a connection that is not in use; raises as :class:`Connection` does."""
    idle = _idle.get((os.getpid(), endpoint), [])
    with contextlib.suppress(IndexError):  # another thread may be quicker
        while True:
            connection = idle.pop()
            if connection.usable:
                return connection
            connection.close()
    return Connection(endpoint, deadline=deadline, keys=keys, patience=patience)


@contextlib.contextmanager
def lent(endpoint: str, *, deadline: float, keys: Keys) -> Iterator[Connection]:
    """Lend a connection for a with block. After an error it is closed, not reused.

    Does not wait for a server that is being restarted.
    """
    connection = take(endpoint, deadline=deadline, keys=keys, patience=0)
    try:
        yield connection
    except BaseException:
        connection.close()
        raise
    give_back(connection)


def give_back(connection: Connection) -> None:
    """Keep a connection for the next call, or close it if it can't be reused."""
    # Not an address, because another network namespace has another server at it.
    if not connection.endpoint.startswith("unix:") or not connection.usable:
        connection.close()
        return
    key = (os.getpid(), connection.endpoint)
    _idle.setdefault(key, []).append(connection)
    _close(but=key)  # a host has one database: other connections are of an old configuration


@atexit.register
def _close(*, but: tuple[int, str] | None = None) -> None:
    """Close the idle connections, at the latest when the process ends."""
    for key in list(_idle):  # a copy, because other threads change the table
        for connection in _idle.pop(key, []) if key != but else ():
            connection.close()
