# SPDX-License-Identifier: Apache-2.0
"""``vifplug plug``: make the host connect VIFs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import TypeVar

from vifplug.cli.streams import drawing
from vifplug.cli.vifs import VIFCommand, add_move
from vifplug.model.vif import VIF
from vifplug.plan.wired import Ready
from vifplug.result import Outcomes

T = TypeVar("T")

MANY = 50
"""From so many VIFs on, a terminal sees a progress bar; so many are plugged in one go."""


class Plug(VIFCommand):
    """Plug VIFs: all or nothing for each, and what is plugged already is left alone."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        super().arguments(parser)
        add_move(parser)

    def act_on(self, vifs: Sequence[VIF], arguments: argparse.Namespace) -> int:
        outcomes: Outcomes = []
        for some in batches(range(len(vifs)), "plugging"):
            deadline = self.driver.deadline(arguments.timeout)
            view, wired = self.view, [self.wired[at] for at in some]
            if outcomes:
                # The devices are read again, since this batch must see what earlier ones made.
                ready = [self.ready[at] for at in some]
                good = [each for each in ready if isinstance(each, Ready)]
                view = self.driver.look_again(good, self.view, deadline=deadline)
                wired = self.driver.all_wired(ready, view.host)
            outcomes += self.driver.plug_wired(wired, view, deadline, move=arguments.move)
        return self.show(vifs, outcomes, arguments)


def batches(vifs: Sequence[T], words: str) -> Iterator[Sequence[T]]:
    """Yield VIFs a batch at a time, with a progress bar where many are shown to a person."""
    some = [vifs[at : at + MANY] for at in range(0, len(vifs), MANY)]
    if len(vifs) <= MANY or not sys.stderr.isatty():
        yield from some
        return
    from rich.console import Console
    from rich.progress import Progress

    with drawing(), Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task(words, total=len(vifs))
        for batch in some:
            yield batch
            progress.advance(task, len(batch))
