# SPDX-License-Identifier: Apache-2.0
"""What a firewall between guest and switch needs: a bridge of the VIF's own, and a wire from it.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from vifplug.errors import Conflict
from vifplug.fields import DEVICE, MTU, declared
from vifplug.model.host import Host
from vifplug.model.link import Link
from vifplug.model.mark import Owner, derived_name
from vifplug.operations import AddAltname, MakeLink, Operation
from vifplug.parts import Part, drift, fresh

QBR, QVB, QVO = "qbr", "qvb", "qvo"
"""Roles of the marks, and prefixes of the names, as Neutron's agents know them."""

# Ageing 0 floods what the guest sends, so that a migration loses nothing; the host has no address
# there and answers for none. Sources: LP 1715317, 1302080, 1825888, 1129055.
_HUB = {"forward_delay": 0, "stp": False, "ageing_time": 0, "multicast_snooping": False}
_QUIET = {"ipv6": False, "arp_ignore": 1, "arp_announce": 2}


@dataclass(frozen=True, kw_only=True)
class FilterBridge(Part):
    """A Linux bridge of the VIF's own, on which the host can filter what its guest sends."""

    kind: ClassVar[str] = "qbr"
    derived: ClassVar[Mapping[str, str]] = {QBR: "bridge"}
    crosses_bridge: ClassVar[bool] = True

    name: str = declared(DEVICE)

    @property
    def title(self) -> str:
        return self.name

    @property
    def detail(self) -> str:
        return "ageing 0, forward delay 0, STP off, IPv6 off"

    @property
    def devices(self) -> tuple[str, ...]:
        return (self.name,)

    def marks(self, owner: Owner) -> Mapping[str, str]:
        return {self.name: owner.mark(QBR)}

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        mark = self.marks(owner)[self.name]
        link = host.link(self.name)
        if link is None:
            _require_one_name(owner, QBR, mark, self.name, host)
            make = MakeLink(
                device=self.name,
                kind="bridge",
                mark=mark,
                forward_delay=0,
                stp=False,
                ageing_time=0,
                multicast_snooping=False,
            )
            return (make, *fresh(self.name, **_QUIET, up=True))
        adopted = _adopted(owner, QBR, mark, self.name, link, kind="bridge")
        return (*adopted, *drift(self.name, link, **_QUIET, **_HUB, up=True))


@dataclass(frozen=True, kw_only=True)
class Veth(Part):
    """A pair of devices of the VIF's own: a frame that enters at one end leaves at the other."""

    kind: ClassVar[str] = "veth"
    derived: ClassVar[Mapping[str, str]] = {QVB: "veth", QVO: "veth"}

    name: str = declared(DEVICE)
    peer: str = declared(DEVICE)
    mtu: int = declared(MTU, default=1500)

    @property
    def title(self) -> str:
        return f"{self.name} = {self.peer}"

    @property
    def detail(self) -> str:
        return f"MTU {self.mtu}, IPv6 off"

    @property
    def devices(self) -> tuple[str, ...]:
        return (self.name, self.peer)

    def marks(self, owner: Owner) -> Mapping[str, str]:
        return {self.name: owner.mark(QVB), self.peer: owner.mark(QVO)}

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        marks = self.marks(owner)
        link, other = host.link(self.name), host.link(self.peer)
        if link is None and other is None:
            _require_one_name(owner, QVB, marks[self.name], self.name, host)
            make = MakeLink(
                device=self.name,
                kind="veth",
                mark=marks[self.name],
                mtu=self.mtu,
                peer=self.peer,
                peer_mark=marks[self.peer],
            )
            quiet = fresh(self.name, ipv6=False) + fresh(self.peer, ipv6=False)
            return (make, *quiet, *fresh(self.peer, up=True), *fresh(self.name, up=True))
        changes: list[Operation] = []
        for role, name, end, far in (
            (QVB, self.name, link, self.peer),
            (QVO, self.peer, other, self.name),
        ):
            if end is None or end.lower != far:
                needed = f"the pair {self.name} and {self.peer}"
                raise Conflict(owner.vif_id, name, "is not the end of this VIF's wire", needed)
            changes += _adopted(owner, role, marks[name], name, end, kind="veth")
            changes += drift(name, end, ipv6=False, mtu=self.mtu, up=True)
        return tuple(changes)


def _require_one_name(owner: Owner, role: str, mark: str, name: str, host: Host) -> None:
    if marked := host.carrying(mark):
        needed = f"the name {name}: unplug and plug to rename"
        raise Conflict(owner.vif_id, marked[0], f"is this VIF's {role} device", needed)


def _adopted(
    owner: Owner, role: str, mark: str, name: str, link: Link, *, kind: str
) -> list[Operation]:
    """Return the operation that marks a device which Nova or os-vif made for this VIF.

    A marked device needs none. Raises Conflict for a device of another VIF.
    """
    if link.kind != kind:
        raise Conflict(owner.vif_id, name, f"is a {link.kind} device", f"a {kind}")
    others = {each.vif_id for each in link.marks} - {owner.vif_id}
    if others:
        needed = "a device of this VIF's own"
        raise Conflict(owner.vif_id, name, f"belongs to VIF {others.pop()}", needed)
    if mark in link.altnames:
        return []
    if name != derived_name(role, owner.vif_id):
        raise Conflict(owner.vif_id, name, "is there and not ours", "a name that is free")
    return [AddAltname(device=name, altname=mark)]
