# SPDX-License-Identifier: Apache-2.0
"""The calling thread's network namespace, and the folder that vifplug has for it."""

from __future__ import annotations

import functools
import stat
from collections.abc import Collection
from pathlib import Path

_NAMESPACE = Path("/proc/thread-self/ns/net")
_PASSAGE = 0o711
"""The mode of the folders: others may pass through and ask for a known name, not list them."""


def network_namespace() -> int:
    """Return the inode that identifies the calling thread's network namespace."""
    return _NAMESPACE.stat().st_ino


def folder(lock_path: str) -> Path:
    """Return the folder of this network namespace's locks and claims."""
    return _folder(lock_path, network_namespace())


@functools.lru_cache(maxsize=1 << 6)
def _folder(lock_path: str, inode: int) -> Path:
    return Path(lock_path) / str(inode)


def make(folder: Path) -> None:
    """Make a network namespace's folder where it is missing. Raises OSError."""
    for path in (folder.parent, folder):
        make_folder(path, _PASSAGE)


def make_folder(folder: Path, mode: int) -> None:
    """Make a folder of a mode, whatever the umask is; let one that is there be. Raises OSError."""
    try:
        folder.mkdir(mode=mode)
        folder.chmod(mode)
    except FileExistsError:
        pass


def why_not_of(owners: Collection[int], folder: Path) -> str:
    """Return why not only these users may write to a folder; empty where all is well.

    A folder that is missing is well.
    """
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return ""
    except OSError as error:
        return error.strerror or str(error)
    if not stat.S_ISDIR(found.st_mode):
        return "it is not a folder"
    if found.st_uid not in owners:
        wanted = " or ".join(str(user) for user in sorted(set(owners)))
        return f"it belongs to user {found.st_uid}, not {wanted}"
    return "other users may write there" if found.st_mode & 0o022 else ""
