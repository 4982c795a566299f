# SPDX-License-Identifier: Apache-2.0
"""``vifplug define``: write VIFs into a guest's domain, both its metadata and its interfaces."""

from __future__ import annotations

import argparse
import logging
import re
from collections.abc import Sequence
from dataclasses import replace

from vifplug.cli.domain import GuestCommand
from vifplug.cli.reading import Given, read_domain
from vifplug.domains import LIVE, PERSISTENT
from vifplug.errors import LibvirtError, VifplugError
from vifplug.guest import splice
from vifplug.model.vif import VIF
from vifplug.plan.wired import Ready
from vifplug.result import Result

LOG = logging.getLogger(__name__)

_LIBVIRTS_NAMES = re.compile(r"(vnet|macvtap|macvlan)[0-9]+")
"""Names that libvirt gives at a start, and forgets."""


class Define(GuestCommand):
    """Write VIFs into a guest's domain. Without FILE, those that it has, for this host as it is."""

    needs_files = "*"

    def read(self, arguments: argparse.Namespace) -> list[Given[Ready | VifplugError]]:
        if arguments.files:
            return super().read(arguments)
        return read_domain(self.domain.data, self.guest.name, self.checked)

    def checked(self, vif: VIF) -> Ready | VifplugError:
        if _LIBVIRTS_NAMES.fullmatch(vif.devname or ""):
            vif = replace(vif, devname=None)
        return super().checked(vif)

    def act_on(self, vifs: Sequence[VIF], arguments: argparse.Namespace) -> int:
        kinds = self.guest.kinds
        if PERSISTENT not in kinds:
            raise LibvirtError(f"define {self.guest.name}", "the guest is transient")
        wanted = self.wanted()
        self.require_no_other([each.vif for each in wanted])
        text = splice.defined(self.domain, wanted)
        # Each VIF on its own, because one that is defined already is not changed.
        changed = [splice.defined(self.domain, [each]) != self.domain.data for each in wanted]
        if text != self.domain.data:
            self.guest.define(text)
            if LIVE in kinds:
                LOG.warning("%s runs: its next start takes what is defined", self.guest.name)
        results = [
            Result(
                id=each.vif.id,
                vif_type=each.vif.vif_type,
                process=wired.wiring.process or None,
                changed=new,
                devices=(),
            )
            for each, wired, new in zip(wanted, self.good, changed, strict=True)
        ]
        return self.show(vifs, results, arguments)
