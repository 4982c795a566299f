# SPDX-License-Identifier: Apache-2.0
"""What names an uplink and does not follow its addresses to the bridge. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from vifplug.model.host import Host
from vifplug.model.mark import shared_mark

_ARP_IGNORE = "ipv4.arp_ignore"
_OF_THE_HOST = ("loopback", "dummy")
"""Kinds of device whose addresses are the host's on every network."""


def left_behind(host: Host, uplink: str, bridge: str) -> Iterator[str]:
    """Yield notes that name what stays with an uplink whose addresses move to the bridge.

    These are decisions of whoever set them: a plug does not repeat them for another device.
    """
    link = host.link(uplink)
    if link is None or link.master is not None or not host.addresses(uplink):
        return
    there, here = dict(host.sysctls(bridge)), host.sysctls(uplink)
    if ours := _is_ours(bridge, host):
        there.pop(_ARP_IGNORE, None)  # a bridge of ours has its own
    words = [
        *host.naming(uplink),
        *(
            f"{name} {value} ({bridge}: {there[name]})"
            for name, value in here.items()
            if there.get(name, value) != value
        ),
    ]
    if words:
        yield f"{uplink} keeps what {bridge} may need: {', '.join(words)}"
    if ours and not here.get(_ARP_IGNORE):
        lost = ", ".join(_elsewhere(host, uplink))
        if lost:
            yield f"{bridge} answers ARP for its own addresses only (arp_ignore 1), not for {lost}"


def _is_ours(bridge: str, host: Host) -> bool:
    """Whether a plug has made the bridge, or will make it."""
    link = host.link(bridge)
    return link is None or shared_mark("bridge", bridge) in link.altnames


def _elsewhere(host: Host, uplink: str) -> Iterator[str]:
    """Yield the IPv4 addresses that the host has on no network of its own."""
    for name, link in host.links.items():
        if link.kind in _OF_THE_HOST and name != uplink:
            for address in host.addresses(name):
                if ":" not in address and not address.startswith("127."):
                    yield f"{address.partition('/')[0]} of {name}"
