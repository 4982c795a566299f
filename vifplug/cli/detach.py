# SPDX-License-Identifier: Apache-2.0
"""``vifplug detach``: take VIFs from a guest, wait until it has let go, and unplug them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace

from vifplug.cli.command import add_timeout
from vifplug.cli.domain import connected
from vifplug.cli.ids import SHORTEST, the_one
from vifplug.cli.vifs import VIFCommand
from vifplug.domains import LIVE, Domains, Guest, Kind
from vifplug.driver import GenericVIFDriver
from vifplug.errors import InUse, LibvirtError, VifplugError
from vifplug.guest import splice
from vifplug.model.vif import VIF
from vifplug.result import Outcomes, Result
from vifplug.sources import libvirt, metadata
from vifplug.sources.domain import Domain


class Detach(VIFCommand):
    """Take VIFs from a guest, as it runs and as it will start, and unplug them."""

    domains: Domains
    guest: Guest

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        words = "the guest's name, or its UUID, as libvirt knows it"
        parser.add_argument("guest", metavar="GUEST", help=words)
        words = f"a VIF's id, or its first {SHORTEST} or more characters"
        parser.add_argument("ids", nargs="+", metavar="ID", help=words)
        add_timeout(parser)

    def act(self, arguments: argparse.Namespace) -> int:
        self.files = {}
        self.driver = GenericVIFDriver()
        try:
            with connected(arguments.timeout) as self.domains:
                self.guest = self.domains.guest(arguments.guest)
                every = {kind: self.guest.read(kind) for kind in self.guest.kinds}
                ids = [_whole(start, self.guest.name, every) for start in arguments.ids]
                outcomes: Outcomes = []
                for vif_id in dict.fromkeys(ids):
                    try:
                        outcomes.append(self._detached(vif_id, every))
                    except VifplugError as error:
                        outcomes.append(error)
            return self.show([*dict.fromkeys(ids)], outcomes, arguments)
        finally:
            self.driver.close()

    def _detached(self, vif_id: str, every: Mapping[Kind, Domain]) -> Result | VifplugError:
        """Take a VIF from the guest; what is persistent only once the guest has let go."""
        vif: VIF | None = None
        changed = False
        for kind in sorted(every, key=lambda kind: not kind.live):
            vif = vif or libvirt.known(every[kind]).get(vif_id)
            changed = self._taken(vif_id, kind) or changed
        outcome = self._unplugged(vif_id, vif)
        if isinstance(outcome, Result) and changed and not outcome.changed:
            return replace(outcome, changed=True)
        return outcome

    def _taken(self, vif_id: str, kind: Kind) -> bool:
        """Take a VIF from one of the guest's domains; return whether it was there."""
        domain = self.guest.read(kind)
        old = list(metadata.entries(domain))
        address = next((each.address for each in old if each.id == vif_id), "")
        nic = libvirt.interface_of(domain, vif_id, address)
        if nic is not None:
            self._let_go(vif_id, address, domain.raw(nic).decode(), kind)
        new = splice.merged(old, (), without=vif_id)
        if new != old:
            self.guest.write(new, kind)
        return nic is not None or new != old

    def _let_go(self, vif_id: str, address: str, nic: str, kind: Kind) -> None:
        try:
            self.guest.detach(nic, kind)
        except LibvirtError:
            # An earlier request may still wait for the guest. libvirt takes no second one then.
            if not kind.live:
                raise
        if not kind.live:
            return
        if not self.domains.wait_for(lambda: self._is_gone(vif_id, address)):
            words = f"{self.guest.name} does not let go; still plugged"
            raise LibvirtError(f"VIF {vif_id}", words)

    def _is_gone(self, vif_id: str, address: str) -> bool:
        return libvirt.interface_of(self.guest.read(LIVE), vif_id, address) is None

    def _unplugged(self, vif_id: str, vif: VIF | None) -> Result | VifplugError:
        """Unplug a VIF; QEMU closes its tap a moment after the guest has let go."""
        found: Outcomes = []

        def attempt() -> bool:
            timeout = max(self.domains.left(), 1.0)
            if vif is None:
                found[:] = self.driver.unplug_ids([vif_id], timeout=timeout)
            else:
                found[:] = self.driver.unplug_all([(None, vif)], timeout=timeout)
            return not isinstance(found[0], InUse)

        self.domains.wait_for(attempt)
        return found[0]


def _whole(start: str, guest: str, every: Mapping[Kind, Domain]) -> str:
    """Return the one id of a guest's VIFs with this start. Raises InvalidVIF."""
    known = {entry.id for domain in every.values() for entry in metadata.entries(domain)}
    known |= {vif_id for domain in every.values() for vif_id in libvirt.aliased(domain)}
    allowed = f"the start of one of {guest}'s VIFs: {', '.join(sorted(known)) or 'it has none'}"
    return the_one(start, sorted(known), allowed=allowed)
