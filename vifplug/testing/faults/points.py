# SPDX-License-Identifier: Apache-2.0
"""What was tried: how many faults at how many steps, and how many of them ended wrong."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator

__all__ = ["POINTS", "WRONG", "point", "table"]

POINTS: Counter[tuple[str, str]] = Counter()
"""How many faults were tried, by the call and the fault."""

WRONG: Counter[tuple[str, str]] = Counter()
"""After how many of them something did not hold."""


@contextlib.contextmanager
def point(call: str, fault: str) -> Iterator[None]:
    """Count a point that is tried, and whether something was wrong."""
    POINTS[call, fault] += 1
    try:
        yield
    except BaseException:
        WRONG[call, fault] += 1
        raise


def table() -> list[str]:
    """Return what was tried, as the rows of a Markdown table."""
    rows = [f"| {call} | {fault} | {POINTS[call, fault]} | {WRONG[call, fault]} |"
            for call, fault in sorted(POINTS)]  # fmt: skip
    total = f"| all | | {sum(POINTS.values())} | {sum(WRONG.values())} |"
    return ["| call | fault at each step | points | wrong |", "|---|---|---|---|", *rows, total]
