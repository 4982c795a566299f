# SPDX-License-Identifier: Apache-2.0
"""Trees of text, with guides from each line to those below it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field


@dataclass
class Branch:
    """A line of a tree, and the branches below it."""

    text: str
    below: list[Branch] = field(default_factory=list)


def guided(branches: Iterable[Branch]) -> str:
    """Return branches as text, with guides from each to those below it."""
    lines = (line for each in branches for line in (each.text, *_below(each)))
    return "".join(f"{line}\n" for line in lines)


def _below(branch: Branch) -> Iterator[str]:
    for each in branch.below:
        last = each is branch.below[-1]
        yield f"{'└─' if last else '├─'} {each.text}"
        yield from (f"{'   ' if last else '│  '}{line}" for line in _below(each))
