# SPDX-License-Identifier: Apache-2.0
"""``vifplug list``: what this host has plugged, and whose it is."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from vifplug.cli import DONE, FAILED
from vifplug.cli.command import Command, add_timeout
from vifplug.cli.streams import printable
from vifplug.driver import GenericVIFDriver
from vifplug.picture.guides import Branch, guided
from vifplug.plan.inventory import Inventory
from vifplug.plan.plugged import Plugged, short_ids

LOG = logging.getLogger(__name__)

_ASCII = str.maketrans("└├│─", "`||-")
_HEAD = ("GUEST", "VIF", "MAC", "TYPE", "BRIDGE", "VLAN", "DEVICE", "STATE")


class List(Command):
    """Print what this host has plugged: a table of VIFs, then unused devices of ours."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        add_timeout(parser)
        words = "print a tree of bridges, VIFs and their devices"
        parser.add_argument("--tree", action="store_true", help=words)
        parser.add_argument("--guest", help="only the VIFs of this guest, by its name or uuid")
        parser.add_argument("--bridge", help="only the VIFs on this bridge")
        words = "only VIFs that no guest has"
        parser.add_argument("--orphaned", action="store_true", help=words)
        words = "only VIFs that another program has changed"
        parser.add_argument("--drift", action="store_true", help=words)

    def act(self, arguments: argparse.Namespace) -> int:
        found = GenericVIFDriver().inventory(timeout=arguments.timeout)
        warn_of(found)
        vifs = [one for one in found.vifs if _is_asked_for(one, arguments)]
        if arguments.format == "json":
            self.print_json([one.to_dict() for one in vifs])
        elif arguments.tree:
            print_tree(tree(vifs))
        else:
            print_table(vifs)
        narrowed = len(vifs) < len(found.vifs)
        if arguments.format == "text" and found.unused and not narrowed:
            print(f"also made here, unused: {', '.join(found.unused)} (vifplug gc removes it)")
        return FAILED if found.failures else DONE


def warn_of(found: Inventory) -> None:
    """Warn of what an inventory lacks."""
    for text in found.warnings:
        LOG.warning("%s", text)


def _is_asked_for(one: Plugged, arguments: argparse.Namespace) -> bool:
    states = {
        state
        for state, asked in (("orphan", arguments.orphaned), ("drift", arguments.drift))
        if asked
    }
    instance = one.vif.instance.uuid if one.vif else None
    uuid = one.interface.uuid if one.interface else instance
    return (
        (not states or one.state in states)
        and (arguments.guest is None or arguments.guest in (one.guest, uuid))
        and (arguments.bridge is None or one.bridge == arguments.bridge)
    )


def print_table(plugged: Sequence[Plugged]) -> None:
    """Print a row for each VIF, those of one guest together."""
    if not plugged:
        return
    short = short_ids([one.id for one in plugged])
    ordered = sorted(plugged, key=lambda one: (one.guest is None, one.guest or "", one.id))
    rows = [_HEAD, *(_row(one, short[one.id]) for one in ordered)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD) - 1)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True))
        print("  ".join(cells).rstrip())


def _row(one: Plugged, short: str) -> tuple[str, ...]:
    vlan = "" if one.vlan is None else str(one.vlan)
    where = (one.vif_type, one.bridge, vlan, one.device)
    cells = (one.guest, short, one.address, *where, one.words)
    # A guest's name may be anything.
    return tuple(printable(cell or "-") for cell in cells)


def print_tree(text: str) -> None:
    """Print a tree, with guides that standard output has letters for."""
    try:
        text.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        text = text.translate(_ASCII)
    print(text, end="")


def tree(plugged: Sequence[Plugged]) -> str:
    """Return what is plugged as text: each bridge with its VIFs, each VIF with its devices."""
    branches = []
    for bridge in sorted({one.bridge for one in plugged}, key=lambda name: name or ""):
        on = [one for one in plugged if one.bridge == bridge]
        branches.append(Branch(bridge or "no bridge", [_branch(one) for one in on]))
    return guided(branches)


def _branch(one: Plugged) -> Branch:
    words = (one.id, one.vif_type, one.process, one.guest, one.words)
    text = "  ".join(printable(word) for word in words if word)
    return Branch(text, [Branch(name) for name in one.devices])
