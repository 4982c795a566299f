# SPDX-License-Identifier: Apache-2.0
"""What the commands on VIFs share: their files, their options, and how their results are shown."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from oslo_config import cfg

from vifplug.cli import DONE, FAILED, REFUSED
from vifplug.cli.command import BLANK, Command, add_timeout, failed, problem
from vifplug.cli.reading import Given, Invalid, Rejected, read_vifs
from vifplug.driver import GenericVIFDriver, Result, View
from vifplug.errors import InvalidVIF, PluginFailed, VifplugError
from vifplug.model.host import VIRT_TYPES
from vifplug.model.vif import VIF
from vifplug.plan.compare import Plan
from vifplug.plan.removal import Removal
from vifplug.plan.wired import Ready, Wired
from vifplug.query.facts import assumed
from vifplug.sources import SOURCES

LOG = logging.getLogger(__name__)

Outcome = Plan | Removal | Result | VifplugError
"""What became of a VIF, or would become of it."""


def add_move(parser: argparse.ArgumentParser) -> None:
    """Add the option of the commands that may bring a VIF over."""
    words = "bring over a VIF that is plugged by another vif_type or on another bridge"
    parser.add_argument("--move", action="store_true", help=words)


def add_source(parser: argparse.ArgumentParser) -> None:
    """Add the option of the commands whose files may hold another system's model."""
    words = "whose model FILE holds, if not ours"
    parser.add_argument("--from", dest="source", choices=tuple(SOURCES), help=words)


def add_host(parser: argparse.ArgumentParser) -> None:
    """Add the options that tell facts of the host, which are looked up otherwise."""
    parser.add_argument("--libvirt-version", metavar="X.Y.Z", help="take this as found")
    parser.add_argument("--virt-type", choices=VIRT_TYPES, help="take this as found")
    words = "whether this host must apply a firewall"
    action = argparse.BooleanOptionalAction
    parser.add_argument("--firewall", action=action, default=None, help=words)


class VIFCommand(Command):
    """A command on the VIFs of some files."""

    driver: GenericVIFDriver
    ready: list[Ready | VifplugError]
    files: Mapping[str, str]
    view: View
    wired: list[Wired | VifplugError]
    instance: Mapping[str, Any] | None = None
    tells_host: ClassVar[bool] = True
    everywhere: ClassVar[bool] = True
    needs_files: ClassVar[str] = "+"

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        words = "VIFs as JSON, one object or a list; - is standard input"
        parser.add_argument("files", nargs=self.needs_files, metavar="FILE", help=words)
        add_source(parser)
        add_timeout(parser)
        if self.tells_host:
            add_host(parser)

    def act(self, arguments: argparse.Namespace) -> int:
        self.driver = GenericVIFDriver()
        self.files = {}
        try:
            found = self.read(arguments)
            vifs = [given.vif for given in found]
            self.ready = [given.checked for given in found]
            self.files = {given.vif.id: given.file for given in found}
            if self.tells_host:
                self.view = self._look(arguments)
                self.wired = self.driver.all_wired(self.ready, self.view.host)
                self._require_valid(vifs)
            return self.act_on(vifs, arguments)
        except Invalid as invalid:
            self._refuse(invalid, as_json=self.formats and arguments.format == "json")
            return REFUSED
        finally:
            self.driver.close()

    def read(self, arguments: argparse.Namespace) -> list[Given[Ready | VifplugError]]:
        """Return the VIFs of the input, each as its plugin checked it. Raises Invalid."""
        return read_vifs(arguments.files, self.checked, source=arguments.source)

    def _require_valid(self, vifs: Sequence[VIF]) -> None:
        """Raise Invalid where VIFs can't be wired for this host as they are."""
        pairs = [*zip(vifs, self.wired, strict=True)]
        refused = [
            Rejected(error=error, file=self.files[vif.id])
            for vif, error in pairs
            if isinstance(error, InvalidVIF)
        ]
        if refused:
            good = [vif for vif, wired in pairs if not isinstance(wired, InvalidVIF)]
            raise Invalid(refused, good)

    def _refuse(self, invalid: Invalid, *, as_json: bool) -> None:
        """Tell of an input in which some VIFs are invalid: nothing was touched."""
        for rejected in invalid.errors:
            self.complain(rejected.error, file=rejected.file)
        if as_json:
            rows = [failed(each.error, file=each.file) for each in invalid.errors]
            rows += [row(vif, None) for vif in invalid.vifs]
            self.print_rows([each | self.more(None) for each in rows])

    def checked(self, vif: VIF) -> Ready | VifplugError:
        """Return a VIF checked by its plugin; a broken plugin's error comes later, with its VIF."""
        try:
            return self.driver.ready(self.instance, vif)
        except PluginFailed as error:
            # An option with no good value concerns the whole configuration.
            if isinstance(error.__cause__, cfg.Error):
                raise error.__cause__ from None
            return error

    def act_on(self, vifs: Sequence[VIF], arguments: argparse.Namespace) -> int:
        """Do it for VIFs that are all valid."""
        raise NotImplementedError

    def _look(self, arguments: argparse.Namespace) -> View:
        """Return the host as found, with what the options tell of it."""
        options = {
            "libvirt_version": arguments.libvirt_version,
            "virt_type": arguments.virt_type,
            "firewall": arguments.firewall,
        }
        told = {name: value for name, value in options.items() if value is not None}
        good = [ready for ready in self.ready if isinstance(ready, Ready)]
        deadline = self.driver.deadline(arguments.timeout)
        view = self.driver.look(good, told=told, deadline=deadline, everywhere=self.everywhere)
        if good and (words := assumed(view.host)):
            LOG.warning("%s", words)
        return view

    def show(
        self,
        vifs: Sequence[VIF | str],
        outcomes: Sequence[Outcome],
        arguments: argparse.Namespace,
    ) -> int:
        """Print what became of each VIF; return FAILED if any failed."""
        if arguments.format == "json":
            both = zip(vifs, outcomes, strict=True)
            self.print_rows([self._row(vif, one) | self.more(one) for vif, one in both])
        for vif, one in zip(vifs, outcomes, strict=True):
            if isinstance(one, VifplugError):
                self.complain(one, vif if isinstance(vif, str) else vif.id)
            elif arguments.format == "text":
                self.show_one(one)
        return FAILED if any(isinstance(one, VifplugError) for one in outcomes) else DONE

    def _row(self, vif: VIF | str, outcome: Outcome) -> dict[str, Any]:
        found = row(vif, outcome)
        if isinstance(outcome, VifplugError):
            found["problem"] = problem(outcome, file=self.files.get(found["id"]))
        if isinstance(outcome, Plan):
            found["warnings"] = list(outcome.notes)
        return found

    def show_one(self, outcome: Plan | Removal | Result) -> None:
        """Print one VIF's outcome for people."""
        if isinstance(outcome, Result):
            words = [outcome.id, outcome.vif_type, outcome.process or "", did(outcome)]
            print("  ".join(word for word in words if word))
        else:
            print(outcome)

    def more(self, outcome: Outcome | None) -> dict[str, Any]:
        """Return what JSON says of an outcome besides."""
        return {}


def did(result: Result) -> str:
    """Return in words what a plug or unplug changed."""
    if not result.changed:
        return "unchanged"
    did = {"made ": result.made, "removed ": result.removed}
    if words := [word + ", ".join(names) for word, names in did.items() if names]:
        return f"changed: {'; '.join(words)}"
    return f"changed: {', '.join(result.devices)}" if result.devices else "changed"


def row(vif: VIF | str, outcome: Outcome | None) -> dict[str, Any]:
    """Return an outcome as JSON has it; of the VIF at least the id is known.

    None: nothing was done, because of other VIFs.
    """
    found: dict[str, Any] = {
        **BLANK,
        "id": vif if isinstance(vif, str) else vif.id,
        "vif_type": None if isinstance(vif, str) else vif.vif_type,
    }
    if isinstance(outcome, VifplugError):
        return found | {"error": str(outcome)}
    if isinstance(outcome, Result):
        return outcome.to_dict()
    if isinstance(outcome, Removal):
        told = {"changed": bool(outcome), "removed": list(outcome.removed)}
        return found | told | {"vif_type": outcome.vif_type or None}
    if outcome is None:
        return found
    process = outcome.owner.process or None
    return found | {
        "process": process,
        "changed": bool(outcome.operations),
        "devices": list(outcome.devices),
    }
