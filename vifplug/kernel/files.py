# SPDX-License-Identifier: Apache-2.0
"""Small files of a folder that every user may read and only the daemons' user writes."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

from vifplug.kernel import namespace

FOLDER, _FILE = 0o755, 0o644

LARGEST = 1 << 16
"""Bytes of a file that are read."""


def read(path: Path) -> bytes:
    """Return what a file holds, without following a link. Raises OSError, ValueError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("not a file")
        return os.read(descriptor, LARGEST)
    finally:
        os.close(descriptor)


def write(path: Path, text: str) -> None:
    """Write a file as a whole, in a folder that is made where it is missing. Raises OSError.

    A reader sees the old file or the new one. After an error nothing of the new one is left.
    """
    new = path.with_name(f".{path.name}")
    raw = f"{text}\n".encode()
    try:
        namespace.make_folder(path.parent, FOLDER)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(new, flags, _FILE)
        try:
            os.fchmod(descriptor, _FILE)
            if os.write(descriptor, raw) != len(raw):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(descriptor)
        new.rename(path)
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink()
        with contextlib.suppress(OSError):
            path.parent.rmdir()  # only where it is empty
        raise


def is_half_written(name: str) -> bool:
    """Whether a name is that of a file half written, by a daemon that was killed."""
    return name.startswith(".")
