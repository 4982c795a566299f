# SPDX-License-Identifier: Apache-2.0
"""What differs between two full dumps of a namespace, one line each."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

__all__ = ["differences", "lasting"]


def differences(before: Any, after: Any, path: str = "") -> list[str]:
    """Return the paths at which two dumps differ, with both values; empty where none does."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            line
            for key in sorted(set(before) | set(after), key=str)
            for line in differences(before.get(key), after.get(key), f"{path}/{key}")
        ]
    if isinstance(before, list) and isinstance(after, list) and before != after:
        gone = [f"{path} gone: {one!r}" for one in before if one not in after]
        new = [f"{path} new: {one!r}" for one in after if one not in before]
        moved = [f"{path}: other order or number: {one!r} -> {other!r}"
                 for one, other in zip(before, after, strict=False) if one != other]  # fmt: skip
        return [*gone, *new] or moved[:2] or [f"{path}: {len(before)} -> {len(after)}"]
    return [] if before == after else [f"{path}: {before!r} -> {after!r}"]


def lasting(before: Any, look: Callable[[], Any], within: float = 30) -> list[str]:
    """Return what differs from a dump, once nothing does or ``within`` seconds are over."""
    until = time.monotonic() + within
    while (found := differences(before, look())) and time.monotonic() < until:
        time.sleep(0.02)
    return found
