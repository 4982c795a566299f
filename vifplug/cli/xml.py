# SPDX-License-Identifier: Apache-2.0
"""``vifplug xml``: libvirt's ``<interface>`` of VIFs, and nothing else on standard output."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from vifplug.cli import DONE, FAILED
from vifplug.cli.vifs import VIFCommand
from vifplug.errors import VifplugError
from vifplug.model.vif import VIF


class Xml(VIFCommand):
    """Print libvirt's <interface> of each VIF, one after the other. Changes nothing."""

    formats = False
    everywhere = False

    def act_on(self, vifs: Sequence[VIF], arguments: argparse.Namespace) -> int:
        status = DONE
        for wired in self.wired:
            if isinstance(wired, VifplugError):
                self.complain(wired)
                status = FAILED
            else:
                print(wired.wiring.interface.to_xml())
        return status
