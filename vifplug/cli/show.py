# SPDX-License-Identifier: Apache-2.0
"""``vifplug show``: everything of one VIF."""

from __future__ import annotations

import argparse
import json
from typing import Any

from vifplug.cli import DONE, FAILED
from vifplug.cli.command import Command, add_timeout
from vifplug.cli.ids import the_one
from vifplug.cli.list import warn_of
from vifplug.cli.streams import printable
from vifplug.driver import GenericVIFDriver
from vifplug.plan.compare import Plan
from vifplug.plan.details import Details


class Show(Command):
    """Print all of one VIF: guest, parts and claims on the host, and its XML, live and wanted."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        words = "the VIF's id, or its first 4 or more characters"
        parser.add_argument("id", metavar="ID", help=words)
        add_timeout(parser)

    def act(self, arguments: argparse.Namespace) -> int:
        driver = GenericVIFDriver()
        found = driver.inventory(timeout=arguments.timeout)
        warn_of(found)
        vif_id = the_one(arguments.id, [one.id for one in found.vifs])
        details = driver.details(found, vif_id, timeout=arguments.timeout)
        if arguments.format == "json":
            self.print_rows([_row(details)])
        else:
            _print(details)
        if error := details.checked.error:
            self.complain(error, vif_id)
        return FAILED if error or found.failures else DONE


def _row(details: Details) -> dict[str, Any]:
    plan = details.checked.plan
    error = details.checked.error
    return {
        **details.checked.plugged.to_dict(),
        "error": str(error) if error else None,
        "links": [dict(zip(("name", "words"), each, strict=True)) for each in details.links],
        "claims": [dict(zip(("on", "claim"), each, strict=True)) for each in details.claims],
        "ports": list(details.ports),
        "steps": [step.to_dict() for step in plan.steps] if isinstance(plan, Plan) else [],
        "stale": list(plan.stale) if isinstance(plan, Plan) else [],
        "vif": details.vif.to_dict() if details.vif else None,
        "xml": details.xml,
        "live_xml": details.live_xml,
    }


def _print(details: Details) -> None:
    one = details.checked.plugged
    print("  ".join(word for word in (one.id, one.vif_type, one.process) if word))
    rows = [
        ("guest", details.guest),
        ("state", one.words),
        ("address", one.address),
        ("bridge", one.bridge),
        ("VLAN", one.vlan),
        *(("device", f"{name}  {words}") for name, words in details.links),
        *(("port", text) for text in details.ports),
        *(("claim", f"{on}  {claim}") for on, claim in details.claims),
    ]
    for name, value in rows:
        print(printable(f"  {name:8}  {'-' if value is None else value}"))
    plan = details.checked.plan
    if isinstance(plan, Plan) and plan:
        _block("as it should be", str(plan).partition("\n")[2])
    if details.vif:
        _block("VIF, as it was plugged", json.dumps(details.vif.to_dict(), indent=2))
    if details.live_xml:
        _block("XML, as its guest has it", details.live_xml)
    if details.xml:
        _block("XML, as it would be rendered", details.xml)


def _block(title: str, text: str) -> None:
    print(f"\n{title}:")
    for line in text.rstrip().splitlines():
        print(printable(f"  {line}").rstrip())
