# SPDX-License-Identifier: Apache-2.0
"""One caller at a time for a VIF and for a shared part: flock(2) files, freed by the kernel.

The files lie in a folder per network namespace under ``[vifplug] lock_path``, are named for what
they lock, hold the process id of who has it, and go away when nobody wants them any more.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from vifplug.errors import DeadlineExceeded, PrivilegeError
from vifplug.kernel import flock, namespace

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def names(vif_id: str, shared: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the names of the locks for a VIF and the shared devices it uses, in locking order."""
    return several((vif_id,), shared)


def several(vif_ids: Iterable[str], shared: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the names of the locks for VIFs and shared devices; the order is everyone's."""
    vifs = (f"vif-{vif_id}" for vif_id in sorted(set(vif_ids)))
    return (*vifs, *(f"link-{name}" for name in sorted(set(shared))))


def stamp(folder: Path) -> int | None:
    """Return what changes whenever a lock in the folder is taken or freed; None without one."""
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return None


def idle(folder: Path, names: Iterable[str], *, since: int | None) -> bool:
    """Whether none of these locks is held, and none was since :func:`stamp` gave ``since``.

    What was read in between is then no half-done work of another caller.
    """
    try:
        held = any((folder / f"{name}.lock").exists() for name in names)
    except PermissionError:
        return False  # who can't look doesn't know
    return not held and stamp(folder) == since


@contextlib.contextmanager
def held(folder: Path, names: tuple[str, ...], *, vif_id: str, deadline: float) -> Iterator[None]:
    """Hold the locks of these names, taken in the order given.

    ``deadline`` is absolute CLOCK_MONOTONIC. Raises DeadlineExceeded, which says who holds the
    lock, and PrivilegeError where the folder can't be used.
    """
    _require_ours(folder)
    with contextlib.ExitStack() as stack:
        for name in names:
            path = folder / f"{name}.lock"
            stack.callback(_release, path, _take(path, vif_id=vif_id, deadline=deadline))
        yield


def _require_ours(folder: Path) -> None:
    """Raise PrivilegeError where another user may write to a folder of locks, or above it.

    Such a user could have us write elsewhere, by a symbolic link.
    """
    ours = os.geteuid()
    for path, owners in ((folder.parent, (0, ours)), (folder, (ours,))):
        if why := namespace.why_not_of(owners, path):
            raise _unusable(path, why)


def _make(folder: Path) -> None:
    try:
        namespace.make(folder)
    except OSError as error:
        raise _unusable(folder, error.strerror or str(error)) from error
    _require_ours(folder)


def _unusable(path: Path, why: str) -> PrivilegeError:
    mend = "let [vifplug] lock_path name a folder that only the daemon's user may write"
    return PrivilegeError(f"lock {path}", why, mend)


def _take(path: Path, *, vif_id: str, deadline: float) -> int:
    while True:
        try:
            descriptor = os.open(path, _FLAGS, 0o600)
        except FileNotFoundError:
            _make(path.parent)
            continue
        except OSError as error:
            raise _unusable(path, error.strerror or str(error)) from error
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise _unusable(path, "it is not a file")
            _wait(descriptor, path, vif_id=vif_id, deadline=deadline)
            if _current(descriptor, path):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its last holder removed the file while we waited: again


def _wait(descriptor: int, path: Path, *, vif_id: str, deadline: float) -> None:
    try:
        flock.lock(descriptor, until=deadline)
    except TimeoutError:
        holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
        step = f"waiting for the lock {path.stem}, held by process {holder or 'unknown'}"
        raise DeadlineExceeded(vif_id, step, "failed") from None


def _current(descriptor: int, path: Path) -> bool:
    """Whether the file that we locked is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat(follow_symlinks=False))
    except FileNotFoundError:
        return False


def _release(path: Path, descriptor: int) -> None:
    # Removed while still locked, so that whoever waits on it sees that it is not current.
    with contextlib.suppress(OSError):
        path.unlink()
    os.close(descriptor)
