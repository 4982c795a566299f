# SPDX-License-Identifier: Apache-2.0
"""``vifplug gc``: remove what no VIF of a list, or no guest of this host, has."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from vifplug.cli import DONE, FAILED, REFUSED
from vifplug.cli.command import BLANK, Command, failed, problem, seconds
from vifplug.cli.keeping import read_ids
from vifplug.cli.reading import Invalid
from vifplug.cli.vifs import add_source
from vifplug.driver import GenericVIFDriver
from vifplug.plan.inventory import Collected
from vifplug.plan.removal import Removal
from vifplug.result import Result


class Gc(Command):
    """Remove devices, rows and claims of VIFs that are not kept, and unused devices of ours.

    Without --keep and --libvirt no VIF goes.
    """

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        kept = parser.add_mutually_exclusive_group()
        words = "keep the VIFs of FILE: VIFs or ids as JSON; or a folder, as apply has it"
        kept.add_argument("--keep", action="append", default=[], metavar="FILE", help=words)
        words = "keep the VIFs of this host's guests: running, shut off or saved"
        kept.add_argument("--libvirt", action="store_true", help=words)
        add_source(parser)
        words = "also what os-vif, Nova and libvirt left; needs --keep or --libvirt"
        parser.add_argument("--foreign", action="store_true", help=words)
        words = "also where nothing of this host is kept"
        parser.add_argument("--all", action="store_true", help=words)
        words = "print what would be removed, change nothing"
        parser.add_argument("--dry-run", action="store_true", help=words)
        words = "remove a VIF although a process holds it"
        parser.add_argument("--force", action="store_true", help=words)
        words = "how long each 128 VIFs may take, instead of the configured timeout"
        parser.add_argument("--timeout", type=seconds, metavar="SECONDS", help=words)

    def act(self, arguments: argparse.Namespace) -> int:
        if arguments.foreign and not (arguments.keep or arguments.libvirt):
            self.app.stderr.write("vifplug gc: --foreign needs --keep or --libvirt\n")
            return REFUSED
        driver = GenericVIFDriver()
        try:
            keep = read_ids(arguments.keep, source=arguments.source) if arguments.keep else None
            collected = driver.gc(
                keep,
                libvirt=arguments.libvirt,
                foreign=arguments.foreign,
                everything=arguments.all,
                dry_run=arguments.dry_run,
                force=arguments.force,
                timeout=arguments.timeout,
            )
        except Invalid as invalid:
            for each in invalid.errors:
                self.complain(each.error, file=each.file)
            if arguments.format == "json":
                self.print_rows([failed(each.error, file=each.file) for each in invalid.errors])
            return REFUSED
        finally:
            driver.close()
        return self._show(collected, arguments)

    def _show(self, collected: Sequence[Collected], arguments: argparse.Namespace) -> int:
        if arguments.format == "json":
            self.print_rows([_row(each) for each in collected])
        for each in collected:
            if each.error:
                self.complain(each.error, each.id or "")
            elif arguments.format == "text":
                print(each.removal)
        if not collected and arguments.format == "text":
            print("nothing to remove")
        return FAILED if any(each.error for each in collected) else DONE


def _row(each: Collected) -> dict[str, Any]:
    """Return what went, or would go, as ``unplug`` does; and the steps."""
    removal = each.removal if isinstance(each.removal, Removal) else None
    done = each.outcome if isinstance(each.outcome, Result) else None
    operations = removal.operations if removal and not each.error else ()
    removed = done.removed if done else removal.removed if removal and not each.error else ()
    return {
        **BLANK,
        "id": each.id,
        "vif_type": (each.plugged.vif_type or None) if each.plugged else None,
        "process": each.plugged.process if each.plugged else None,
        "guest": each.plugged.guest if each.plugged else None,
        "changed": done.changed if done else bool(operations),
        "removed": list(removed),
        "steps": [str(operation) for operation in operations],
        "error": str(each.error) if each.error else None,
        "problem": problem(each.error) if each.error else None,
    }
