# SPDX-License-Identifier: Apache-2.0
"""A shared bridge, and the devices of ours that are its ports. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from vifplug.errors import Conflict
from vifplug.fields import BOOLEAN, DEVICE, MTU, declared
from vifplug.model.host import Host
from vifplug.model.link import Link
from vifplug.model.mark import UPLINK, VLAN_DEVICE, Owner, shared_mark
from vifplug.operations.addressing import move_addressing
from vifplug.operations.altnames import RemoveAltname
from vifplug.operations.claims import AddClaim
from vifplug.operations.links import MakeLink, RemoveLink, SetLink
from vifplug.operations.operation import Operation, Unit
from vifplug.parts.part import Leaving, Part, drift, fresh
from vifplug.parts.roles import BRIDGE, JOINED, Role, uplink_of

LEAST_MTU = 68
_SETTINGS = "forward delay 0, STP off"


def _other(mtu: int) -> str:
    """Return what a plan says of a bridge's MTU: nothing of the usual one."""
    return "" if mtu == 1500 else f", MTU {mtu}"


@dataclass(frozen=True, kw_only=True)
class Bridge(Part):
    """A shared Linux bridge: made where it is missing and ``create`` allows it.

    One that somebody else made keeps its settings; one that we made is repaired. ``mtu`` is the
    least that our bridge must have, so that two networks' VIFs don't pull it to and fro. It has no
    larger one than its uplink, because the host's own traffic may go there. It has IPv6 where the
    host has an IPv6 address there.
    """

    kind: ClassVar[str] = "bridge"
    crosses_bridge: ClassVar[bool] = True

    name: str = declared(DEVICE)
    create: bool = declared(BOOLEAN, default=False)
    mtu: int = declared(MTU, default=1500)

    @property
    def title(self) -> str:
        return self.name

    @property
    def detail(self) -> str:
        return _SETTINGS + _other(self.mtu)

    @property
    def shared(self) -> tuple[str, ...]:
        return (self.name,)

    def roles(self, owner: Owner, host: Host) -> Mapping[str, Role]:
        return {self.name: BRIDGE}

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        mark = shared_mark("bridge", self.name)
        link = host.link(self.name)
        # Without IPv6 the host can't be reached from, or get an address of, the tenant's network;
        # with these ARP settings it answers there for the bridge's own addresses only.
        quiet = {"ipv6": has_ipv6(self.name, host), "arp_ignore": 1, "arp_announce": 2}
        if link is None:
            if not self.create:
                needed = "one that is there, or should_create_bridge without multi_host"
                raise Conflict(owner.vif_id, f"bridge {self.name}", "is not there", needed)
            made = MakeLink(
                device=self.name,
                kind="bridge",
                mark=mark,
                shared=True,
                # The kernel takes an MTU for ours, and not for its ports' to lower, only when it
                # is changed to it.
                mtu=self.mtu - 1 if self.mtu > LEAST_MTU else self.mtu + 1,
                forward_delay=0,
                stp=False,
            )
            # The MTU comes first, because IPv6 may come with it.
            return (made, *fresh(self.name, mtu=self.mtu, **quiet, up=True))
        if link.kind != "bridge":
            raise Conflict(owner.vif_id, self.name, f"is a {link.kind} device", "a bridge")
        if mark not in link.altnames:
            return ()
        mtu = max(min(self.mtu, _most_mtu(self.name, host)), link.mtu)
        found = drift(self.name, link, **quiet, stp=False, forward_delay=0, mtu=mtu, up=True)
        return tuple(found)

    def step(self, operations: tuple[Operation, ...], host: Host) -> tuple[str, str]:
        link = host.link(self.name)
        if link and shared_mark("bridge", self.name) not in link.altnames:
            return "keep", "not ours, keeps its settings" + _other(link.mtu)
        if link and not operations:
            return "keep", _SETTINGS + _other(link.mtu)
        return super().step(operations, host)

    @classmethod
    def unused(cls, device: str, host: Host, leaving: Leaving) -> tuple[Unit, ...]:
        """Remove a bridge of ours that only this VIF uses. Its uplink gets its addresses back.

        A bridge with an address of its own and no uplink is in use by the host.
        """
        bridge, mark = host.link(device), shared_mark("bridge", device)
        if bridge is None or mark not in bridge.altnames:
            return ()
        uplink, joined = uplink_of(device, host) or (None, None)
        strangers = set(host.ports(device)) - {uplink} - leaving.own
        if not leaving.uses_alone(device, host) or strangers:
            return ()
        removed = RemoveLink(
            device=device,
            mark=mark,
            unless_used=True,
            or_fail=uplink is not None,
            leaving=leaving.vif_id,
            beside=tuple(sorted(leaving.own)),
        )
        claimed = _missing_claim(device, host, leaving)
        if uplink is None or joined is None or _made_by_us(uplink, joined):
            if host.addresses(device):
                return ()
            if uplink is None:
                return (*claimed, (removed,))
        leave = SetLink(device=uplink, attribute="master", value=None, before=device)
        between = leave if joined and joined.master == device else None
        unmarked = RemoveAltname(device=uplink, altname=shared_mark(UPLINK, device))
        # Last, because the removal of a bridge can't be undone.
        moved = move_addressing(host, device, uplink, between=between)
        return (*claimed, (*moved, unmarked, removed))


def _most_mtu(bridge: str, host: Host) -> int:
    """Return the largest MTU of use for a bridge: its uplink's, or of what that lies on."""
    name, link = uplink_of(bridge, host) or ("", None)
    if link and link.lower and _made_by_us(name, link):
        link = host.link(link.lower)
    return link.mtu if link else MTU.most


def changes_mtu(bridge: str, at: int, device: str, mtu: int, host: Host) -> bool:
    """Whether the kernel may give a bridge of MTU ``at`` that of a port, ``mtu``.

    It does where nothing has set the bridge's own MTU. A port with a larger one raises a bridge
    that has no other port.
    """
    return mtu < at or (mtu > at and not host.ports(bridge).keys() - {device})


def has_ipv6(device: str, host: Host) -> bool:
    """Whether the host has an IPv6 address on a device, beyond the link-local ones."""
    link = host.link(device)
    # First, because a device whose IPv6 is off needs no query for its addresses.
    if link is None or link.ipv6 is False:
        return False
    return any(":" in address for address in host.addresses(device))


def _missing_claim(bridge: str, host: Host, leaving: Leaving) -> tuple[Unit, ...]:
    """Return the claim that the VIF lacks where its tap is a port of the bridge.

    An unplug that is killed once the tap is gone can then be repeated.
    """
    if leaving.owner is None or leaving.vif_id in host.claimants(bridge):
        return ()
    return ((AddClaim(device=bridge, claim=leaving.owner.claim("bridge")),),)


def _made_by_us(name: str, link: Link) -> bool:
    return shared_mark(VLAN_DEVICE, name) in link.altnames


@dataclass(frozen=True, kw_only=True)
class BridgePort(Part):
    """A device of ours that is a port of a bridge."""

    kind: ClassVar[str] = "port"

    device: str = declared(DEVICE)
    bridge: str = declared(DEVICE)

    @property
    def title(self) -> str:
        return f"{self.device} -> {self.bridge}"

    @property
    def shared(self) -> tuple[str, ...]:
        return (self.bridge,)

    @property
    def places(self) -> tuple[str, ...]:
        return (self.bridge,)

    @property
    def ports(self) -> tuple[str, ...]:
        return (self.device,)

    def roles(self, owner: Owner, host: Host) -> Mapping[str, Role]:
        return {self.bridge: JOINED}

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        link = host.link(self.device)
        if link and owner.vif_id not in link.owners:
            raise Conflict(owner.vif_id, self.device, "is not ours", "a device of this VIF's own")
        before = link.master if link else None
        if before == self.bridge:
            return ()
        return (
            SetLink(
                device=self.device,
                attribute="master",
                value=self.bridge,
                before=before,
            ),
        )

    def step(self, operations: tuple[Operation, ...], host: Host) -> tuple[str, str]:
        if not operations:
            return "keep", ""
        link = host.link(self.device)
        return ("move", f"from {link.master}") if link and link.master else ("make", "")
