# SPDX-License-Identifier: Apache-2.0
"""What a VIF of type << vif_type >> needs: a tap, and its port. Pure: it reads only its arguments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from oslo_config import cfg
from vifplug import VIF, Host, VIFPlugin, Wiring
from vifplug.errors import SwitchError
from vifplug.guest import attach
from vifplug.guest.interface import NIC
from vifplug.model.use import Uses
from vifplug.operations import SwitchOperation
from vifplug.plugin import Check
from vifplug.switch import Departure

from << package >>.parts import KINDS, Port, removal
from << package >>.snapshot import << name >>

GROUP = "<< package >>"


class << name >>Plugin(VIFPlugin):
    """vif_type ``<< vif_type >>``: the VIF's ``network.bridge`` is a segment of the switch."""

    api_version = 1
    required = ("network.bridge",)
    uses: ClassVar[Mapping[str, Uses]] = {
        "": (*NIC, "address", "devname", "network.mtu", "network.bridge")
    }
    group = GROUP
    opts = (cfg.StrOpt("socket", default="/run/<< short >>/socket", help="The switch's socket."),)
    kinds = KINDS
    switch = "snapshot"
    snapshot = << name >>

    def wire(self, vif: VIF, host: Host) -> Wiring:
        switch = host.switch(<< name >>)
        if switch is None or switch.error:
            why = (switch and switch.error) or "it was not read"
            raise SwitchError(vif.id, self.options["socket"], why)
        made = attach.own_tap(vif, host)
        port = Port(device=made.tap.name, segment=str(vif.network.bridge))
        return Wiring(parts=(made.tap, port), interface=made.interface, notes=made.notes)

    def leave(self, vif: Departure, host: Host) -> Sequence[SwitchOperation]:
        return removal(vif.vif_id, host.switch(<< name >>))

    def doctor(self, host: Host) -> Iterable[Check]:
        yield from attach.checks(host)
        switch = host.switch(<< name >>)
        if switch and not switch.absent:
            words = f"{self.options['socket']}: {switch.error or 'answers'}"
            mend = "start the switch" if switch.error else ""
            yield Check(check="<< short >>", ok=not switch.error, detail=words, mend=mend)
