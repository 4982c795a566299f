# SPDX-License-Identifier: Apache-2.0
"""What a VIF needs that the host routes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from vifplug import VIF, Host, VIFPlugin, Wiring
from vifplug.guest import attach
from vifplug.guest.interface import NIC
from vifplug.model.use import Uses
from vifplug.operations import SwitchOperation
from vifplug.parts import CORE, HostRoute, ProxyNeighbour, Sysctl
from vifplug.plugin import Check
from vifplug.switch import Departure
from vifplug_routed.guard import Guard, Guards, removal

IPV4 = {"ipv4.forwarding": 1, "ipv4.proxy_arp": 1, "ipv4.neigh.proxy_delay": 0}
IPV6 = {
    "ipv6.forwarding": 1,
    "ipv6.accept_ra": 0,
    "ipv6.proxy_ndp": 1,
    "ipv6.neigh.proxy_delay": 0,
}
"""The tap's sysctls. The host routes for the guest, and answers for its gateway at once."""


class RoutedPlugin(VIFPlugin):
    """vif_type ``routed``: the host reaches the VIF's fixed IPs through its tap, and only these."""

    api_version = 1
    uses: ClassVar[Mapping[str, Uses]] = {
        "": (*NIC, "address", "devname", "network.mtu", "network.subnets")
    }
    kinds = (*CORE, Sysctl, HostRoute, ProxyNeighbour, Guard)
    switch = "guard"
    snapshot = Guards
    unbridged = True

    def wire(self, vif: VIF, host: Host) -> Wiring:
        subnets = vif.network.subnets
        addresses = tuple(ip for subnet in subnets for ip in subnet.ips)
        gateways = dict.fromkeys(subnet.gateway for subnet in subnets if subnet.gateway)
        if not addresses:
            raise vif.refuse("network.subnets", None, "a subnet with ips, which the host routes")
        ipv6 = any(":" in address for address in (*addresses, *gateways))
        own = attach.own_tap(vif, host, ipv6=ipv6)
        device = own.tap.name
        parts = (
            own.tap,
            *(Sysctl(device=device, name=n, value=v) for n, v in IPV4.items()),
            *(Sysctl(device=device, name=n, value=v) for n, v in (IPV6 if ipv6 else {}).items()),
            # Before the routes: no frame of the guest's passes unchecked.
            Guard(device=device),
            *(HostRoute(device=device, to=address) for address in addresses),
            *(ProxyNeighbour(device=device, address=address) for address in gateways),
        )
        return Wiring(parts=parts, interface=own.interface, notes=own.notes)

    def leave(self, vif: Departure, host: Host) -> Sequence[SwitchOperation]:
        return removal(vif, host.switch(Guards) or Guards())

    def doctor(self, host: Host) -> Iterable[Check]:
        yield from attach.checks(host)
