# SPDX-License-Identifier: Apache-2.0
"""``vifplug plan``: what plug would do, and what it would leave."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, ClassVar

from vifplug.cli import REFUSED
from vifplug.cli.topology import DRAWN, add_output, draw, how, title
from vifplug.cli.vifs import VIFCommand, add_move
from vifplug.driver import Result
from vifplug.errors import VifplugError
from vifplug.model.vif import VIF
from vifplug.operations.operation import Operation
from vifplug.plan.compare import Plan as VIFPlan
from vifplug.plan.removal import Removal

COLOURS = {"make": "green", "change": "yellow", "move": "yellow", "keep": "dim", "leave": "red"}


class Plan(VIFCommand):
    """Print what plug would do, and what it would leave. Changes nothing."""

    moves: ClassVar[bool] = True
    _pictured = False

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        super().arguments(parser)
        if self.moves:
            add_move(parser)
            words = "draw the host before and after the plug, as vifplug topology does"
            parser.add_argument("--draw", choices=DRAWN, help=words)
            add_output(parser)

    def act(self, arguments: argparse.Namespace) -> int:
        if self.moves and arguments.draw and not arguments.output and arguments.format == "json":
            print("vifplug plan: --draw with -f json needs -o FILE", file=sys.stderr)
            return REFUSED
        return super().act(arguments)

    def act_on(self, vifs: Sequence[VIF], arguments: argparse.Namespace) -> int:
        plans = self.driver.plans(self.wired, self.view, move=arguments.move)
        self._pictured = bool(arguments.draw and not arguments.output)
        status = self.show(vifs, plans, arguments)
        if arguments.draw or arguments.output:
            self._picture(arguments)
        return status

    def _picture(self, arguments: argparse.Namespace) -> None:
        """Draw the host before and after; beside a picture on standard output is no other text."""
        from vifplug.picture.graph import Pictured

        both = self.driver.foreseen(
            self.ready, self.view, move=arguments.move, timeout=arguments.timeout
        )
        parts = tuple(zip(("before", "after"), both, strict=True))
        draw(Pictured(title=title(), parts=parts), how(arguments), arguments.output)

    def show_one(self, outcome: VIFPlan | Removal | Result) -> None:
        if self._pictured:
            return
        if isinstance(outcome, VIFPlan) and sys.stdout.isatty():
            _draw(outcome)
        else:
            print(outcome)

    def more(self, outcome: VIFPlan | Removal | Result | VifplugError | None) -> dict[str, Any]:
        return steps_of(outcome)


def steps_of(outcome: VIFPlan | Removal | Result | VifplugError | None) -> dict[str, Any]:
    """Return the steps of a plan, or of a removal, for programs."""
    steps: list[dict[str, str]] = []
    if isinstance(outcome, VIFPlan):
        steps += [step.to_dict() for step in outcome.steps]
        steps += [_line("leave", operation) for operation in outcome.leaving]
    elif isinstance(outcome, Removal):
        steps += [_line("remove", operation) for operation in outcome.operations]
    return {"steps": steps, "stale": list(outcome.stale) if isinstance(outcome, VIFPlan) else []}


def _line(action: str, operation: Operation) -> dict[str, str]:
    return {"action": action, "part": "", "name": "", "detail": str(operation)}


def _draw(plan: VIFPlan) -> None:
    """Print a plan as a coloured tree, for a terminal."""
    from rich.console import Console
    from rich.text import Text
    from rich.tree import Tree

    tree = Tree(Text(plan.title, style="bold"))
    for step in plan.steps:
        line = Text(f"{step.action:6}  ", style=COLOURS[step.action])
        line.append(f"{step.part.kind:6}  {step.part.title:15}  ", style="default")
        line.append(step.detail, style="dim")
        tree.add(line)
    for operation in plan.leaving:
        line = Text("leave   ", style=COLOURS["leave"])
        tree.add(line.append(str(operation), style="default"))
    for difference in plan.stale:
        tree.add(Text(f"stale   {difference}", style="red"))
    for note in plan.notes:
        tree.add(Text(f"note    {note}", style="magenta"))
    Console(highlight=False).print(tree)
