# SPDX-License-Identifier: Apache-2.0
"""``vifplug list``: what this host has plugged."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from vifplug.cli import DONE, FAILED
from vifplug.cli.command import Command, seconds
from vifplug.driver import GenericVIFDriver
from vifplug.plan.plugged import Plugged

LOG = logging.getLogger(__name__)

_ASCII = str.maketrans("└├│─", "`||-")


class List(Command):
    """Print what this host has plugged, as a tree of bridges, VIFs and their devices."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        words = "how long it may take, instead of the configured timeout"
        parser.add_argument("--timeout", type=seconds, metavar="SECONDS", help=words)

    def act(self, arguments: argparse.Namespace) -> int:
        found, failures = GenericVIFDriver().listing(timeout=arguments.timeout)
        for failure in failures:
            LOG.warning("%s: what it has is missing here", failure)
        if arguments.format == "json":
            self.print_json([one.to_dict() for one in found])
        else:
            print_tree(found)
        return FAILED if failures else DONE


def print_tree(plugged: Sequence[Plugged]) -> None:
    """Print what is plugged, with guides that standard output has letters for."""
    text = tree(plugged)
    try:
        text.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        text = text.translate(_ASCII)
    print(text, end="")


def tree(plugged: Sequence[Plugged]) -> str:
    """Return what is plugged as text: each bridge with its VIFs, each VIF with its devices."""
    lines = []
    for bridge in sorted({one.bridge for one in plugged}, key=lambda name: name or ""):
        on = [one for one in plugged if one.bridge == bridge]
        lines.append(bridge or "no bridge")
        for one in on:
            last = one is on[-1]
            process = f"  {one.process}" if one.process else ""
            use = "in use" if one.in_use else "not in use"
            drift = "".join(f"  drift: {each}" for each in one.drift)
            words = f"{one.id}  {one.vif_type}{process}  {use}{drift}"
            lines.append(f"{'└─' if last else '├─'} {words}")
            bar = "   " if last else "│  "
            lines += [f"{bar}{'└─' if d == one.devices[-1] else '├─'} {d}" for d in one.devices]
    return "".join(f"{line}\n" for line in lines)
