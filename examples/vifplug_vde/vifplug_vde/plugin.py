# SPDX-License-Identifier: Apache-2.0
"""What a VIF on the switch needs: a tap, and its port. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from oslo_config import cfg

from vifplug import VIF, Host, VIFPlugin, Wiring
from vifplug.guest import attach
from vifplug.guest.interface import NIC
from vifplug.model.use import Uses
from vifplug.operations import SwitchOperation
from vifplug.parts import Sysctl
from vifplug.plugin import Check
from vifplug.switch import Departure
from vifplug_vde.client import VdeError
from vifplug_vde.parts import KINDS, Port, removal
from vifplug_vde.snapshot import Vde

GROUP = "vifplug_vde"
OPTS = [
    cfg.StrOpt("management", default="/run/vde.mgmt", help="The switch's management socket."),
    cfg.StrOpt("control", default="/run/vde.ctl", help="The folder of the switch's sockets."),
]
DEAF = {"ipv4.arp_ignore": 8, "ipv4.rp_filter": 1, "ipv4.forwarding": 0}


class VdePlugin(VIFPlugin):
    """vif_type ``vde``: the VIF's ``network.vlan`` is a VLAN of the switch."""

    api_version = 1
    uses: ClassVar[Mapping[str, Uses]] = {
        "": (*NIC, "address", "devname", "network.mtu", "network.vlan")
    }
    group, opts = GROUP, OPTS
    kinds = KINDS
    switch = "snapshot"
    snapshot = Vde
    unbridged = True

    def wire(self, vif: VIF, host: Host) -> Wiring:
        vde = host.switch(Vde) or Vde(error="it was not read")
        if vde.error:
            raise VdeError(vif.id, self.options["management"], vde.error)
        own = attach.own_tap(vif, host)
        device = own.tap.name
        parts = (
            own.tap,
            # The host's own IP stack takes no frame of the guest's for itself.
            *(Sysctl(device=device, name=name, value=value) for name, value in DEAF.items()),
            Port(device=device, vlan=vif.network.vlan or 0),
        )
        return Wiring(parts=parts, interface=own.interface, notes=own.notes)

    def leave(self, vif: Departure, host: Host) -> Sequence[SwitchOperation]:
        return removal(vif, host.switch(Vde) or Vde())

    def doctor(self, host: Host) -> Iterable[Check]:
        path = self.options["management"]
        why = (host.switch(Vde) or Vde(error="it was not read")).error
        mend = f"start vde_switch with -M {path}" if why else ""
        yield Check(check="vde_switch", ok=not why, detail=why or f"{path} answers", mend=mend)
