# SPDX-License-Identifier: Apache-2.0
"""The table of docs/vif-types.md: each type on each stack, as it ran."""

from __future__ import annotations

from collections.abc import Sequence

from tests.stacks.families import FAMILIES, of_family
from tests.stacks.runs import Run
from tests.wheels import ROOT

FILE = ROOT / "docs" / "vif-types.md"
BEGIN, END = "<!-- stacks: begin -->\n", "<!-- stacks: end -->\n"


def write(runs: Sequence[Run]) -> None:
    """Put the table of these runs between its two marks in the document."""
    before, _, rest = FILE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    FILE.write_text(f"{before}{BEGIN}\n{text(runs)}\n{END}{after}")


def text(runs: Sequence[Run]) -> str:
    """Return two tables: what each stack is made of, and how each type's tests ended there."""
    heads = [run.stack.name for run in runs]
    names = list(dict.fromkeys(name for run in runs for name in run.versions))
    made = [[name, *(run.versions.get(name, "") for run in runs)] for name in names]
    ended = [
        [family.name, family.shows, *(_said(of_family(family, run.outcomes)) for run in runs)]
        for family in FAMILIES
    ]
    return "\n".join(
        (*_rows(["part", *heads], made), "", *_rows(["type", "a test sees", *heads], ended), "")
    )


def _said(outcomes: Sequence[str]) -> str:
    if not outcomes:
        return "not run"
    passed = outcomes.count("passed")
    return str(passed) if passed == len(outcomes) else f"**{passed} of {len(outcomes)}**"


def _rows(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [heads, ["---"] * len(heads), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]
