# SPDX-License-Identifier: Apache-2.0
"""A crowd: processes with mixed calls on the same few VIFs, one bridge and one Open vSwitch."""

from __future__ import annotations

import multiprocessing
import random
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.soak.hosts import vif
from vifplug import GenericVIFDriver, VifplugError

VIFS = 12
"""The VIFs for which all processes ask: fewer than processes, so that calls meet."""

WAYS = ("bridge", "manual", "hybrid")

EXPLAINED = {
    "Conflict": "the VIF is plugged another way, or another call has just plugged it",
}
"""The errors that a crowd may get, and why."""

_PATIENCE = 300.0
"""Seconds of a call's deadline: a busy machine is no error."""


@dataclass
class Report:
    """What a crowd did: calls by kind, errors by kind and class, and errors without a reason."""

    calls: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    unexplained: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Return a table: one line a call."""
        lines = [f"{sum(self.calls.values()):,} calls, {sum(self.errors.values()):,} errors, "
                 f"{len(self.unexplained)} without a reason"]  # fmt: skip
        for call, number in sorted(self.calls.items()):
            errors = [f"{count:,} {name.partition(' ')[2]}"
                      for name, count in sorted(self.errors.items())
                      if name.startswith(f"{call} ")]  # fmt: skip
            lines.append(f"{call:8}{number:>8,}  {', '.join(errors)}")
        return "\n".join([*lines, *self.unexplained[:10]])


def crowd(processes: int, seconds: float, seed: str) -> Report:
    """Have so many processes call at random for so long; return what they did."""
    said: Any = multiprocessing.Queue()
    gate = multiprocessing.Barrier(processes)
    running = [
        multiprocessing.Process(target=_one, args=(f"{seed}/{n}", gate, seconds, said))
        for n in range(processes)
    ]
    for process in running:
        process.start()
    total = Report()
    for _ in running:
        found = said.get(timeout=seconds + 2 * _PATIENCE)
        total.calls.update(found.calls)
        total.errors.update(found.errors)
        total.unexplained += found.unexplained
    for process in running:
        process.join(timeout=60)
        if process.exitcode != 0:
            total.unexplained.append(f"a process ended with {process.exitcode}")
    return total


def _one(seed: str, gate: Any, seconds: float, said: Any) -> None:
    chance, report = random.Random(seed), Report()
    driver = GenericVIFDriver()
    gate.wait()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        call = chance.choices(tuple(_CALLS), weights=[weight for weight, _ in _CALLS.values()])[0]
        report.calls[call] += 1
        try:
            for error in _CALLS[call][1](driver, chance):
                _note(report, call, error)
        except VifplugError as error:
            _note(report, call, error)
        except Exception:
            report.errors[f"{call} no VifplugError"] += 1
            report.unexplained.append(f"{call}: {traceback.format_exc()}")
    driver.close()
    said.put(report)


def _note(report: Report, call: str, error: VifplugError) -> None:
    name = type(error).__name__
    report.errors[f"{call} {name}"] += 1
    if name not in EXPLAINED:
        report.unexplained.append(f"{call}: {name}: {error}")


def _any(chance: random.Random) -> Any:
    return vif(chance.randrange(VIFS), chance.choice(WAYS))


def _errors(outcomes: Any) -> list[VifplugError]:
    return [outcome for outcome in outcomes if isinstance(outcome, VifplugError)]


def _plug(driver: GenericVIFDriver, chance: random.Random) -> list[VifplugError]:
    driver.plug(None, _any(chance), timeout=_PATIENCE)
    return []


def _move(driver: GenericVIFDriver, chance: random.Random) -> list[VifplugError]:
    driver.plug(None, _any(chance), timeout=_PATIENCE, move=True)
    return []


def _several(driver: GenericVIFDriver, chance: random.Random) -> list[VifplugError]:
    numbers = chance.sample(range(VIFS), 3)
    pairs = [(None, vif(number, chance.choice(WAYS))) for number in numbers]
    return _errors(driver.plug_all(pairs, timeout=_PATIENCE))


def _unplug(driver: GenericVIFDriver, chance: random.Random) -> list[VifplugError]:
    driver.unplug(None, _any(chance), timeout=_PATIENCE)
    return []


def _list(driver: GenericVIFDriver, chance: random.Random) -> list[VifplugError]:
    driver.list()
    return []


def _check(driver: GenericVIFDriver, chance: random.Random) -> list[VifplugError]:
    driver.check(None, _any(chance))
    return []


def _gc(driver: GenericVIFDriver, chance: random.Random) -> list[VifplugError]:
    keep = [vif(number, "bridge").id for number in range(VIFS) if chance.random() < 0.7]
    found = driver.gc(keep, everything=True, timeout=_PATIENCE)
    return [one.error for one in found if one.error]


_CALLS = {
    "plug": (30, _plug),
    "several": (5, _several),
    "move": (15, _move),
    "unplug": (30, _unplug),
    "list": (8, _list),
    "check": (8, _check),
    "gc": (4, _gc),
}
"""The calls of a crowd, and how often each is made."""
