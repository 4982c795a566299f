# SPDX-License-Identifier: Apache-2.0
"""Have all actors act on all kinds of VIF, and print the table; see ``make actors``."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path

from tests.actors.actor import Actor
from tests.actors.catalogue import ACTORS
from tests.actors.shapes import SHAPES, Shape
from tests.actors.table import table
from tests.actors.trial import Outcome, trial


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.actors", description=__doc__)
    parser.add_argument("--actor", default="", help="only those with these words in their name")
    parser.add_argument("--shape", default="", help="only this kind of VIF")
    words = "keep the outcomes there: those that it has are not tried again"
    parser.add_argument("--results", type=Path, help=words)
    asked = parser.parse_args()
    outcomes = read(asked.results)
    failed = False
    for actor, shape in pairs(asked.actor, asked.shape):
        if any((one.actor, one.shape) == (actor.name, shape.name) for one in outcomes):
            continue
        print(f"{actor.name}, {shape.name}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="actors-") as folder:
            try:
                outcome = trial(actor, shape, Path(folder))
            except Exception:
                failed = True
                traceback.print_exc()
                continue
        outcomes.append(outcome)
        say(outcome)
        if asked.results:
            with asked.results.open("a") as file:
                print(json.dumps(dataclasses.asdict(outcome)), file=file)
    print("\n".join(table(outcomes)))
    return failed


def pairs(name: str, kind: str) -> Iterator[tuple[Actor, Shape]]:
    """Yield the actors that are asked for, each with every kind of VIF that it can act on."""
    for actor in ACTORS:
        for shape in SHAPES:
            if name in actor.name and kind in ("", shape.name) and actor.acts_on(shape):
                yield actor, shape


def read(file: Path | None) -> list[Outcome]:
    """Return the outcomes of former runs."""
    if file is None or not file.exists():
        return []
    found = []
    for line in file.read_text().splitlines():
        data = json.loads(line)
        lists = {key: tuple(value) for key, value in data.items() if isinstance(value, list)}
        found.append(Outcome(**data | lists))
    return found


def say(outcome: Outcome) -> None:
    """Tell an outcome to whoever waits."""
    lines = [f"did {line[:120]}" for line in outcome.did]
    lines += [f"left {line[:120]}" for line in outcome.left]
    if not outcome.reached:
        lines.append("the guest did not reach its network")
    if outcome.harmed != outcome.told:
        lines += [f"check told {outcome.told}", *outcome.words.splitlines()]
    if not outcome.well:
        lines += [f"after the watch: reaches {outcome.reaches}", *outcome.after.splitlines()]
    for line in lines:
        print(f"    {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
