# SPDX-License-Identifier: Apache-2.0
"""Sees what a piece of code asks of the system, by Python's audit events."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator

__all__ = ["watched"]

_OUTSIDE = (
    "open", "os.", "socket.", "subprocess.", "shutil.", "tempfile.", "glob.", "pathlib.",
    "fcntl.", "ctypes.", "urllib.", "http.", "sqlite3.", "syslog.", "signal.", "time.sleep",
)  # fmt: skip
"""How the events begin that are no computing."""

_IMPORTING = "importlib._bootstrap"


class _Watch(threading.local):
    """What the thread's code asked for, while it is watched."""

    seen: list[str] | None = None


_WATCH = _Watch()


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    seen = _WATCH.seen
    if seen is None or not event.startswith(_OUTSIDE):
        return
    # An import, which happens once, reads the module's file.
    frame = sys._getframe()
    while frame := frame.f_back:  # type: ignore[assignment]
        if _IMPORTING in frame.f_code.co_filename:
            return
    words = repr(arguments[0]) if arguments else ""
    seen.append(f"{event} {words}".strip())


@contextlib.contextmanager
def watched() -> Iterator[list[str]]:
    """Return a list of the files, sockets and processes that this thread's block asks for.

    An import is left out. So is what has no audit event, as os.stat().
    """
    _hooked()
    seen: list[str] = []
    _WATCH.seen = seen
    try:
        yield seen
    finally:
        _WATCH.seen = None


_added: list[bool] = []


def _hooked() -> None:
    """Add the hook once: Python has no way to remove it."""
    if not _added:
        sys.addaudithook(_hook)
        _added.append(True)
