# SPDX-License-Identifier: Apache-2.0
"""What the commands on a guest's domain share: libvirt, and the guest that they are about."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from oslo_config import cfg

from vifplug import opts
from vifplug.cli.reading import Invalid, Rejected
from vifplug.cli.vifs import VIFCommand
from vifplug.domains import LIVE, PERSISTENT, Domains, Guest, opened
from vifplug.errors import VifplugError
from vifplug.guest import splice
from vifplug.model.host import VIRT_TYPES
from vifplug.model.vif import VIF
from vifplug.plan.wired import Wired
from vifplug.sources import libvirt, metadata
from vifplug.sources.domain import Domain


def instance_of(domain: Domain) -> Mapping[str, Any]:
    """Return a guest as the instance of its VIFs."""
    found = {"name": domain.name, "uuid": domain.uuid}
    return {name: value for name, value in found.items() if value is not None}


def wanted_of(wired: Iterable[Wired], known: Mapping[str, VIF]) -> list[splice.Wanted]:
    """Return VIFs with their interfaces; ``known`` are those that the domain has, by id."""
    return [
        splice.Wanted(vif=each.vif, interface=each.wiring.interface, before=known.get(each.vif.id))
        for each in wired
    ]


def connected(timeout: float | None) -> AbstractContextManager[Domains]:
    """Return a context of the domains of this host's libvirt, which may be changed."""
    group = opts.register(cfg.CONF)
    seconds = group.timeout if timeout is None else timeout
    return opened(group.libvirt_uri, time.monotonic() + seconds)


class GuestCommand(VIFCommand):
    """A command on VIFs and the guest that has them."""

    everywhere = False
    domains: Domains
    guest: Guest
    domain: Domain
    known: Mapping[str, VIF]

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        words = "the guest's name, or its UUID, as libvirt knows it"
        parser.add_argument("guest", metavar="GUEST", help=words)
        super().arguments(parser)

    def act(self, arguments: argparse.Namespace) -> int:
        with connected(arguments.timeout) as self.domains:
            self.guest = self.domains.guest(arguments.guest)
            kinds = self.guest.kinds
            self.domain = self.guest.read(PERSISTENT if PERSISTENT in kinds else LIVE)
            self.known = libvirt.known(self.domain)
            self.instance = instance_of(self.domain)
            if arguments.virt_type is None and self.domain.virt_type in VIRT_TYPES:
                arguments.virt_type = self.domain.virt_type
            return super().act(arguments)

    @property
    def good(self) -> list[Wired]:
        """The VIFs, wired for this host. Raises the error of the first that can't be."""
        found = []
        for each in self.wired:
            if isinstance(each, VifplugError):
                raise each
            found.append(each)
        return found

    def wanted(self) -> list[splice.Wanted]:
        """Return the VIFs with their interfaces. Raises as :attr:`good`."""
        return wanted_of(self.good, self.known)

    def require_no_other(self, vifs: Sequence[VIF]) -> None:
        """Raise Invalid for VIFs that another guest of this host has."""
        ids = {vif.id: vif for vif in vifs}
        errors = []
        for guest in self.domains.guests():
            if guest.name == self.guest.name:
                continue
            for domain in map(guest.read, guest.kinds):
                try:
                    theirs = {entry.id for entry in metadata.entries(domain)}
                except VifplugError:
                    continue  # another version's: its guest's matter
                errors += [
                    Rejected(error=splice.refuse_other(domain, ids[vif_id]),
                             file=self.files.get(vif_id, ""))
                    for vif_id in ids if vif_id in theirs
                ]  # fmt: skip
        if errors:
            raise Invalid(errors, ())
