# SPDX-License-Identifier: Apache-2.0
"""``vifplug attach``: plug VIFs and hand them to a guest, or leave all as it was."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

from vifplug.cli.domain import GuestCommand
from vifplug.domains import PERSISTENT, Kind
from vifplug.errors import VifplugError
from vifplug.guest import splice
from vifplug.model.vif import VIF
from vifplug.plan.wired import Wired
from vifplug.result import Outcomes, Result
from vifplug.sources import libvirt, metadata

LOG = logging.getLogger(__name__)


class Attach(GuestCommand):
    """Plug VIFs and hand them to a guest: as it runs, and as it will start."""

    everywhere = True

    def act_on(self, vifs: Sequence[VIF], arguments: argparse.Namespace) -> int:
        wanted = self.wanted()
        self.require_no_other([each.vif for each in wanted])
        outcomes: Outcomes = []
        for each, wired in zip(wanted, self.good, strict=True):
            try:
                outcomes.append(self._attached(each, wired, arguments))
            except VifplugError as error:
                outcomes.append(error)
        return self.show(vifs, outcomes, arguments)

    def _attached(self, each: splice.Wanted, wired: Wired, arguments: argparse.Namespace) -> Result:
        """Do it for one VIF; undo all of it at the first error, which is raised."""
        vif = each.vif
        with ExitStack() as undo:
            deadline = self.driver.deadline(arguments.timeout)
            view = self.driver.look([wired.ready], host=self.driver.reader.fresh(self.view.host),
                                    deadline=deadline)  # fmt: skip
            (outcome,) = self.driver.plug_wired(
                self.driver.all_wired([wired.ready], view.host), view, deadline
            )
            if isinstance(outcome, VifplugError):
                raise outcome
            changed = outcome.changed
            if changed:
                undo.callback(self._quietly, f"unplug {vif.id}",
                              partial(self.driver.unplug_all, [(None, vif)]))  # fmt: skip
            for kind in self.guest.kinds:
                changed = self._handed(each, kind, undo) or changed
            undo.pop_all()
        return replace(outcome, changed=changed)

    def _handed(self, each: splice.Wanted, kind: Kind, undo: ExitStack) -> bool:
        """Give the VIF to one of the guest's domains; return whether that has changed."""
        domain = self.guest.read(kind)
        vif, old = each.vif, list(metadata.entries(domain))
        new = splice.merged(old, [vif])
        there = libvirt.interface_of(domain, vif.id, vif.address) is not None
        if there and new == old:
            return False
        if kind == PERSISTENT:
            # As a whole, because libvirt may add a controller for the NIC.
            undo.callback(self._quietly, "define", partial(self.guest.define, domain.data))
        else:
            undo.callback(self._quietly, "metadata", partial(self.guest.write, old, kind))
        self.guest.write(new, kind)
        if not there:
            self.guest.attach(splice.element(each), kind)
        return True

    @staticmethod
    def _quietly(what: str, call: Callable[[], object]) -> None:
        """Undo a step; an error is told, and the first error stays the command's."""
        try:
            call()
        except VifplugError as error:
            LOG.warning("not undone: %s: %s", what, error)
