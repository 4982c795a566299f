# SPDX-License-Identifier: Apache-2.0
"""Which network namespace the calling thread is in."""

from __future__ import annotations

from pathlib import Path

_NAMESPACE = Path("/proc/thread-self/ns/net")


def network_namespace() -> int:
    """Return the inode that identifies the calling thread's network namespace."""
    return _NAMESPACE.stat().st_ino


def folder(lock_path: str) -> Path:
    """Return the folder of this network namespace's locks and claims."""
    return Path(lock_path) / str(network_namespace())
