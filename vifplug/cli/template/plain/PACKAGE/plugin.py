# SPDX-License-Identifier: Apache-2.0
"""What a VIF of type << vif_type >> needs. Pure: it reads nothing but its arguments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from oslo_config import cfg
from vifplug import VIF, Host, VIFPlugin, Wiring
from vifplug.fields import BOOLEAN, declared
from vifplug.guest import attach
from vifplug.guest.interface import NIC
from vifplug.model.use import Uses
from vifplug.parts import CORE, Sysctl
from vifplug.plugin import Check

GROUP = "<< package >>"


@dataclass(frozen=True, kw_only=True)
class << name >>Details:
    """The VIF's own ``details``. ``proxy_arp`` is this VIF's, in the place of the option."""

    proxy_arp: bool | None = declared(BOOLEAN, default=None)


class << name >>Plugin(VIFPlugin):
    """vif_type ``<< vif_type >>``: a tap that is there before its guest. The host answers ARP on it."""

    api_version = 1
    details = << name >>Details
    unbridged = True
    uses: ClassVar[Mapping[str, Uses]] = {
        "": (*NIC, "address", "devname", "network.mtu", "network.bridge", "details.proxy_arp")
    }
    group = GROUP
    opts = (cfg.BoolOpt("proxy_arp", default=True, help="Have the host answer ARP for others."),)
    kinds = (*CORE, Sysctl)

    def wire(self, vif: VIF, host: Host) -> Wiring:
        made = attach.own_tap(vif, host)
        own: bool | None = self.details_of(vif).proxy_arp
        answer = self.options["proxy_arp"] if own is None else own
        arp = Sysctl(device=made.tap.name, name="ipv4.proxy_arp", value=int(answer))
        return Wiring(parts=(made.tap, arp), interface=made.interface, notes=made.notes)

    def doctor(self, host: Host) -> Iterable[Check]:
        yield from attach.checks(host)
