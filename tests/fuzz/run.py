# SPDX-License-Identifier: Apache-2.0
"""Carries scenarios out on a host, one after the other, and notes what changed that may not."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fuzz.daemons import Footprint
from tests.fuzz.oracle import Looks, compared, forbidden, sort_of
from tests.fuzz.scenario import (
    PARTS,
    TEMPLATE_ID,
    TEMPLATE_MAC,
    Maker,
    Scenario,
    Template,
    bases,
)
from tests.fuzz.world import PLUGINS, World, context
from vifplug import VIF, VifplugError, calls
from vifplug.daemon.request import Reply
from vifplug.kernel.namespace import network_namespace
from vifplug.testing.shell import COMMAND

_SECONDS = 20.0
_BY_ID = {"force": True}
"""The unplug of a VIF of which only the id is said."""

_SETTLES = 1.5
_BUG = re.compile(r"\b(Key|Attribute|Type|Index|Value|Assertion|Runtime|Name|Recursion)Error\b")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a scenario changed that it may not, or how it failed. ``sort`` groups findings."""

    sort: str
    number: int
    scenario: Scenario
    lines: Sequence[str]

    def __str__(self) -> str:
        lines = "\n".join(f"    {line}" for line in self.lines[:12])
        return f"{self.sort}\n  scenario {self.number}: {self.scenario}\n{lines}"


@dataclass
class Report:
    """How many scenarios there were, and what became of them."""

    tried: int = 0
    plugs: Counter[str] = field(default_factory=Counter)
    unplugs: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    hosts: int = 0

    def __str__(self) -> str:
        plugs = ", ".join(f"{number} {word}" for word, number in sorted(self.plugs.items()))
        unplugs = ", ".join(f"{number} {word}" for word, number in sorted(self.unplugs.items()))
        sorts = Counter(finding.sort for finding in self.findings)
        lines = [f"{number:6} {sort}" for sort, number in sorts.most_common()]
        head = f"{self.tried} scenarios on {self.hosts} hosts; plugs: {plugs}; unplugs: {unplugs}"
        return "\n".join((head, f"{len(self.findings)} findings", *lines))


class Fuzzer:
    """Runs scenarios on one host after the other. ``way`` and ``plugin`` as in a scenario."""

    def __init__(self, seed: str, way: str, plugin: str = "", *, with_switch: bool) -> None:
        self.seed, self.way, self.plugin = seed, way, plugin
        self.with_switch = with_switch
        self.report = Report()

    def run(self, numbers: Sequence[int]) -> Report:
        """Carry out the scenarios of these numbers; a host that was changed is made anew."""
        left = list(numbers)
        while left:
            with World.made(with_switch=self.with_switch) as world:
                self.report.hosts += 1
                left = self._on(world, left)
        return self.report

    def _on(self, world: World, numbers: Sequence[int]) -> Sequence[int]:
        """Carry out scenarios until one leaves the host changed; return those that are left."""
        maker, before = maker_for(world), world.rows()
        daemons = [context(name) for name in PLUGINS if self.with_switch or name != "ovs"]
        footprint = Footprint(daemons)
        for done, number in enumerate(numbers, 1):
            scenario = maker.scenario(self.seed, number, self.way, self.plugin)
            attempt = Attempt(world, scenario, before, looks_wide=number % 4 == 0)
            attempt.carry_out()
            self.report.tried += 1
            self.report.plugs.update(attempt.plugs)
            self.report.unplugs.update(attempt.unplugs)
            grown = footprint.grown(done)
            found = attempt.findings | ({"daemon": grown} if grown else {})
            self.report.findings += [
                Finding(sort=sort, number=number, scenario=scenario, lines=lines)
                for sort, lines in found.items()
            ]
            if attempt.changed or grown:
                return numbers[done:]
        return ()


def maker_for(world: World) -> Maker:
    """Return what makes scenarios up for a host."""
    sockets = str(world.ovs.rundir) if world.ovs else "/run/openvswitch"
    kinds = {name: plugin.kinds for name, plugin in PLUGINS.items()}
    vifs = bases(with_switch=world.ovs is not None)
    details = {each.vif_type: type(each).details for each in world.driver.registry.loaded}
    return Maker(_templates(world, vifs), kinds, details, vifs, sockets=sockets)


def _templates(world: World, vifs: Sequence[dict[str, Any]]) -> list[Template]:
    found = []
    own = {"id": TEMPLATE_ID, "address": TEMPLATE_MAC}
    given = [VIF.from_dict({**own, **vif}) for vif in vifs]
    for options in ({}, {"create_tap": True, "process": "manual"}, {"process": "hybrid"},
                    {"process": "manual", "per_port_bridge": True}):  # fmt: skip
        world.choose(options)
        ready = world.driver.all_ready([(None, vif) for vif in given])
        view = world.driver.look([each for each in ready if not isinstance(each, VifplugError)])
        for each in world.driver.all_wired(ready, view.host):
            if isinstance(each, VifplugError):
                continue
            request = calls._plug_request(each)
            plain = {"vif_type": request.vif_type, "process": request.process,
                     "parts": [dict(part) for part in request.parts]}  # fmt: skip
            plugin = next(n for n, p in PLUGINS.items() if p.privileged() == each.module)
            found.append(Template(plugin=plugin, request=json.loads(json.dumps(plain))))
    world.choose({})
    return [each for at, each in enumerate(found) if each not in found[:at]]


class Attempt:
    """One scenario on one host. ``findings`` are lines by sort; ``changed``: the host is spoilt.

    ``looks_wide``: it also asks what ``check`` says of all other VIFs, which takes as long as all
    the rest.
    """

    def __init__(
        self, world: World, scenario: Scenario, before: Any, *, looks_wide: bool = True
    ) -> None:
        self.world, self.scenario, self.before = world, scenario, before
        self.looks_wide = looks_wide
        self.findings: dict[str, list[str]] = {}
        self.plugs: list[str] = []
        self.unplugs: list[str] = []
        self.changed = False

    def carry_out(self) -> None:
        """Plug, look, unplug, look."""
        scenario, world = self.scenario, self.world
        if scenario.before:
            world.batch("\n".join(scenario.before))
        start = world.rows() if scenario.before else self.before
        now = start
        for plug in scenario.plugs:
            error = self._call("plug", plug)
            self.plugs.append("refused" if error else "done")
            then, now = now, world.rows()
            if error and now != then:
                looks = self._settled(then, plugged="done" in self.plugs)
                self._note("failed plug", looks)
                now = looks.after
            self._note("plug", Looks(scenario, start, now, False))
        if self.looks_wide and now != start:
            self._check_others()
        error = self._call("unplug", scenario.unplug)
        if error:
            self.unplugs.append("refused")
            # An id of another VIF is refused; the hostile VIF itself can still be unplugged.
            error = self._call("unplug", _BY_ID)
            if error:
                self.findings.setdefault("unplug fails", [str(error)])
        self.unplugs.append("failed" if error else "done")
        self._look_last()

    def _check_others(self) -> None:
        then, now = self.world.checks, self.world.check_all()
        told = [f"{vif_id}: {said}" for vif_id, said in now.items() if said != then[vif_id]]
        if told:
            self.findings["check of another VIF"] = told

    def _look_last(self) -> None:
        """Compare the host with what it was at first; mend what may stay."""
        looks = self._settled(self.before)
        self._note("unplug", looks)
        if looks.after != self.before:
            self.world.mend(self.before, looks.after)
            self.changed = bool(compared(self.before, self._settled(self.before).after))

    def _settled(self, before: Any, *, plugged: bool = False) -> Looks:
        """Return what is left, once the switch has followed its database."""
        until = time.monotonic() + _SETTLES
        while True:
            looks = Looks(self.scenario, before, self.world.rows(), True, plugged)
            late = time.monotonic() > until or self.world.ovs is None
            if late or not forbidden(looks):
                return looks
            time.sleep(0.02)

    def _note(self, when: str, looks: Looks) -> None:
        if found := forbidden(looks):
            key = f"{when}: {sort_of(looks, found)}"
            main = [each for each in found if each.is_main]
            self.findings.setdefault(key, [str(each) for each in main or found])

    def _call(self, word: str, data: Any) -> VifplugError | None:
        """Plug or unplug; return the error. One that is no VifplugError is a finding."""
        try:
            way = self._by_parts if self.scenario.way == PARTS else self._by_driver
            error = way(word, data)
        except VifplugError as raised:
            error = raised
        except Exception as raised:
            said = f"{type(raised).__name__}: {raised}"
            self.findings.setdefault(f"{word} raises {type(raised).__name__}", [said])
            return VifplugError(said)
        if error and (bug := _BUG.search(str(error))):
            self.findings.setdefault(f"{word} answers with {bug[0]}", [str(error)])
        return error

    def _by_parts(self, word: str, data: Any) -> VifplugError | None:
        vif = {"vif_id": self.scenario.vif_id, **data}
        request = {"namespace": network_namespace(), "deadline": time.monotonic() + _SECONDS,
                   "vifs": [vif]}  # fmt: skip
        name = f"{context(self.scenario.plugin).prefix}.{word}"
        channel = context(self.scenario.plugin).ready(time.monotonic() + _SECONDS)
        (reply,) = channel.remote_call(name, (request,), {}, 2 * _SECONDS)
        return Reply.from_dict(reply).error

    def _by_driver(self, word: str, data: Any) -> VifplugError | None:
        scenario, driver = self.scenario, self.world.driver
        self.world.choose(scenario.options)
        if word == "plug":
            vif = VIF.from_dict(json.loads(json.dumps(data)))
            if scenario.shell:
                return self._by_shell("plug", data)
            driver.plug(None, vif, timeout=_SECONDS, move=bool(scenario.options.get("move")))
            return None
        force = bool(data.get("force"))
        given = {name: value for name, value in data.items() if name != "force"}
        try:
            vif = VIF.from_dict({**scenario.plugs[-1], **given}) if data is not _BY_ID else None
        except VifplugError:
            vif = None
        if vif is None:
            (outcome,) = driver.unplug_ids([scenario.vif_id], timeout=_SECONDS, force=force)
            return outcome if isinstance(outcome, VifplugError) else None
        driver.unplug(None, vif, timeout=_SECONDS, force=force)
        return None

    def _by_shell(self, word: str, data: Any) -> VifplugError | None:
        path = Path(self.world.folder) / "vif.json"
        path.write_text(json.dumps(data))
        config = str(self.world.folder / "vifplug.conf")
        done = self.world.namespace.run(COMMAND, "--config-file", config, word, str(path),
                                        check=False)  # fmt: skip
        if "Traceback" in done.stderr:
            self.findings.setdefault(f"{word} prints a traceback", done.stderr.splitlines()[-12:])
        return VifplugError(done.stderr) if done.returncode else None
