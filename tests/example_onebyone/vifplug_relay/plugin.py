# SPDX-License-Identifier: Apache-2.0
"""What a VIF on the switch needs: a port, and a tap that the host routes to, or a socket. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from oslo_config import cfg

from vifplug import VIF, Host, VIFPlugin, Wiring
from vifplug.errors import SwitchError
from vifplug.fields import Choice, declared
from vifplug.guest.attach import own_tap
from vifplug.guest.interface import NIC, GuestSide, Interface
from vifplug.model.mark import derived_name
from vifplug.model.use import Uses
from vifplug.operations import SwitchOperation
from vifplug.parts import HostRoute, Sysctl
from vifplug.plugin import Check
from vifplug.switch import Departure
from vifplug_relay.parts import KINDS, Port, removal
from vifplug_relay.snapshot import ATTACHED, Relay


@dataclass(frozen=True, kw_only=True)
class RelayDetails:
    """How the guest is attached to the switch."""

    attach: str = declared(Choice(*ATTACHED), default="tap")


class RelayPlugin(VIFPlugin):
    """vif_type ``relay``: the VIF's ``network.bridge`` is a segment of the switch."""

    api_version = 1
    details = RelayDetails
    required = ("network.bridge",)
    uses: ClassVar[Mapping[str, Uses]] = {
        "": (*NIC, "address", "devname", "network.bridge", "network.mtu", "details.attach")
    }
    group = "vifplug_relay"
    opts = (
        cfg.StrOpt("socket", default="/run/relay/socket", help="The socket of its daemon."),
        cfg.BoolOpt("answer", default=True, help="Whether the host answers ARP for the network."),
    )
    kinds = KINDS
    switch = "snapshot"
    snapshot = Relay
    unbridged = True

    def wire(self, vif: VIF, host: Host) -> Wiring:
        relay = host.switch(Relay)
        if relay is None or relay.error:
            raise SwitchError(vif.id, self.options["socket"], (relay and relay.error) or "not read")
        segment = str(vif.network.bridge)
        if self.details_of(vif).attach == "socket":
            name = vif.devname or derived_name("vhu", vif.id)
            source = (("type", "unix"), ("path", f"/run/relay/{name}"), ("mode", "server"))
            guest = GuestSide.by_socket(vif, host)
            interface = Interface(type="vhostuser", mac=vif.address, guest=guest, source=source)
            port = Port(name=name, segment=segment, attached="socket")
            return Wiring(parts=(port,), interface=interface)
        ips = [ip for subnet in vif.network.subnets for ip in subnet.ips]
        made = own_tap(vif, host, ipv6=any(":" in ip for ip in ips))
        tap = made.tap.name
        answer = Sysctl(device=tap, name="ipv4.proxy_arp", value=int(self.options["answer"]))
        routes = [HostRoute(device=tap, to=ip) for ip in ips]
        parts = (made.tap, answer, *routes, Port(name=tap, segment=segment))
        return Wiring(parts=parts, interface=made.interface, notes=made.notes)

    def leave(self, vif: Departure, host: Host) -> Sequence[SwitchOperation]:
        return removal(vif.vif_id, host.switch(Relay))

    def doctor(self, host: Host) -> Iterable[Check]:
        relay = host.switch(Relay)
        if relay is None or not relay.absent:
            why = relay.error if relay else "it was not read"
            path = self.options["socket"]
            mend = "start its daemon" if why else ""
            yield Check(check="relay", ok=not why, detail=f"{path}: {why or 'answers'}", mend=mend)
