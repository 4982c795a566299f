# SPDX-License-Identifier: Apache-2.0
"""``vifplug unplug``: remove all that is a VIF's, by its file or by its id alone."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from vifplug.cli import REFUSED
from vifplug.cli.ids import whole
from vifplug.cli.plug import batches
from vifplug.cli.vifs import VIFCommand
from vifplug.driver import Outcomes
from vifplug.model.vif import VIF


class Unplug(VIFCommand):
    """Unplug VIFs: all that carries their mark goes; what is gone already is no error."""

    tells_host = False
    needs_files = "*"

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        super().arguments(parser)
        words = "unplug by id, without a file; may be repeated"
        parser.add_argument(
            "--force", action="store_true", help="unplug a VIF although its guest holds it"
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="print what would be removed, change nothing"
        )
        parser.add_argument("--id", dest="ids", action="append", default=[], help=words)

    def act(self, arguments: argparse.Namespace) -> int:
        if not arguments.files and not arguments.ids:
            self.app.stderr.write("vifplug unplug: FILE or --id is missing\n")
            return REFUSED
        return super().act(arguments)

    def act_on(self, vifs: Sequence[VIF], arguments: argparse.Namespace) -> int:
        ids = whole(arguments.ids, self.driver, arguments.timeout)
        names = [*ids, *(vif.id for vif in vifs)]
        if arguments.dry_run:
            plans = self.driver.plan_unplug(
                [*ids, *vifs], timeout=arguments.timeout, force=arguments.force
            )
            return self.show(names, plans, arguments)
        outcomes: Outcomes = []
        if ids:
            outcomes += self.driver.unplug_ids(
                ids, timeout=arguments.timeout, force=arguments.force
            )
        for some in batches(vifs, "unplugging"):
            pairs = [(None, vif) for vif in some]
            outcomes += self.driver.unplug_all(
                pairs, timeout=arguments.timeout, force=arguments.force
            )
        return self.show(names, outcomes, arguments)
