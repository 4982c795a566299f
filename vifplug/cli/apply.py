# SPDX-License-Identifier: Apache-2.0
"""``vifplug apply``: make the host have the VIFs that a folder declares."""

from __future__ import annotations

import argparse
import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from oslo_config import cfg

from vifplug.cli import DONE, FAILED
from vifplug.cli.command import BLANK, LONGEST, add_timeout, problem
from vifplug.cli.folder import read_folder
from vifplug.cli.plan import steps_of
from vifplug.cli.plug import MANY
from vifplug.cli.reading import Given
from vifplug.cli.vifs import VIFCommand, add_host, add_move, did, row
from vifplug.driver import Outcomes, Result
from vifplug.errors import VifplugError
from vifplug.model.vif import VIF
from vifplug.plan.compare import Plan
from vifplug.plan.removal import Removal
from vifplug.plan.wired import Ready

_SIGNS = {"plug": "+", "change": "~", "unplug": "-", None: "="}
_COUNTED = {"plug": "to plug", "change": "to change", "unplug": "to unplug", None: "as declared"}


@dataclass(frozen=True, kw_only=True)
class Change:
    """What is planned for one VIF. ``action``: plug, change, unplug, or None where it stays."""

    vif: VIF | str
    action: str | None
    planned: Plan | Removal | VifplugError

    @property
    def vif_id(self) -> str:
        """The VIF's id."""
        return self.vif if isinstance(self.vif, str) else self.vif.id

    def text(self, name: str) -> str:
        """Return the change for people, without the parts that stay; empty where all stay."""
        if not self.planned or isinstance(self.planned, VifplugError):
            return ""
        shown = self.planned
        if isinstance(shown, Plan):
            shown = replace(shown, steps=tuple(s for s in shown.steps if s.operations))
        return "  ".join(word for word in (_SIGNS[self.action], name, str(shown)) if word)

    def to_dict(self) -> dict[str, Any]:
        """Return what would become of the VIF, in the form of what became of one."""
        found = row(self.vif, self.planned)
        if isinstance(self.planned, Plan):
            made = (name for each in self.planned.operations for name in each.made)
            gone = (name for each in self.planned.operations for name in each.removed)
            found |= {"made": [*dict.fromkeys(made)], "removed": [*dict.fromkeys(gone)]}
        return found


class Apply(VIFCommand):
    """Plug the VIFs that the files in a folder declare, after a look at what will change."""

    names: Mapping[str, str] = MappingProxyType({})

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        words = "folder of VIFs in JSON (*.json) or YAML (*.yaml, *.yml)"
        parser.add_argument("folder", metavar="DIR", help=words)
        words = "unplug what vifplug has plugged here and DIR does not declare"
        parser.add_argument("--prune", action="store_true", help=words)
        words = "print the changes, and make none"
        parser.add_argument("--dry-run", action="store_true", help=words)
        add_move(parser)
        add_timeout(parser)
        add_host(parser)

    def read(self, arguments: argparse.Namespace) -> list[Given[Ready | VifplugError]]:
        self._began = time.monotonic()
        names: dict[str, str] = {}
        self.names = names
        return read_folder(arguments.folder, self.checked, names)

    def act_on(self, vifs: Sequence[VIF], arguments: argparse.Namespace) -> int:
        # One deadline for all steps, and as much time as plug has for its batches.
        self._until = self._began + (arguments.timeout or self._time_for(len(vifs)))
        removals = self._removals(vifs) if arguments.prune else []
        plans = self._plans(removals, move=arguments.move)
        changes = [*removals, *map(self._change, vifs, plans)]
        if arguments.format == "text":
            self._print_changes(changes)
        if arguments.dry_run:
            return self._end(changes, [each.planned for each in changes], arguments)
        outcomes = self._unplug(removals)
        outcomes += self._plug(again=bool(removals), move=arguments.move)
        return self._end(changes, outcomes, arguments)

    @staticmethod
    def _time_for(number: int) -> float:
        one = float(cfg.CONF.vifplug.timeout)
        return min(one * max(1, math.ceil(number / MANY)), max(one, LONGEST))

    @property
    def _left(self) -> float:
        """The seconds that are left."""
        return max(self._until - time.monotonic(), 0.0)

    # The plan.

    def _removals(self, vifs: Sequence[VIF]) -> list[Change]:
        """Return what unplugs the VIFs that are not declared. Raises SwitchError.

        A switch that can't be read may have VIFs that are declared under another id.
        """
        listed, failures = self.driver.listing(timeout=self._left)
        if failures:
            raise failures[0]
        wanted = {vif.id for vif in vifs}
        ids = [one.id for one in listed if one.id not in wanted]
        removals = self.driver.plan_unplug(ids, timeout=self._left) if ids else ()
        return [
            Change(vif=vif_id, action="unplug", planned=planned)
            for vif_id, planned in zip(ids, removals, strict=True)
            if planned or isinstance(planned, VifplugError)
        ]

    def _plans(self, removals: Sequence[Change], *, move: bool) -> Sequence[Plan | VifplugError]:
        """Return a plan for each VIF, on the host as it will be without those that go."""
        if not removals:
            return self.driver.plans(self.wired, self.view, move=move)
        # All of the host, because the view has what the declared VIFs ask for.
        whole = self.driver.whole_host(deadline=self._until)
        told = replace(self.view.host, links=whole.links, switches=whole.switches)
        host = told.planning()
        for each in removals:
            for operation in each.planned.operations if isinstance(each.planned, Removal) else ():
                operation.foresee(host)
        wired = self.driver.all_wired(self.ready, host)
        return self.driver.plans(wired, replace(self.view, host=host), move=move)

    def _change(self, vif: VIF, planned: Plan | VifplugError) -> Change:
        action = None
        if isinstance(planned, VifplugError) or planned.operations:
            action = "change" if self._is_here(vif) else "plug"
        return Change(vif=vif, action=action, planned=planned)

    def _is_here(self, vif: VIF) -> bool:
        """Whether the host has something of a VIF already."""
        host = self.view.host
        some = host.marked(vif.id) or host.claims_of(vif.id)
        return bool(some or host.traces(vif.id, vif.interface_id))

    # The changes.

    def _unplug(self, removals: Sequence[Change]) -> Outcomes:
        """Unplug first: this frees names, addresses and functions of cards for other VIFs."""
        ids = [each.vif_id for each in removals]
        return self.driver.unplug_ids(ids, timeout=self._left) if ids else []

    def _plug(self, *, again: bool, move: bool) -> Outcomes:
        view, wired = self.view, self.wired
        if again:
            good = [each for each in self.ready if isinstance(each, Ready)]
            view = self.driver.look_again(good, view, deadline=self._until)
            wired = self.driver.all_wired(self.ready, view.host)
        return self.driver.plug_wired(wired, view, self._until, move=move)

    # The output.

    def _print_changes(self, changes: Sequence[Change]) -> None:
        for each in changes:
            if text := each.text(self.names.get(each.vif_id, "")):
                print(text)
        refused = sum(isinstance(each.planned, VifplugError) for each in changes)
        rest = [each for each in changes if not isinstance(each.planned, VifplugError)]
        counted = Counter(each.action for each in rest)
        words = [f"{counted[action]} {text}" for action, text in _COUNTED.items()]
        if set(counted) <= {None} and not refused:
            words = [f"nothing to do: {words[-1]}"]
        print(", ".join([*words, *([f"{refused} refused"] if refused else [])]))

    def _end(
        self,
        changes: Sequence[Change],
        outcomes: Sequence[Plan | Removal | Result | VifplugError],
        arguments: argparse.Namespace,
    ) -> int:
        """Tell what became of each VIF, or would become of it; return the exit status."""
        both = [*zip(changes, outcomes, strict=True)]
        if arguments.format == "json":
            self.print_rows([self._object(*each) for each in both])
        for change, outcome in both:
            if isinstance(outcome, VifplugError):
                self.complain(outcome, change.vif_id)
            elif isinstance(outcome, Result) and outcome.changed and arguments.format == "text":
                words = (self.names.get(outcome.id), outcome.id, outcome.vif_type, did(outcome))
                print("  ".join(word for word in words if word))
        failed = any(isinstance(outcome, VifplugError) for outcome in outcomes)
        return FAILED if failed else DONE

    def _object(
        self, change: Change, outcome: Plan | Removal | Result | VifplugError
    ) -> dict[str, Any]:
        done = isinstance(outcome, Result | VifplugError)
        found = row(change.vif, outcome) if done else change.to_dict()
        if isinstance(outcome, VifplugError):
            found["problem"] = problem(outcome, file=self.files.get(change.vif_id))
        if isinstance(change.planned, Plan):
            found["warnings"] = list(change.planned.notes)
        return found | {"action": change.action} | steps_of(change.planned)

    def more(self, outcome: Plan | Removal | Result | VifplugError | None) -> dict[str, Any]:
        return {"action": None, **steps_of(outcome)}

    def print_rows(self, rows: Sequence[dict[str, Any]]) -> None:
        blank = {**BLANK, **self.more(None)}
        named = [{**blank, **each, "name": self.names.get(each["id"])} for each in rows]
        super().print_rows(named)

    def complain(self, error: VifplugError, vif_id: str = "", *, file: str = "") -> None:
        # By its name too, because its author may never have seen an id that was made.
        known = self.names.get(vif_id or getattr(error, "vif_id", ""))
        where = " ".join(word for word in (file, known) if word)
        super().complain(error, vif_id, file=where)
