# SPDX-License-Identifier: Apache-2.0
"""Shared devices of a host, found by their marks or by what they are. Pure."""

from __future__ import annotations

from vifplug.model.host import Host
from vifplug.model.link import Link, is_vlan
from vifplug.model.mark import UPLINK, shared_mark

_MADE_OF_PORTS = ("bond", "bridge", "team")
"""Kinds of device that lie on their ports."""


def uplink_of(bridge: str, host: Host) -> tuple[str, Link] | None:
    """Return the device that a plug has joined to a bridge as its uplink.

    By its mark: where an unplug was killed it may be no port any more.
    """
    return host.carrying(shared_mark(UPLINK, bridge))


def vlan_device(lower: str, vlan: int, host: Host, *, name: str) -> str:
    """Return the name of a VLAN of a device: that of the device that is there, or the given one.

    The kernel has one device at most of an id on a device, whatever its name.
    """
    # All devices come last, because that look is long.
    for usual in (name, f"{lower}.{vlan}"):
        if is_vlan(host.link(usual), lower, vlan):
            return usual
    if host.link(lower) is None:
        return name
    return next((n for n, link in host.links.items() if is_vlan(link, lower, vlan)), name)


def lies_on(device: str, below: str, host: Host) -> bool:
    """Whether a device lies on another one, at any depth, so that it can't be that one's port."""
    to_see, seen = [device], set[str]()
    while to_see:
        name = to_see.pop()
        link = host.link(name)
        if link is None or name in seen:
            continue
        seen.add(name)
        if link.lower and link.kind != "veth":
            to_see.append(link.lower)
        if link.kind in _MADE_OF_PORTS:
            to_see += host.ports(name)
    return below in seen - {device}
