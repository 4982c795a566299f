# SPDX-License-Identifier: Apache-2.0
"""Histories on the real host, compared act by act with the simulated one."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import replace

from tests.histories.acts import History, Wish
from tests.histories.machine import SimulatedMachine, first_state
from tests.histories.networks import comparable
from tests.histories.real import RealMachine
from tests.histories.simulate import Report, finding
from tests.histories.story import Story, Teller, Wrong
from vifplug.testing.dumps import differences

_SETTLES = 10.0
"""Seconds in which the real host must be what the simulated one is; vswitchd takes some."""


_INSTEAD = {"bridge-vlan": "bridge", "bridge-vlan2": "bridge-uplink"}


def without_vlans(history: History) -> History:
    """Return a history for a kernel that has no VLAN devices: other bridges stand in."""
    acts = tuple(replace(act, wish=_instead(act.wish)) if act.wish else act for act in history.acts)
    return replace(history, wishes=tuple(map(_instead, history.wishes)), acts=acts)


def _instead(wish: Wish) -> Wish:
    return replace(wish, way=_INSTEAD.get(wish.way, wish.way))


def replay(
    history: History,
    real: RealMachine,
    report: Report,
    say: Callable[[str], None] = lambda line: None,
) -> None:
    """Have a history happen on both hosts; note what is wrong, and where they differ."""
    simulated = SimulatedMachine(create_tap=history.create_tap)
    simulated.driver.state = first_state()
    real.begin(create_tap=history.create_tap)
    report.histories += 1
    tellers = [
        Teller(machine, Story(list(history.wishes)), outcomes=report.outcomes, say=said)
        for machine, said in ((simulated, lambda line: None), (real, say))
    ]
    try:
        for act in history.acts:
            report.acts += 1
            with simulated.driver.serving():
                tellers[0].happen(act)
            tellers[1].happen(act)
            _require_same(str(act), simulated, real)
        with simulated.driver.serving():
            tellers[0].end()
        tellers[1].end()
        _require_same("the end", simulated, real)
    except Wrong as wrong:
        report.findings.append(finding(history, str(wrong), " --real"))
    except Exception:
        report.findings.append(finding(history, traceback.format_exc(), " --real"))


def _require_same(act: str, simulated: SimulatedMachine, real: RealMachine) -> None:
    wanted = comparable(simulated.host())
    until = time.monotonic() + _SETTLES
    while differs := differences(wanted, comparable(real.host())):
        if time.monotonic() > until:
            raise Wrong(f"{act}: the real host differs: {'; '.join(differs)}")
        time.sleep(0.01)
