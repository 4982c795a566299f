# SPDX-License-Identifier: Apache-2.0
"""``vifplug export``: the VIFs of this host's guests, as files or as one list."""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path
from typing import Any

from vifplug.cli import DONE, FAILED
from vifplug.cli.command import Command, add_timeout
from vifplug.cli.domain import connected
from vifplug.domains import LIVE, Guest
from vifplug.errors import InvalidVIF, VifplugError
from vifplug.sources import libvirt, metadata

LOG = logging.getLogger(__name__)


class Export(Command):
    """Write the VIFs of this host's guests, from metadata and hand-made interfaces."""

    formats = False

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        words = "only this guest's; may be repeated"
        parser.add_argument("--guest", action="append", metavar="G", help=words)
        words = "write a file GUEST.json for each guest into DIR, instead of one list"
        parser.add_argument("-o", "--output", type=Path, metavar="DIR", help=words)
        add_timeout(parser)

    def act(self, arguments: argparse.Namespace) -> int:
        every: dict[str, list[dict[str, Any]]] = {}
        failed = False
        with connected(arguments.timeout) as domains:
            names = arguments.guest
            guests = [domains.guest(name) for name in names] if names else domains.guests()
            for guest in guests:
                found, errors = _vifs(guest)
                for error in errors:
                    self.complain(error)
                failed = failed or bool(errors)
                if found or names:
                    every[guest.name] = found
        if arguments.output is None:
            self.print_json([vif for vifs in every.values() for vif in vifs])
        else:
            arguments.output.mkdir(parents=True, exist_ok=True)
            for name, vifs in every.items():
                # A guest's name may hold a slash.
                path = arguments.output / f"{name.replace('/', '_')}.json"
                path.write_text(json.dumps(vifs, indent=2) + "\n")
                print(path)
        return FAILED if failed else DONE


def _vifs(guest: Guest) -> tuple[list[dict[str, Any]], list[VifplugError]]:
    """Return the VIFs of a guest as it runs, or as it will start, and the errors."""
    found: list[dict[str, Any]] = []
    errors: list[VifplugError] = []
    try:
        kinds = guest.kinds
        domain = guest.read(LIVE if LIVE in kinds else kinds[0])
        has_metadata = metadata.vifs_element(domain) is not None
        for place, part in libvirt.vifs_of(domain):
            try:
                found.append(libvirt.vif_of(part).to_dict())
            except InvalidVIF as error:
                if has_metadata:
                    errors.append(error)
                else:
                    LOG.warning("%s: no VIF: %s", place, error)
    except VifplugError as error:
        errors.append(error)
    return found, errors
