# SPDX-License-Identifier: Apache-2.0
"""``vifplug check``: whether VIFs are plugged as asked; the drift where not."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import Any

from vifplug.cli import DONE, DRIFT, FAILED, REFUSED
from vifplug.cli.list import warn_of
from vifplug.cli.plan import Plan
from vifplug.driver import GenericVIFDriver, Result
from vifplug.errors import VifplugError
from vifplug.model.vif import VIF
from vifplug.plan.compare import Plan as VIFPlan
from vifplug.plan.inventory import Checked
from vifplug.plan.removal import Removal


class Check(Plan):
    """Compare VIFs with the host; exit 3 where one is not plugged as asked."""

    moves = False
    needs_files = "*"

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        super().arguments(parser)
        words = "every VIF that this host carries, as it was plugged, and its guest"
        parser.add_argument("--all", action="store_true", help=words)

    def act(self, arguments: argparse.Namespace) -> int:
        if bool(arguments.files) == arguments.all:
            both = "--all takes no FILE" if arguments.all else "FILE or --all is missing"
            self.app.stderr.write(f"vifplug check: {both}\n")
            return REFUSED
        return self._all(arguments) if arguments.all else super().act(arguments)

    def act_on(self, vifs: Sequence[VIF], arguments: argparse.Namespace) -> int:
        checks = self.driver.checks(self.wired, self.view)
        _warn_of_firewall(checks)
        status = self.show(vifs, checks, arguments)
        drift = any(isinstance(found, VIFPlan) and found for found in checks)
        return FAILED if status == FAILED else DRIFT if drift else DONE

    def show_one(self, outcome: VIFPlan | Removal | Result) -> None:
        if outcome:
            super().show_one(outcome)
        elif isinstance(outcome, VIFPlan):
            wired = f", not wired: {outcome.unwired}" if outcome.unwired else ""
            print(f"{outcome.title}  as asked{wired}")

    def _all(self, arguments: argparse.Namespace) -> int:
        self.driver, self.files = GenericVIFDriver(), {}
        found = self.driver.inventory(timeout=arguments.timeout)
        warn_of(found)
        checked = self.driver.checked(found, timeout=arguments.timeout)
        _warn_of_firewall([each.plan for each in checked])
        if arguments.format == "json":
            self.print_rows([self._checked(each) for each in checked])
        for each in checked:
            if each.error:
                self.complain(each.error, each.plugged.id)
            elif arguments.format == "text":
                self._show(each)
        if found.failures or any(each.error for each in checked):
            return FAILED
        return DRIFT if any(checked) else DONE

    def _checked(self, checked: Checked) -> dict[str, Any]:
        """Return a VIF as JSON has it: as ``list`` does, and as ``check`` of a file."""
        vif = checked.plugged
        plan = checked.plan
        compared = self._row(vif.id, plan) if plan else {"changed": False, "error": None}
        if isinstance(plan, VifplugError):
            compared = {"changed": False, "error": str(plan), "problem": compared["problem"]}
        return {
            **compared,
            **vif.to_dict(),
            **self.more(plan),
            "changed": bool(checked),
        }

    def _show(self, checked: Checked) -> None:
        vif, plan = checked.plugged, checked.plan
        if isinstance(plan, VIFPlan):
            self.show_one(plan)
        else:
            words = " ".join((vif.vif_type or "-", vif.process or "")).rstrip()
            seen = "" if vif.drift else "  no drift seen (it is not noted how it was plugged)"
            print(f"{vif.id}  {words}{seen}")
        for text in vif.drift:
            print(f"  drift   {text}")
        if vif.state == "orphan":
            print("  note    no guest has it")


def _warn_of_firewall(plans: Iterable[object]) -> None:
    """Warn of what drops the packets of VIFs that are plugged as asked, as far as we may look."""
    from vifplug.query import firewall

    steps = (step for plan in plans if isinstance(plan, VIFPlan) for step in plan.steps)
    bridges = sorted({step.part.title for step in steps if step.part.crosses_bridge})
    if bridges:
        firewall.warn_of(firewall.look(bridges).dropping)
