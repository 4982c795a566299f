# SPDX-License-Identifier: Apache-2.0
"""Histories on the simulated host, one after the other, each beginning told once."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tests.histories.acts import Act, History, history
from tests.histories.machine import SimulatedMachine, first_state
from tests.histories.state import State
from tests.histories.story import Story, Teller, Wrong

_ENDS = 4
"""Every so many histories, all VIFs go at the end, and the host must be empty."""


@dataclass
class Report:
    """What came of some histories: how many, their calls' outcomes, and what was wrong."""

    histories: int = 0
    acts: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)


@dataclass
class _Told:
    """A beginning that was told: its acts, and host and story after each."""

    history: History
    acts: list[Act] = field(default_factory=list)
    states: list[tuple[State, Story]] = field(default_factory=list)


class Simulation:
    """Tells histories of a seed."""

    def __init__(self, seed: str) -> None:
        self.seed, self.report = seed, Report()
        self._machines = {tap: SimulatedMachine(create_tap=tap) for tap in (False, True)}
        self._before: _Told | None = None

    def run(self, numbers: Iterable[int], say: Callable[[str], None] = lambda line: None) -> Report:
        """Tell the histories of some numbers; return what came of them."""
        for number in numbers:
            self.tell(history(self.seed, number), say)
        return self.report

    def tell(self, told: History, say: Callable[[str], None] = lambda line: None) -> None:
        """Tell a history; the report has what is wrong."""
        machine, report = self._machines[told.create_tap], self.report
        report.histories += 1
        known = self._known(told)
        if known.states:
            state, story = known.states[-1]
            machine.driver.state, story = state.copy(), story.copy()
        else:
            machine.driver.state, story = first_state(), Story(list(told.wishes))
        teller = Teller(machine, story, outcomes=report.outcomes,
                        snapshot=lambda: machine.state.copy(), say=say)  # fmt: skip
        try:
            with machine.driver.serving():
                for act in told.acts[len(known.acts) :]:
                    report.acts += 1
                    teller.happen(act)
                    known.acts.append(act)
                    known.states.append((machine.state.copy(), story.copy()))
                if told.number % _ENDS == 0:
                    teller.end()
        except Wrong as wrong:
            report.findings.append(finding(told, str(wrong)))
        except Exception:
            report.findings.append(finding(told, traceback.format_exc()))
        self._before = known

    def _known(self, told: History) -> _Told:
        """Return as much of a history as the one before it has in common."""
        before, new = self._before, _Told(told)
        if before is None or (before.history.create_tap, before.history.wishes) != (
            told.create_tap, told.wishes):  # fmt: skip
            return new
        for known, state, act in zip(before.acts, before.states, told.acts, strict=False):
            if known != act:
                break
            new.acts.append(act)
            new.states.append(state)
        return new


def finding(told: History, words: str, more: str = "") -> str:
    """Return what is wrong with a history, and the command that tells it again."""
    again = f"python -m tests.histories --seed {told.seed} --first {told.number} --count 1{more}"
    return f"seed {told.seed}, history {told.number}: {words}\n  again: {again}"
