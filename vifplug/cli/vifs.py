# SPDX-License-Identifier: Apache-2.0
"""What the commands on VIFs share: their files, their options, and how their results are shown."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from typing import Any, ClassVar

from oslo_config import cfg

from vifplug.cli import DONE, FAILED, REFUSED
from vifplug.cli.command import Command
from vifplug.cli.reading import Invalid, read_vifs
from vifplug.driver import GenericVIFDriver, Result
from vifplug.errors import PluginFailed, VifplugError
from vifplug.model.host import VIRT_TYPES, Host
from vifplug.model.vif import VIF
from vifplug.sources import SOURCES
from vifplug.wiring import Plan


def seconds(text: str) -> float:
    """Return a time-out in seconds. Raises ArgumentTypeError."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds up to 3600")
    return value


class VIFCommand(Command):
    """A command on the VIFs of some files."""

    driver: GenericVIFDriver
    host: Host
    tells_host: ClassVar[bool] = True
    needs_files: ClassVar[str] = "+"

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        words = "VIFs as JSON, one object or a list; - is standard input"
        parser.add_argument("files", nargs=self.needs_files, metavar="FILE", help=words)
        words = "whose model FILE holds, if not ours"
        parser.add_argument("--from", dest="source", choices=tuple(SOURCES), help=words)
        words = "how long it may take, instead of the configured timeout"
        parser.add_argument("--timeout", type=seconds, metavar="SECONDS", help=words)
        if self.tells_host:
            parser.add_argument("--libvirt-version", metavar="X.Y.Z", help="take this as found")
            parser.add_argument("--virt-type", choices=VIRT_TYPES, help="take this as found")
            words = "whether this host must apply a firewall"
            action = argparse.BooleanOptionalAction
            parser.add_argument("--firewall", action=action, default=None, help=words)

    def act(self, arguments: argparse.Namespace) -> int:
        self.driver = GenericVIFDriver()
        try:
            vifs = read_vifs(arguments.files, self._check, source=arguments.source)
            if self.tells_host:
                self.host = self._host(arguments, len(vifs))
                if refused := self.driver.refused(vifs, self.host):
                    raise Invalid(refused)
            return self.act_on(vifs, arguments)
        except Invalid as invalid:
            for error in invalid.errors:
                self.complain(error)
            return REFUSED
        finally:
            self.driver.close()

    def _check(self, vif: VIF) -> None:
        try:
            self.driver.plugin(vif)
        except PluginFailed as error:
            # A plugin that is broken fails its own VIFs later, and stops no other; but an option
            # with no good value is whoever's wrote the configuration.
            if isinstance(error.__cause__, cfg.Error):
                raise error.__cause__ from None

    def act_on(self, vifs: Sequence[VIF], arguments: argparse.Namespace) -> int:
        """Do it for VIFs that are all valid."""
        raise NotImplementedError

    def _host(self, arguments: argparse.Namespace, count: int) -> Host:
        """Return the host as found, with what the options tell of it."""
        told = {
            "libvirt_version": arguments.libvirt_version,
            "virt_type": arguments.virt_type,
            "firewall": arguments.firewall,
        }
        given = {name: value for name, value in told.items() if value is not None}
        return self.driver.host(told=given, batch=count >= 8)

    def show(
        self,
        vifs: Sequence[VIF | str],
        outcomes: Sequence[Plan | Result | VifplugError],
        arguments: argparse.Namespace,
    ) -> int:
        """Print what became of each VIF; return FAILED if any failed."""
        if arguments.format == "json":
            both = zip(vifs, outcomes, strict=True)
            self.print_json([row(vif, one) | self.more(one) for vif, one in both])
        for vif, one in zip(vifs, outcomes, strict=True):
            if isinstance(one, VifplugError):
                self.complain(one, vif if isinstance(vif, str) else vif.id)
            elif arguments.format == "text":
                self.show_one(one)
        return FAILED if any(isinstance(one, VifplugError) for one in outcomes) else DONE

    def show_one(self, outcome: Plan | Result) -> None:
        """Print one VIF's outcome for people."""
        if isinstance(outcome, Result):
            words = [outcome.id, outcome.vif_type, outcome.process or "", did(outcome)]
            print("  ".join(word for word in words if word))
        else:
            print(outcome)

    def more(self, outcome: Plan | Result | VifplugError) -> dict[str, Any]:
        """Return what JSON says of an outcome besides."""
        return {}


def did(result: Result) -> str:
    """Return in words what a plug or unplug changed."""
    if not result.changed:
        return "unchanged"
    return f"changed: {', '.join(result.devices)}" if result.devices else "changed"


def row(vif: VIF | str, outcome: Plan | Result | VifplugError) -> dict[str, Any]:
    """Return an outcome as JSON has it; of the VIF at least the id is known."""
    found: dict[str, Any] = {
        "id": vif if isinstance(vif, str) else vif.id,
        "vif_type": None if isinstance(vif, str) else vif.vif_type,
        "process": None,
        "changed": False,
        "devices": [],
        "error": None,
    }
    if isinstance(outcome, VifplugError):
        return found | {"error": str(outcome)}
    if isinstance(outcome, Result):
        return outcome.to_dict()
    process = outcome.owner.process or None
    return found | {
        "process": process,
        "changed": bool(outcome),
        "devices": list(outcome.devices),
    }
