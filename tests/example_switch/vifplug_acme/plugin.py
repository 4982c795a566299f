# SPDX-License-Identifier: Apache-2.0
"""What a VIF on the switch needs: a tap, the trunk, and the tap's port. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from oslo_config import cfg

from vifplug import VIF, Host, VIFPlugin, Wiring
from vifplug.guest.attach import own_tap
from vifplug.guest.interface import NIC
from vifplug.model.use import Uses
from vifplug.operations import SwitchOperation
from vifplug.switch import Departure
from vifplug_acme.parts import KINDS, Port, Trunk, removal
from vifplug_acme.snapshot import Acme, AcmeError

GROUP = "vifplug_acme"
OPTS = [
    cfg.StrOpt("database", default="/var/lib/acme/ports.json", help="The switch's database."),
    cfg.StrOpt("trunk", default="acme0", help="The device by which it reaches the network."),
]


class AcmePlugin(VIFPlugin):
    """vif_type ``acme``: the VIF's ``network.bridge`` is a segment of the switch."""

    api_version = 1
    required = ("network.bridge",)
    uses: ClassVar[Mapping[str, Uses]] = {
        "": (*NIC, "address", "devname", "network.bridge", "network.mtu")
    }
    group, opts = GROUP, OPTS
    kinds = KINDS
    switch = "snapshot"
    snapshot = Acme

    def wire(self, vif: VIF, host: Host) -> Wiring:
        acme = host.switch(Acme)
        if acme is None or acme.error:
            why = acme and acme.error
            raise AcmeError(vif.id, self.options["database"], why or "it was not read")
        made = own_tap(vif, host)
        port = Port(device=made.tap.name, segment=str(vif.network.bridge))
        parts = (made.tap, Trunk(device=self.options["trunk"]), port)
        return Wiring(parts=parts, interface=made.interface, notes=made.notes)

    def leave(self, vif: Departure, host: Host) -> Sequence[SwitchOperation]:
        return removal(vif.vif_id, host.switch(Acme))
