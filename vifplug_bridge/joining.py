# SPDX-License-Identifier: Apache-2.0
"""What names an uplink and does not follow its addresses to the bridge. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from vifplug.model.host import Host
from vifplug.model.mark import shared_mark

_OF_THE_HOST = ("loopback", "dummy")
"""Kinds of device whose addresses are the host's on every network."""


def left_behind(host: Host, uplink: str, bridge: str) -> Iterator[str]:
    """Yield notes that name what stays with an uplink whose addresses move to the bridge.

    These are decisions of whoever set them: a plug does not repeat them for another device.
    """
    link = host.link(uplink)
    if link is None or link.master is not None or not host.addresses(uplink):
        return
    there = host.sysctls(bridge)
    words = [
        *host.naming(uplink),
        *(
            f"{name} {value} ({bridge}: {there[name]})"
            for name, value in host.sysctls(uplink).items()
            if there.get(name, value) != value
        ),
    ]
    if words:
        yield f"{uplink} keeps what {bridge} may need: {', '.join(words)}"
    ignores = _arp_ignore(bridge, host)
    lost = ", ".join(_elsewhere(host, uplink)) if ignores and not link.arp_ignore else ""
    if lost:
        own = f"its own addresses only (arp_ignore {ignores})"
        yield f"{bridge} answers ARP for {own}, not for {lost}"


def _arp_ignore(bridge: str, host: Host) -> int:
    """Return the bridge's arp_ignore; that which a plug gives it where the bridge is ours."""
    link = host.link(bridge)
    if link is None or shared_mark("bridge", bridge) in link.altnames:
        return 1
    return link.arp_ignore or 0


def _elsewhere(host: Host, uplink: str) -> Iterator[str]:
    """Yield the IPv4 addresses that the host has on no network of its own."""
    for name, link in host.links.items():
        if link.kind in _OF_THE_HOST and name != uplink:
            for address in host.addresses(name):
                if ":" not in address and not address.startswith("127."):
                    yield f"{address.partition('/')[0]} of {name}"
