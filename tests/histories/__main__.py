# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.histories``: histories from a seed; 1 where any of them went wrong."""

from __future__ import annotations

import argparse
import contextlib
import logging
import multiprocessing
import secrets
import sys
import time
from collections.abc import Callable, Sequence

from tests.histories.acts import history
from tests.histories.real import real_machine
from tests.histories.replay import replay, without_vlans
from tests.histories.simulate import Report, Simulation

Tell = Callable[[int], Report]
"""Tells the history of a number, and returns the report on all so far."""

_APART = 101
"""Histories from one that is real to the next: neighbours begin alike."""

_ENOUGH = 50
"""Findings after which no more histories are told."""


def _simulated(seed: str, say: Callable[[str], None]) -> Tell:
    simulation = Simulation(seed)
    return lambda number: simulation.run((number,), say)


def _real(stack: contextlib.ExitStack, seed: str, say: Callable[[str], None]) -> Tell:
    # The daemons are forks that have a saboteur. Python 3.14 forks no more by itself.
    multiprocessing.set_start_method("fork", force=True)
    machine, report = stack.enter_context(real_machine()), Report()

    def tell(number: int) -> Report:
        told = history(seed, number)
        replay(told if machine.has_vlans else without_vlans(told), machine, report, say)
        return report

    return tell


def main(arguments: Sequence[str] | None = None) -> int:
    """Tell as many histories as asked for; print what came of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.histories", description=__doc__)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", default="")
    parser.add_argument("--first", type=int, default=0, help="the number of the first history")
    parser.add_argument("--real", action="store_true", help="on the real kernel as well")
    parser.add_argument("--every", type=int, default=0,
                        help=f"tell each Nth only; {_APART} with --real, else 1")  # fmt: skip
    parser.add_argument("--seconds", type=float, default=0, help="stop after so many, if not 0")
    given = parser.parse_args(arguments)
    logging.getLogger().addHandler(logging.NullHandler())
    seed = given.seed or secrets.token_hex(4)
    print(f"seed {seed}", flush=True)
    start, shown = time.monotonic(), 0
    say = print if given.count == 1 else lambda line: None
    every = given.every or (_APART if given.real else 1)
    numbers = range(given.first, given.first + given.count * every, every)
    with contextlib.ExitStack() as stack:
        tell = _real(stack, seed, say) if given.real else _simulated(seed, say)
        for number in numbers:
            report = tell(number)
            for found in report.findings[shown:]:
                print(found, flush=True)
            shown = len(report.findings)
            if given.seconds and time.monotonic() - start > given.seconds:
                break
            if shown >= _ENOUGH:
                break
    took = time.monotonic() - start
    for word, number in sorted(report.outcomes.items()):
        print(f"{number:10,}  {word}")
    print(f"{report.histories:,} histories, {report.acts:,} acts in {took:,.0f} s, seed {seed}: "
          f"{len(report.findings)} findings")  # fmt: skip
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main())
