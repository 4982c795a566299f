# SPDX-License-Identifier: Apache-2.0
"""``vifplug plug``: make the host connect VIFs."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Iterator, Sequence

from vifplug.cli.vifs import VIFCommand
from vifplug.model.vif import VIF
from vifplug.query.links import RunningLinks

MANY = 50
"""From so many VIFs on, a terminal sees a progress bar; so many are plugged in one go."""


class Plug(VIFCommand):
    """Plug VIFs: all or nothing for each, and what is plugged already is left alone."""

    def act_on(self, vifs: Sequence[VIF], arguments: argparse.Namespace) -> int:
        outcomes = []
        for some in batches(vifs, "plugging"):
            # What a batch before made must be seen: the devices are read anew.
            host = dataclasses.replace(self.host, links=RunningLinks())
            pairs = [(None, vif) for vif in some]
            outcomes += self.driver.plug_all(pairs, timeout=arguments.timeout, host=host)
        return self.show(vifs, outcomes, arguments)


def batches(vifs: Sequence[VIF], words: str) -> Iterator[Sequence[VIF]]:
    """Yield VIFs a batch at a time, with a progress bar where many are shown to a person."""
    some = [vifs[at : at + MANY] for at in range(0, len(vifs), MANY)]
    if len(vifs) <= MANY or not sys.stderr.isatty():
        yield from some
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task(words, total=len(vifs))
        for batch in some:
            yield batch
            progress.advance(task, len(batch))
