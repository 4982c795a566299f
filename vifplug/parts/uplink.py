# SPDX-License-Identifier: Apache-2.0
"""Parts that join a bridge to the physical network: the uplink, and a VLAN device on one.

A bridge's port carries no IP traffic of the host any more, so what addresses and routes an uplink
has move to the bridge when it joins, and back when the bridge goes (``Bridge.unused``). Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from vifplug.errors import Conflict
from vifplug.fields import DEVICE, MTU, VLAN, declared
from vifplug.model.host import Host
from vifplug.model.link import (
    DOT1Q,
    KEEPS_BRIDGES_OFF,
    Link,
    carries_no_vlan,
    is_bridge,
    is_vlan,
    joins_no_bridge,
)
from vifplug.model.mark import UPLINK, VLAN_DEVICE, Owner, shared_mark
from vifplug.operations.addressing import move_addressing
from vifplug.operations.altnames import AddAltname, RemoveAltname
from vifplug.operations.links import MakeLink, RemoveLink, SetLink
from vifplug.operations.operation import Operation, Unit
from vifplug.parts.bridge import has_ipv6
from vifplug.parts.claim import BRIDGED
from vifplug.parts.part import Leaving, Part, drift, fresh
from vifplug.parts.roles import BRIDGE, HOST_DEVICE, Role, lies_on, uplink_of, vlan_device
from vifplug.parts.roles import VLAN as VLAN_ROLE


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

    def roles(self, owner: Owner, host: Host) -> Mapping[str, Role]:
        return {self.device: HOST_DEVICE, self.bridge: BRIDGE}

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        link = self._usable(owner, host)
        mark = shared_mark(UPLINK, self.bridge)
        joined = link.master == self.bridge
        if joined and mark not in link.altnames:
            return ()
        former = self._former(owner, host)
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
        return moved if joined else (*former, *self._prepared(link, mark, host), *moved)

    def step(self, operations: tuple[Operation, ...], host: Host) -> tuple[str, str]:
        link = host.link(self.device)
        if not operations:
            ours = link and shared_mark(UPLINK, self.bridge) in link.altnames
            return "keep", "" if ours else "joined by others, stays as it is"
        words = [", ".join(host.addresses(self.device)) or "no addresses"]
        for operation in operations:
            if isinstance(operation, RemoveAltname) and operation.device != self.device:
                words.append(f"{operation.device} is its uplink no more")
        return "move", "; ".join(words)

    def _former(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        """Return what takes the bridge's mark from a device that is its uplink no more.

        The bridge was removed since, or the device was taken out of it. Raises Conflict where that
        device still is its uplink.
        """
        name, link = uplink_of(self.bridge, host) or (self.device, None)
        if link is None or name == self.device:
            return ()
        unplug = f"an unplug of the last VIF of {self.bridge}, with remove_unused"
        needed = f"{name} as network.interface, or {unplug}"
        if link.master == self.bridge:
            raise Conflict(owner.vif_id, self.bridge, f"has the uplink {name}", needed)
        both = set(host.addresses(name)) & set(host.addresses(self.bridge))
        if both:  # an unplug was killed: at its end they are on the old uplink alone
            found = f"is giving {min(both)} back to its uplink {name}"
            raise Conflict(owner.vif_id, self.bridge, found, needed)
        return (RemoveAltname(device=name, altname=shared_mark(UPLINK, self.bridge)),)

    @classmethod
    def lost_marks(cls, host: Host) -> tuple[RemoveAltname, ...]:
        """Remove the marks of uplinks whose bridge is gone."""
        return tuple(
            RemoveAltname(device=name, altname=shared_mark(UPLINK, mark.of))
            for name, link in host.uplinks().items()
            for mark in link.shared_marks
            if mark.role == UPLINK and not is_bridge(host.link(mark.of))
        )

    def _usable(self, owner: Owner, host: Host) -> Link:
        link = host.link(self.device)
        needed = "an uplink for the bridge: a device of the host that nothing else uses"
        if link is None:
            raise Conflict(owner.vif_id, f"uplink {self.device}", "is not there", needed)
        if why := joins_no_bridge(link):
            raise Conflict(owner.vif_id, self.device, why, needed)
        if link.master not in (None, self.bridge):
            about, found = self.device, f"is a port of {link.master}"
            if link.kind == VLAN_DEVICE:
                about, found = f"VLAN {link.vlan} of {link.lower}", f"is {about}, which {found}"
            raise Conflict(owner.vif_id, about, found, needed)
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
        """Raise Conflict where the bridge would get no frames of the device, or its own again."""
        if lies_on(self.device, self.bridge, host):
            raise Conflict(owner.vif_id, self.device, f"lies on {self.bridge}", needed)
        if host.station(self.device):
            found = "is a station of a wireless network, which sends with its own address only"
            raise Conflict(owner.vif_id, self.device, found, needed)
        for name, other in host.lying_on(self.device, KEEPS_BRIDGES_OFF).items():
            found = f"has the {other.kind} {name} on it"
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
            if bridge.mtu > link.mtu:
                like["mtu"] = link.mtu
            if has_ipv6(self.device, host):
                like["ipv6"] = True
                # Without it, addresses that a router advertised would not be renewed.
                if link.accept_ra is not None:
                    like["accept_ra"] = link.accept_ra
            new = bridge.address is None
            done += fresh(self.bridge, **like) if new else drift(self.bridge, bridge, **like)
        return [*done, *drift(self.device, link, up=True)]


@dataclass(frozen=True, kw_only=True)
class Vlan(Part):
    """An 802.1Q device on an uplink: made where it is missing, shared by the VIFs of a network.

    One that somebody else made keeps its settings. ``mtu`` is the least that ours has.
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

    def roles(self, owner: Owner, host: Host) -> Mapping[str, Role]:
        return {self.name: VLAN_ROLE, self.lower: HOST_DEVICE}

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        lower = host.link(self.lower)
        why = carries_no_vlan(lower) if lower else "is not there"
        if lower is None or why:
            needed = f"a device for VLAN {self.vlan}"
            raise Conflict(owner.vif_id, f"uplink {self.lower}", str(why), needed)
        link = host.link(self.name)
        mark = shared_mark(VLAN_DEVICE, self.name)
        woken = drift(self.lower, lower, up=True)
        if link is None:
            self._require_none(owner, host)
        else:
            self._require_same_shape(owner, link)
            if mark not in link.altnames:
                return () if link.up else tuple(woken)
        if lower.mtu < self.mtu:
            found = f"has MTU {lower.mtu}"
            raise Conflict(owner.vif_id, self.lower, found, f"the network's, {self.mtu}, or more")
        if link is not None:
            mtu = max(self.mtu, min(link.mtu, lower.mtu))
            return (*woken, *drift(self.name, link, ipv6=False, mtu=mtu, up=True))
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
            stays = f"not ours, keeps its settings: MTU {link.mtu}"
            return ("change", f"{self.lower} up; {stays}") if operations else ("keep", stays)
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

    def _require_none(self, owner: Owner, host: Host) -> None:
        """Raise Conflict where the VLAN has a device of another name: the kernel has one at most.

        The plugin takes such a device. It came since the plugin looked.
        """
        other = vlan_device(self.lower, self.vlan, host, name=self.name)
        if other != self.name:
            about = f"VLAN {self.vlan} of {self.lower}"
            raise Conflict(owner.vif_id, about, f"is {other}", f"none but {self.name}: try again")

    def _require_same_shape(self, owner: Owner, link: Link) -> None:
        needed = f"VLAN {self.vlan} on {self.lower}, or a name that is free"
        if link.kind != VLAN_DEVICE:
            raise Conflict(owner.vif_id, self.name, f"is a {link.kind} device", needed)
        if not is_vlan(link, self.lower, self.vlan):
            protocol = "" if link.protocol == DOT1Q else f"{link.protocol} "
            found = f"is {protocol}VLAN {link.vlan} on {link.lower or 'a device elsewhere'}"
            raise Conflict(owner.vif_id, self.name, found, needed)
