# SPDX-License-Identifier: Apache-2.0
"""flock(2) within a time limit. The kernel frees the lock when its holder ends."""

from __future__ import annotations

import fcntl
import time

_PAUSE = 0.002
"""Seconds after the first try; each further pause is longer."""


def lock(descriptor: int, *, until: float, longest: float = 0.05) -> None:
    """Take the lock of an open file or folder. ``until`` is absolute CLOCK_MONOTONIC.

    ``longest`` is the longest pause between two tries, in seconds. Raises TimeoutError where
    another process holds the lock until then.
    """
    pause = _PAUSE
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError from None
            time.sleep(min(pause, left))
            pause = min(pause * 1.5, longest)
