# SPDX-License-Identifier: Apache-2.0
"""The table of the docs: what each actor did to each kind of VIF."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from tests.actors.catalogue import ACTORS
from tests.actors.shapes import SHAPES
from tests.actors.trial import Outcome

NOT = "-"
"""The cell of what does not exist for a kind of VIF."""

_DID = (
    ("/link/master: 'br100' -> 'br200'", "moves the tap"),
    ("/link/master", "takes a device out of its bridge"),
    ("/link/flags", "sets a device down"),
    ("/link/altnames", "removes a mark"),
    ("/ipv6", "turns IPv6 on"),
    ("/Port ", "deletes the port"),
    ("/Interface ", "changes the port"),
    ("/link/mtu", "changes the MTU"),
    ("/link/address", "changes the MAC address"),
    ("/addresses", "adds an address"),
)


def table(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Yield the lines of the table; a row for each actor that has an outcome."""
    heads = ("other program", "what it does to VIFs", *(shape.name for shape in SHAPES))
    yield _row(heads)
    yield f"|{'---|' * len(heads)}"
    for actor in ACTORS:
        of_it = {one.shape: one for one in outcomes if one.actor == actor.name}
        if not of_it:
            continue
        cells = [
            _cell(of_it[shape.name])
            if shape.name in of_it
            else "not run"
            if actor.acts_on(shape)
            else actor.why_not(shape) or NOT
            for shape in SHAPES
        ]
        yield _row((actor.name, _did(of_it.values()), *cells))


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _did(outcomes: Collection[Outcome]) -> str:
    """Return what an actor does, in words."""
    lines = [line for one in outcomes for line in one.did]
    words = dict.fromkeys(
        next((words for part, words in _DID if part in line), line.partition(":")[0])
        for line in lines
        if "info_slave" not in line and not line.startswith("/on")
    )
    if any(one.warned for one in outcomes):
        words["cuts off what crosses a Linux bridge"] = None
    return ", ".join(words) or "nothing"


def _cell(outcome: Outcome) -> str:
    if not outcome.harmed and not outcome.told:
        return "well" if outcome.well else "NOT WELL"
    if outcome.warned:
        return "told; the firewall is left alone"
    told = "told" if outcome.told else "NOT TOLD"
    mended = "mended" if not outcome.left and outcome.reaches else "NOT MENDED"
    wrong = f", {outcome.wrong} WRONG" if outcome.wrong else ""
    return f"{told}{_seconds(outcome.told_in)}, {mended}{_seconds(outcome.mended_in)}{wrong}"


def _seconds(value: float | None) -> str:
    return "" if value is None else f" {value:.2f}"
