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
"""By process and endpoint: a fork must leave its parent's alone."""


def take(
    endpoint: str, *, deadline: float, keys: Keys | None = None, patience: float = PATIENCE
) -> Connection:
    """Return a connection that nobody else uses; raises as :class:`Connection` does."""
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
    """Lend a connection for a block, after whose error nobody gets it; as :func:`take`, at once."""
    connection = take(endpoint, deadline=deadline, keys=keys, patience=0)
    try:
        yield connection
    except BaseException:
        connection.close()
        raise
    give_back(connection)


def give_back(connection: Connection) -> None:
    """Keep a connection for the next call, or close it where it is of no more use."""
    # A socket is the same server's for all of a process; an address is a network namespace's.
    if not connection.endpoint.startswith("unix:") or not connection.usable:
        connection.close()
        return
    key = (os.getpid(), connection.endpoint)
    _idle.setdefault(key, []).append(connection)
    _close(but=key)  # a host has one database, so the others are left over


@atexit.register
def _close(*, but: tuple[int, str] | None = None) -> None:
    """Close what is kept, at the latest when the process ends."""
    for key in list(_idle):  # at once: other threads are here too
        for connection in _idle.pop(key, []) if key != but else ():
            connection.close()
