# SPDX-License-Identifier: Apache-2.0
"""The calling thread's network namespace, and the folder that vifplug has for it."""

from __future__ import annotations

from pathlib import Path

_NAMESPACE = Path("/proc/thread-self/ns/net")
_PASSAGE = 0o711
"""The mode of the folders: others may pass through and ask for a known name, not list them."""


def network_namespace() -> int:
    """Return the inode that identifies the calling thread's network namespace."""
    return _NAMESPACE.stat().st_ino


def folder(lock_path: str) -> Path:
    """Return the folder of this network namespace's locks and claims."""
    return Path(lock_path) / str(network_namespace())


def make(folder: Path) -> None:
    """Make a network namespace's folder where it is missing. Raises OSError."""
    # One by one: parents that mkdir makes by itself are open to all under the daemon's umask.
    for path in (folder.parent, folder):
        path.mkdir(mode=_PASSAGE, exist_ok=True)
