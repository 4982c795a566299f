# SPDX-License-Identifier: Apache-2.0
"""Frames between the guests' ends of two taps."""

from __future__ import annotations

import contextlib
import time

from vifplug.testing import TapEnd


def arrives(end: TapEnd, frame: bytes, *, seconds: float = 5) -> bool:
    """Whether a frame comes out of a tap in time; the bridge's own queries may come too."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        with contextlib.suppress(TimeoutError):
            if end.receive(timeout=left) == frame:
                return True
    return False


def crosses(one: TapEnd, two: TapEnd, frame: bytes) -> bool:
    """Whether a frame gets across once the kernel has seen both ports come up."""
    for _ in range(25):
        one.send(frame)
        if arrives(two, frame, seconds=0.2):
            return True
    return False
