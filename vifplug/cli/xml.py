# SPDX-License-Identifier: Apache-2.0
"""``vifplug xml``: libvirt's ``<interface>`` of VIFs, alone or in a domain; no other output."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from vifplug.cli import DONE, FAILED, REFUSED
from vifplug.cli.domain import instance_of, wanted_of
from vifplug.cli.reading import STDIN, Given, Invalid, Rejected, read_domain, read_raw
from vifplug.cli.vifs import VIFCommand
from vifplug.errors import InvalidVIF, VifplugError
from vifplug.guest import splice
from vifplug.model.vif import VIF
from vifplug.plan.wired import Ready, Wired
from vifplug.sources import libvirt
from vifplug.sources.domain import Domain, parse


class Xml(VIFCommand):
    """Print libvirt's <interface> of each VIF, one after the other. Changes nothing."""

    formats = False
    everywhere = False
    needs_files = "*"
    domain: Domain | None = None

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        super().arguments(parser)
        words = (
            "print this domain instead, each VIF's <interface> changed only in what its plugin "
            "decides; without FILE the VIFs are those of its metadata"
        )
        parser.add_argument("--into", metavar="DOMAIN.XML", help=words)

    def act(self, arguments: argparse.Namespace) -> int:
        if not arguments.files and not arguments.into:
            self.app.stderr.write("vifplug xml: FILE or --into is missing\n")
            return REFUSED
        if arguments.into:
            if arguments.into == STDIN and STDIN in arguments.files:
                self.app.stderr.write("vifplug xml: - is given twice\n")
                return REFUSED
            self.domain = parse(read_raw(arguments.into))
            self.instance = instance_of(self.domain)
        return super().act(arguments)

    def read(self, arguments: argparse.Namespace) -> list[Given[Ready | VifplugError]]:
        if self.domain is not None and not arguments.files:
            return read_domain(self.domain.data, arguments.into, self.checked)
        return super().read(arguments)

    def act_on(self, vifs: Sequence[VIF], arguments: argparse.Namespace) -> int:
        good = [wired for wired in self.wired if isinstance(wired, Wired)]
        bad = [wired for wired in self.wired if isinstance(wired, VifplugError)]
        if self.domain is not None and not bad:
            self._print_domain(self.domain, good, arguments)
        else:
            for wired in good if self.domain is None else ():
                print(wired.wiring.interface.to_xml())
        for error in bad:
            self.complain(error)
        return FAILED if bad else DONE

    def _print_domain(
        self, domain: Domain, wired: Sequence[Wired], arguments: argparse.Namespace
    ) -> None:
        """Print the domain with the VIFs. Raises Invalid."""
        wanted = wanted_of(wired, libvirt.known(domain))
        errors = []
        for each in wanted:
            try:
                splice.into(domain, [each])
            except InvalidVIF as error:
                errors.append(Rejected(error=error, file=self.files.get(each.vif.id, "")))
        if errors:
            raise Invalid(errors, ())
        sys.stdout.flush()
        sys.stdout.buffer.write(splice.into(domain, wanted))
        sys.stdout.buffer.flush()
