# SPDX-License-Identifier: Apache-2.0
"""``vifplug doctor``: what this host can do, per plugin, and what to mend."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence

from vifplug.cli import DONE, FAILED
from vifplug.cli.checks import of_core, of_modules
from vifplug.cli.command import Command, seconds
from vifplug.driver import GenericVIFDriver
from vifplug.errors import NO_VIF, PLUGIN_ERRORS, PluginFailed, shown
from vifplug.model.host import Host
from vifplug.plugin import Check
from vifplug.registry import SET_ASIDE, EntryClaim

CORE = "vifplug"
_PATIENCE = 5.0
"""Seconds for which it waits for switches, where nobody says: a plug waits longer."""

_TYPE = "vif_type"


class Doctor(Command):
    """Look at what plugs need of this host; exit 1 where something is to be mended."""

    reads_configuration = False  # it has words of its own for what is wrong there

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        words = f"how long libvirt and switches may take to answer (default: {_PATIENCE:g})"
        parser.add_argument(
            "--timeout", type=seconds, metavar="SECONDS", default=_PATIENCE, help=words
        )

    def act(self, arguments: argparse.Namespace) -> int:
        driver = GenericVIFDriver()
        host = driver.whole_host(deadline=driver.deadline(arguments.timeout))
        # Each once: the types of one distribution need much the same.
        found = list(dict.fromkeys(_found(driver, host)))
        if arguments.format == "json":
            self.print_json([{"plugin": name, **vars(check)} for name, check in found])
        else:
            _print(found)
        return DONE if all(check.ok for _, check in found) else FAILED


def _found(driver: GenericVIFDriver, host: Host) -> Iterator[tuple[str, Check]]:
    """Yield every check, with the distribution that it is of."""
    for check in of_core(driver, host):
        yield CORE, check
    claims = driver.registry.claims()
    for claim in claims:
        yield claim.distribution, _claimed(claim)
    plugins = {claim.plugin: claim for claim in claims if claim.plugin}
    for plugin, claim in plugins.items():
        for check in (*_of_plugin(driver, claim, host), *of_modules(plugin, host)):
            yield claim.distribution, check


def _of_plugin(driver: GenericVIFDriver, claim: EntryClaim, host: Host) -> Sequence[Check]:
    """Return a plugin's own checks, with its configured options; or the one that says it fails."""
    try:
        checks = [*driver.registry.plugin(claim.vif_type, vif_id=NO_VIF).doctor(host)]
        strange = [check for check in checks if not isinstance(check, Check)]
        if not strange:
            return checks
        why = f"doctor() returned {shown(strange[0])}, which is no Check"
    except PluginFailed as error:
        why = error.why
    except PLUGIN_ERRORS as error:
        why = f"{type(error).__name__}: {error}"
    mend = f"reinstall or remove {claim.distribution}"
    return [Check(check=f"{_TYPE} {claim.vif_type}", ok=False, detail=why, mend=mend)]


def _claimed(claim: EntryClaim) -> Check:
    return Check(
        check=f"{_TYPE} {claim.vif_type}",
        ok=claim.state in ("ok", SET_ASIDE),
        detail=claim.error or f"{claim.class_name}, {claim.source}",
        mend=claim.mend,
    )


def _print(found: Iterable[tuple[str, Check]]) -> None:
    """Print the checks of each distribution; what is well and has a remedy all the same is a note.

    A distribution's vif_types that are well share a line.
    """
    found = list(found)
    for name in dict.fromkeys(name for name, _ in found):
        print(name)
        checks = [check for plugin, check in found if plugin == name]
        types = [check for check in checks if check.ok and check.check.startswith(f"{_TYPE} ")]
        if types:
            words = ", ".join(check.check.removeprefix(f"{_TYPE} ") for check in types)
            print(f"  ok    {'vif_types':18}  {words}")
        for check in (check for check in checks if check not in types):
            word = ("note" if check.mend else "ok") if check.ok else "MEND"
            print(f"  {word:4}  {check.check:18}  {check.detail}")
            if check.mend:
                print(f"        {'':18}  mend: {check.mend}")
