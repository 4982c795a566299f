# SPDX-License-Identifier: Apache-2.0
"""A shared bridge, the devices of ours that are its ports, and claims on what is shared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from vifplug.errors import Conflict
from vifplug.fields import BOOLEAN, DEVICE, MTU, WORD, declared
from vifplug.model.host import Host
from vifplug.model.mark import Owner, shared_mark
from vifplug.operations.altnames import AddAltname, RemoveAltname
from vifplug.operations.links import MakeLink, SetLink
from vifplug.operations.operation import Operation
from vifplug.parts.part import Part, drift, fresh

LEAST_MTU = 68


@dataclass(frozen=True, kw_only=True)
class Bridge(Part):
    """A shared Linux bridge: made where it is missing and ``create`` allows it.

    One that somebody else made keeps its settings; one that we made is repaired. ``mtu`` is the
    least that our bridge must have, so that two networks' VIFs don't pull it to and fro.
    """

    kind: ClassVar[str] = "bridge"

    name: str = declared(DEVICE)
    create: bool = declared(BOOLEAN, default=False)
    mtu: int = declared(MTU, default=1500)
    ipv6: bool = declared(BOOLEAN, default=False)

    @property
    def title(self) -> str:
        return self.name

    @property
    def detail(self) -> str:
        mtu = "" if self.mtu == 1500 else f", MTU {self.mtu}"
        return "forward delay 0, STP off" + mtu

    @property
    def shared(self) -> tuple[str, ...]:
        return (self.name,)

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        mark = shared_mark("bridge", self.name)
        # Without IPv6 the host can't be reached from, or get an address of, the tenant's network;
        # with these ARP settings it answers there for the bridge's own addresses only.
        quiet = {"ipv6": self.ipv6, "arp_ignore": 1, "arp_announce": 2}
        link = host.link(self.name)
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
            return (made, *fresh(self.name, **quiet, mtu=self.mtu, up=True))
        if link.kind != "bridge":
            raise Conflict(owner.vif_id, self.name, f"is a {link.kind} device", "a bridge")
        if mark not in link.altnames:
            return ()
        mtu = max(self.mtu, link.mtu)
        found = drift(self.name, link, **quiet, stp=False, forward_delay=0, mtu=mtu, up=True)
        return tuple(found)

    def step(self, operations: tuple[Operation, ...], host: Host) -> tuple[str, str]:
        link = host.link(self.name)
        if link and shared_mark("bridge", self.name) not in link.altnames:
            return "keep", "not ours, keeps its settings"
        return super().step(operations, host)


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

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        link = host.link(self.device)
        if link and all(mark.vif_id != owner.vif_id for mark in link.marks):
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


@dataclass(frozen=True, kw_only=True)
class Claim(Part):
    """This VIF's use of a shared device that has no port of ours to show for it."""

    kind: ClassVar[str] = "claim"

    on: str = declared(DEVICE)
    role: str = declared(WORD, default="bridge")

    @property
    def title(self) -> str:
        return self.on

    @property
    def detail(self) -> str:
        return "used by this VIF"

    @property
    def shared(self) -> tuple[str, ...]:
        return (self.on,)

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        claim = owner.claim(self.role)
        link = host.link(self.on)
        found = (self.on, link) if link and claim in link.altnames else host.carrying(claim)
        if found is None:
            return (AddAltname(device=self.on, altname=claim),)
        if found[0] == self.on:
            return ()
        # A name is unique on the host, so it leaves the one device before it comes to the other.
        return (
            RemoveAltname(device=found[0], altname=claim),
            AddAltname(device=self.on, altname=claim),
        )

    def step(self, operations: tuple[Operation, ...], host: Host) -> tuple[str, str]:
        if len(operations) == 2:
            return "move", f"from {operations[0].device}"
        return ("make" if operations else "keep"), self.detail
