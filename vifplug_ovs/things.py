# SPDX-License-Identifier: Apache-2.0
"""Rows of Open vSwitch's database as the things that an operation changes. Pure.

The database says whose a row is: a VIF's mark is on it. A port without a mark belongs to the VIF to
which the database gives its interface id.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from vifplug.model.host import Host
from vifplug.model.mark import Owner
from vifplug.model.thing import Thing
from vifplug.parts import BRIDGES, Role
from vifplug_ovs.snapshot import IFACE_ID, MARK, VIF_ID, Ovs, readable

BRIDGE, PORT = "OVS bridge", "OVS port"
"""The kinds of thing that the rows of a bridge, and of a port, are."""


def bridge(name: str, host: Host) -> Thing:
    """Return a bridge of Open vSwitch as a thing."""
    title = f"{BRIDGE} {name}"
    ovs = host.switch(Ovs)
    row = ovs.bridge(name) if ovs else None
    if row is None:
        return Thing(name=name, title=title)
    return Thing(
        name=name,
        title=title,
        kind=BRIDGE,
        owners=_owner(row.marks),
        shared=MARK in row.marks and VIF_ID not in row.marks,
    )


def port(name: str, host: Host) -> Thing:
    """Return a port of Open vSwitch as a thing."""
    title = f"{PORT} {name}"
    ovs = host.switch(Ovs)
    current = ovs.port(name) if ovs else None
    if ovs is None or current is None:
        return Thing(name=name, title=title)
    _, row = current
    return Thing(name=name, title=title, kind=PORT, owners=_owner(row.marks))


def _owner(marks: Mapping[str, str]) -> frozenset[str]:
    return frozenset({marks[VIF_ID]} if VIF_ID in marks else ())


def _no_bridge(thing: Thing, owner: Owner, host: Host) -> str | None:
    return None if thing.kind == BRIDGE else f"is a {thing.kind} device"


OWN = Role(words="a bridge of this VIF's own", refusal=_no_bridge, own=True)
SHARED = Role(words="an OVS bridge that VIFs share", refusal=_no_bridge, limit=BRIDGES)

IsClaimed = Callable[[str, Owner, Host], bool]
"""Whether a VIF has a device of the host for itself."""


def port_role(mark: str, is_claimed: IsClaimed | None = None) -> Role:
    """Return the role of a port without a mark, and of its device, that a VIF may have.

    ``mark`` is the interface id that the port bears, or the VIF's own bridge that it is on.
    """

    def refusal(thing: Thing, owner: Owner, host: Host) -> str | None:
        if thing.kind != PORT:
            return None if is_claimed and is_claimed(thing.name, owner, host) else "is not ours"
        ovs = readable(owner, host)
        bridge, row = ovs.port(thing.name) or ("", None)
        has = row.external_ids.get(IFACE_ID) if row else None
        if mark == bridge or (mark == has and ovs.other_holder(mark, owner.vif_id) is None):
            return None
        return f"is there with iface-id {has}" if has else "is there and not ours"

    return Role(words="a port, and a device, of this VIF's own", refusal=refusal, own=True)


def ports_of(owner: Owner, interface_id: str, host: Host) -> dict[str, Role]:
    """Return the roles of the ports without a mark that bear a VIF's interface id."""
    bearing_it = readable(owner, host).of(owner.vif_id, interface_id)
    return {name: port_role(interface_id) for name in bearing_it}
