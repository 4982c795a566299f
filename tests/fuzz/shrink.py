# SPDX-License-Identifier: Apache-2.0
"""Makes a scenario smaller that changes what it may not, as long as it still does."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tests.fuzz.run import Attempt, Finding
from tests.fuzz.scenario import Scenario
from tests.fuzz.world import World


def shrunk(finding: Finding, *, with_switch: bool, tries: int = 60) -> Finding:
    """Return the smallest scenario that was found to end in the same way."""
    with _Hosts(with_switch) as hosts:
        best = finding
        while tries > 0:
            for scenario in smaller(best.scenario):
                tries -= 1
                lines = hosts.findings(scenario).get(finding.sort)
                if lines:
                    best = replace(best, scenario=scenario, lines=lines)
                    break
                if tries <= 0:
                    return best
            else:
                return best
        return best


class _Hosts(contextlib.ExitStack):
    """A host, made anew once it was spoilt."""

    def __init__(self, with_switch: bool) -> None:
        super().__init__()
        self._with_switch = with_switch
        self._world: World | None = None

    def findings(self, scenario: Scenario) -> dict[str, list[str]]:
        """Return what a scenario is found to do."""
        if self._world is None:
            self._world = self.enter_context(World.made(with_switch=self._with_switch))
        attempt = Attempt(self._world, scenario, self._world.rows())
        attempt.carry_out()
        if attempt.changed:
            self.close()
            self._world = None
        return attempt.findings


def smaller(scenario: Scenario) -> list[Scenario]:
    """Return scenarios that have one thing less."""
    found = []
    for at in range(len(scenario.plugs)):
        rest = [*scenario.plugs[:at], *scenario.plugs[at + 1 :]]
        if rest:
            found.append(replace(scenario, plugs=rest))
    if scenario.before:
        found.append(replace(scenario, before=()))
    if len(scenario.unplug) > 0:
        found.append(replace(scenario, unplug={"force": True}))
    for at, plug in enumerate(scenario.plugs):
        for less in _less(plug, required=("vif_type", "id", "address", "parts", "process", "kind")):
            found.append(replace(scenario, plugs=[*scenario.plugs[:at], less,
                                                  *scenario.plugs[at + 1 :]]))  # fmt: skip
    return [each for each in found if each != scenario]


def _less(data: Any, *, required: Sequence[str]) -> list[Any]:
    found: list[Any] = []
    if isinstance(data, list):
        for at, item in enumerate(data):
            found.append([*data[:at], *data[at + 1 :]])
            found += [
                [*data[:at], less, *data[at + 1 :]] for less in _less(item, required=required)
            ]
    elif isinstance(data, dict):
        for name, value in data.items():
            if name not in required:
                found.append({n: v for n, v in data.items() if n != name})
            found += [{**data, name: less} for less in _less(value, required=required)]
    return found
