# SPDX-License-Identifier: Apache-2.0
"""Parts that join a bridge to the physical network: the uplink, and a VLAN device on one.

A bridge's port carries no IP traffic of the host any more, so what addresses and routes an uplink
has move to the bridge when it joins, and back when the bridge goes (``vifplug.wiring``). Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from vifplug.errors import Conflict
from vifplug.fields import DEVICE, MTU, VLAN, declared
from vifplug.model.host import Host
from vifplug.model.link import Link
from vifplug.model.mark import Owner, shared_mark
from vifplug.operations.addressing import move_addressing
from vifplug.operations.altnames import AddAltname, RemoveAltname
from vifplug.operations.links import MakeLink, SetLink
from vifplug.operations.operation import Operation
from vifplug.parts.part import Part, drift, fresh
from vifplug_vepa.parts.lower import CARRIES_VLAN
from vifplug_vepa.parts.lower import ROLE as LOWER

UPLINK, VLAN_DEVICE = "uplink", "vlan"
"""The roles in the marks of shared parts."""


def uplink_of(bridge: str, host: Host) -> tuple[str, Link] | None:
    """Return the device that a plug has joined to a bridge as its uplink.

    By its mark: where an unplug was killed it may be no port any more.
    """
    return host.carrying(shared_mark(UPLINK, bridge))


@dataclass(frozen=True, kw_only=True)
class Uplink(Part):
    """A device of the host that becomes a port of a bridge, with its addresses and routes moved.

    One that somebody else has joined is left as it is. A bridge that we made takes the device's
    MAC address when it joins, so that nobody on the wire sees a change.
    """

    kind: ClassVar[str] = "uplink"

    device: str = declared(DEVICE)
    bridge: str = declared(DEVICE)

    @property
    def title(self) -> str:
        return f"{self.device} -> {self.bridge}"

    @property
    def shared(self) -> tuple[str, ...]:
        return (self.bridge, self.device)

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        link = self._usable(owner, host)
        mark = shared_mark(UPLINK, self.bridge)
        joined = link.master == self.bridge
        if joined and mark not in link.altnames:
            return ()
        # What is left on a port is of a call that was killed, or came later: it moves as well.
        # Routes go with addresses, so the usual case, none, costs one look.
        if joined and not host.addresses(self.device):
            return ()
        if any(" nhid " in route for route in host.routes(self.device)):
            found = "has routes through nexthop objects (ip-nexthop(8))"
            raise Conflict(owner.vif_id, self.device, found, "routes with next hops of their own")
        join = SetLink(device=self.device, attribute="master", value=self.bridge)
        between = None if joined else join
        moved = move_addressing(host, self.device, self.bridge, between=between)
        return moved if joined else (*self._prepared(link, mark, host), *moved)

    def step(self, operations: tuple[Operation, ...], host: Host) -> tuple[str, str]:
        link = host.link(self.device)
        if not operations:
            ours = link and shared_mark(UPLINK, self.bridge) in link.altnames
            return "keep", "" if ours else "joined by others, stays as it is"
        return "move", ", ".join(host.addresses(self.device)) or "no addresses"

    def _usable(self, owner: Owner, host: Host) -> Link:
        link = host.link(self.device)
        needed = "an uplink for the bridge: a device of the host that nothing else uses"
        if link is None:
            raise Conflict(owner.vif_id, f"uplink {self.device}", "is not there", needed)
        if link.kind in ("loopback", "bridge"):
            raise Conflict(owner.vif_id, self.device, f"is a {link.kind} device", needed)
        if link.master not in (None, self.bridge):
            raise Conflict(owner.vif_id, self.device, f"is a port of {link.master}", needed)
        used = {mark.vif_id for mark in link.marks if not mark.shared and not mark.claim}
        if used:
            raise Conflict(owner.vif_id, self.device, f"belongs to VIF {used.pop()}", needed)
        below = {
            mark.vif_id
            for mark in link.marks
            if mark.claim and mark.role == LOWER and mark.data[1:] != (CARRIES_VLAN,)
        }
        if below:
            found = f"is below a macvtap of VIF {below.pop()}"
            raise Conflict(owner.vif_id, self.device, found, needed)
        if link.master is None:
            self._require_frames(owner, host, needed)
        return link

    def _require_frames(self, owner: Owner, host: Host, needed: str) -> None:
        for name, other in host.lying_on(self.device).items():
            found = f"has the {other.kind} {name} on it"  # no bridge gets the frames then
            raise Conflict(owner.vif_id, self.device, found, needed)

    def _prepared(self, link: Link, mark: str, host: Host) -> list[Operation]:
        """Return what comes before the device joins: its mark, and the bridge made like it."""
        stale = [str(m) for m in link.marks if m.shared and m.role == UPLINK and str(m) != mark]
        done: list[Operation] = [RemoveAltname(device=self.device, altname=old) for old in stale]
        if mark not in link.altnames:
            done.append(AddAltname(device=self.device, altname=mark))
        bridge = host.link(self.bridge)
        if bridge and shared_mark("bridge", self.bridge) in bridge.altnames:
            like: dict[str, object] = {"address": link.address} if link.address else {}
            # Without it, addresses that a router advertised would not be renewed.
            if link.accept_ra is not None and any(
                ":" in one for one in host.addresses(self.device)
            ):
                like["accept_ra"] = link.accept_ra
            new = bridge.address is None
            done += fresh(self.bridge, **like) if new else drift(self.bridge, bridge, **like)
        return [*done, *drift(self.device, link, up=True)]


@dataclass(frozen=True, kw_only=True)
class Vlan(Part):
    """An 802.1Q device on an uplink: made where it is missing, shared by the VIFs of a network.

    One that somebody else made keeps its settings; ours has the network's ``mtu`` at each plug.
    """

    kind: ClassVar[str] = VLAN_DEVICE

    name: str = declared(DEVICE)
    lower: str = declared(DEVICE)
    vlan: int = declared(VLAN)
    mtu: int = declared(MTU, default=1500)

    @property
    def title(self) -> str:
        return self.name

    @property
    def detail(self) -> str:
        return f"VLAN {self.vlan} on {self.lower}, MTU {self.mtu}"

    @property
    def shared(self) -> tuple[str, ...]:
        return (self.name, self.lower)

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        lower = host.link(self.lower)
        if lower is None or lower.kind == "loopback":
            found = "is not there" if lower is None else "is a loopback device"
            needed = f"a device for VLAN {self.vlan}"
            raise Conflict(owner.vif_id, f"uplink {self.lower}", found, needed)
        link = host.link(self.name)
        mark = shared_mark(VLAN_DEVICE, self.name)
        if link is not None:
            self._require_same_shape(owner, link)
            if mark not in link.altnames:
                return ()
        if lower.mtu < self.mtu:
            found = f"has MTU {lower.mtu}"
            raise Conflict(owner.vif_id, self.lower, found, f"the network's, {self.mtu}, or more")
        woken = drift(self.lower, lower, up=True)
        if link is not None:
            return (*woken, *drift(self.name, link, ipv6=False, mtu=self.mtu, up=True))
        made = MakeLink(
            device=self.name,
            kind=VLAN_DEVICE,
            mark=mark,
            shared=True,
            mtu=self.mtu,
            lower=self.lower,
            vlan=self.vlan,
        )
        return (*woken, made, *fresh(self.name, ipv6=False, up=True))

    def step(self, operations: tuple[Operation, ...], host: Host) -> tuple[str, str]:
        link = host.link(self.name)
        if link and shared_mark(VLAN_DEVICE, self.name) not in link.altnames:
            return "keep", f"not ours, keeps its settings: MTU {link.mtu}"
        made = any(isinstance(operation, MakeLink) for operation in operations)
        return ("make", self.detail) if made else super().step(operations, host)

    def _require_same_shape(self, owner: Owner, link: Link) -> None:
        needed = f"VLAN {self.vlan} on {self.lower}, or a name that is free"
        if link.kind != VLAN_DEVICE:
            raise Conflict(owner.vif_id, self.name, f"is a {link.kind} device", needed)
        if (link.vlan, link.lower) != (self.vlan, self.lower):
            found = f"is VLAN {link.vlan} on {link.lower or 'a device elsewhere'}"
            raise Conflict(owner.vif_id, self.name, found, needed)
