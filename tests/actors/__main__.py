# SPDX-License-Identifier: Apache-2.0
"""Have all actors act on all kinds of VIF, and print the table; see ``make actors``."""

from __future__ import annotations

import argparse
import sys
import tempfile
import traceback
from pathlib import Path

from tests.actors.catalogue import ACTORS
from tests.actors.trial import Outcome, trial


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.actors", description=__doc__)
    parser.add_argument("--actor", default="", help="only those with these words in their name")
    parser.add_argument("--shape", default="", help="only this kind of VIF")
    asked = parser.parse_args()
    failed = 0
    for actor in ACTORS:
        if asked.actor not in actor.name:
            continue
        for shape in actor.shapes:
            if asked.shape not in ("", shape.name):
                continue
            with tempfile.TemporaryDirectory(prefix="actors-") as folder:
                try:
                    outcome = trial(actor, shape, Path(folder))
                except Exception:
                    failed += 1
                    print(f"| {actor.name} | {shape.name} | FAILED |", flush=True)
                    traceback.print_exc()
                    continue
            print(row(outcome), flush=True)
            for line in (*outcome.did, "left:", *outcome.left, outcome.words):
                print(f"    {line}", file=sys.stderr)
    return bool(failed)


def row(outcome: Outcome) -> str:
    """Return a line of the table."""
    told = f"{outcome.told_in:.2f} s" if outcome.told_in is not None else str(outcome.told)
    mended = f"{outcome.mended_in:.2f} s" if outcome.mended_in is not None else "-"
    cells = (
        outcome.actor,
        outcome.shape,
        f"{len(outcome.did)} diffs",
        f"reached={outcome.reached}",
        told,
        mended,
        f"well={outcome.well}",
        str(outcome.wrong),
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
