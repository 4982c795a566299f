# SPDX-License-Identifier: Apache-2.0
"""Parts that join a bridge to the physical network: the uplink, and a VLAN device on one.

A bridge's port carries no IP traffic of the host any more, so what addresses and routes an uplink
has move to the bridge when it joins, and back when the bridge goes (``Bridge.unused``). Pure.
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
from vifplug.operations.links import MakeLink, RemoveLink, SetLink
from vifplug.operations.operation import Operation, Unit
from vifplug.parts.claim import BRIDGED
from vifplug.parts.part import Leaving, Part, drift, fresh
from vifplug.parts.roles import UPLINK, VLAN_DEVICE


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
        if link.marks:
            found = f"belongs to VIF {link.marks[0].vif_id}"
            raise Conflict(owner.vif_id, self.device, found, needed)
        taken = [claim for claim in host.claims(self.device) if claim.role not in BRIDGED]
        if taken:
            found = f"is used by VIF {taken[0].vif_id} ({taken[0].role})"
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
        stale = [m.of for m in link.shared_marks if m.role == UPLINK and m.of != self.bridge]
        done: list[Operation] = [
            RemoveAltname(device=self.device, altname=shared_mark(UPLINK, old)) for old in stale
        ]
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

    @classmethod
    def unused(cls, device: str, host: Host, leaving: Leaving) -> tuple[Unit, ...]:
        """Remove a VLAN device of ours that only this VIF uses, with its bridge or without one."""
        link, mark = host.link(device), shared_mark(VLAN_DEVICE, device)
        if link is None or mark not in link.altnames:
            return ()
        elsewhere = link.master is not None and link.master not in leaving.going
        if elsewhere or not leaving.uses_alone(device, host):
            return ()
        if any(other.lower == device for other in host.links.values()):
            return ()
        vif_id = leaving.vif_id
        return ((RemoveLink(device=device, mark=mark, unless_used=True, leaving=vif_id),),)

    def _require_same_shape(self, owner: Owner, link: Link) -> None:
        needed = f"VLAN {self.vlan} on {self.lower}, or a name that is free"
        if link.kind != VLAN_DEVICE:
            raise Conflict(owner.vif_id, self.name, f"is a {link.kind} device", needed)
        if (link.vlan, link.lower) != (self.vlan, self.lower):
            found = f"is VLAN {link.vlan} on {link.lower or 'a device elsewhere'}"
            raise Conflict(owner.vif_id, self.name, found, needed)
