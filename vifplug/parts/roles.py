# SPDX-License-Identifier: Apache-2.0
"""Shared devices of a host: as what a part may use one, and how it is found. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vifplug.errors import Conflict
from vifplug.model.host import Host
from vifplug.model.link import Link, is_vlan
from vifplug.model.mark import UPLINK, VLAN_DEVICE, Owner, shared_mark
from vifplug.model.thing import Thing

_MADE_OF_PORTS = ("bond", "bridge", "team")
"""Kinds of device that lie on their ports."""

BRIDGES, UPLINKS, ROUTES = "allowed_bridges", "allowed_uplinks", "allowed_routes"
"""The options that limit which bridges VIFs may join, which devices of the host they use, and to
which addresses the host has routes through them."""


@dataclass(frozen=True, kw_only=True)
class Role:
    """As what a part may change a device, or a row of a switch, that is not its VIF's own.

    ``words`` say what has this role. ``refusal`` returns why a thing can't have it, as in "is a tap
    device"; None where it can. ``own``: the VIF's own may be it as well. ``limit`` names the option
    that says which may; "" where none does.
    """

    words: str
    refusal: Callable[[Thing, Owner, Host], str | None]
    own: bool = False
    limit: str = ""


def _no_bridge(thing: Thing, owner: Owner, host: Host) -> str | None:
    return None if thing.kind == "bridge" else f"is a {thing.kind} device"


def _no_device_of_the_host(thing: Thing, owner: Owner, host: Host) -> str | None:
    link = host.link(thing.name)
    if thing.kind == "tap" and link and link.carrier:
        return "is a tap that a process holds"
    return "is the loopback device" if thing.kind == "loopback" else None


def _no_vlan(thing: Thing, owner: Owner, host: Host) -> str | None:
    return None if thing.kind == VLAN_DEVICE else f"is a {thing.kind} device"


BRIDGE = Role(words="a bridge that VIFs share", refusal=_no_bridge, limit=BRIDGES)
JOINED = Role(
    words="a bridge that VIFs share, or this VIF's own", refusal=_no_bridge, own=True, limit=BRIDGES
)
HOST_DEVICE = Role(words="a device of the host", refusal=_no_device_of_the_host, limit=UPLINKS)
VLAN = Role(words="a VLAN device that VIFs share", refusal=_no_vlan)


def require_own_id(vif_id: str, interface_id: str | None, host: Host) -> None:
    """Raise Conflict where a VIF's interface id is another VIF's, as a switch has it."""
    holder = host.other_holder(interface_id, vif_id) if interface_id else None
    if holder:
        found = f"is that of VIF {holder}"
        raise Conflict(vif_id, f"interface_id {interface_id}", found, "the VIF's own")


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
