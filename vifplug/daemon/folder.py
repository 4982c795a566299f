# SPDX-License-Identifier: Apache-2.0
"""The folder of the socket to which a helper's daemon connects.

Its path is in sudoers, so its form is fixed: /tmp/vifplug-privsep-<letters>/privsep.sock, whatever
TMPDIR says. Only its user may enter it. A caller that is killed leaves it, and the next start
removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

_ABOVE = Path("/tmp")  # noqa: S108 - mkdtemp makes it
_PREFIX = "vifplug-privsep-"
_SOCKET = "privsep.sock"


@contextlib.contextmanager
def socket_path() -> Iterator[str]:
    """Make a folder for the length of a block; give the path of the socket in it."""
    _remove_left()
    folder, descriptor = _locked()
    try:
        yield str(folder / _SOCKET)
    finally:
        _remove(folder)
        os.close(descriptor)


def _locked() -> tuple[Path, int]:
    """Make a folder and lock it: a locked one has a caller that lives."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_ABOVE))
        try:
            descriptor = _open(folder)
        except FileNotFoundError:  # another start took it for one that was left
            continue
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), folder.lstat()):
                return folder, descriptor
        os.close(descriptor)


def _open(folder: Path) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(folder, flags)


def _remove_left() -> None:
    """Remove this user's folders whose caller has ended: nobody holds their locks."""
    with contextlib.suppress(OSError), os.scandir(_ABOVE) as entries:
        for entry in entries:
            if entry.name.startswith(_PREFIX):
                with contextlib.suppress(OSError):
                    _remove_if_left(Path(entry.path))


def _remove_if_left(folder: Path) -> None:
    descriptor = _open(folder)
    try:
        found = os.fstat(descriptor)
        if found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) == 0o700:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(folder)
    finally:
        os.close(descriptor)


def _remove(folder: Path) -> None:
    """Remove a folder and its socket; one that holds something else stays."""
    with contextlib.suppress(OSError):
        (folder / _SOCKET).unlink()
    with contextlib.suppress(OSError):
        folder.rmdir()
