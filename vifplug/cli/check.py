# SPDX-License-Identifier: Apache-2.0
"""``vifplug check``: whether VIFs are plugged as asked; the drift where not."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from vifplug.cli import DONE, DRIFT, FAILED
from vifplug.cli.plan import Plan
from vifplug.driver import Result
from vifplug.model.vif import VIF
from vifplug.plan.compare import Plan as VIFPlan
from vifplug.plan.removal import Removal


class Check(Plan):
    """Compare VIFs with the host; exit 3 where one is not plugged as asked."""

    moves = False

    def act_on(self, vifs: Sequence[VIF], arguments: argparse.Namespace) -> int:
        checks = self.driver.checks(self.wired, self.view)
        status = self.show(vifs, checks, arguments)
        drift = any(isinstance(found, VIFPlan) and found for found in checks)
        return FAILED if status == FAILED else DRIFT if drift else DONE

    def show_one(self, outcome: VIFPlan | Removal | Result) -> None:
        if outcome:
            super().show_one(outcome)
        elif isinstance(outcome, VIFPlan):
            wired = f", not wired: {outcome.unwired}" if outcome.unwired else ""
            print(f"{outcome.title}  as asked{wired}")
