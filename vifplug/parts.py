# SPDX-License-Identifier: Apache-2.0
"""Parts: the things that must exist on a host for one VIF, and how each compares with a host.

A part is a wish. ``operations()`` says which changes make it true on a given host: none where it
is true already. It raises Conflict where another's device stands in the way. All of it is pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from vifplug import fields
from vifplug.errors import Conflict, shown
from vifplug.fields import BOOLEAN, DEVICE, MAC, MTU, WORD, Integer, declared
from vifplug.host import Host, Link
from vifplug.mark import Owner, derived_name, shared_mark
from vifplug.operations import AddAltname, MakeLink, Operation, RemoveAltname, SetLink

LEAST_MTU = 68
MOST_TAP_MTU = 65521
"""The kernel's limit for a tap: 65535 less the Ethernet header."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One thing that must exist on the host."""

    kind: ClassVar[str]

    @property
    def title(self) -> str:
        """How a plan names the part."""
        raise NotImplementedError

    @property
    def detail(self) -> str:
        """What a plan says of the part when it makes it."""
        return ""

    @property
    def devices(self) -> tuple[str, ...]:
        """The VIF's own devices that this part makes."""
        return ()

    @property
    def shared(self) -> tuple[str, ...]:
        """The devices of others that this part uses or makes; locked while it is applied."""
        return ()

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        """Return the changes that make this part true on the host. Raises Conflict."""
        raise NotImplementedError

    def step(self, operations: tuple[Operation, ...], host: Host) -> tuple[str, str]:
        """Return the plan's word for these operations (make, change, move or keep) and a detail."""
        if not operations:
            return "keep", self.detail
        if isinstance(operations[0], MakeLink):
            return "make", self.detail
        return "change", ", ".join(_words(operation) for operation in operations)

    def to_dict(self) -> dict[str, Any]:
        """Return the part as plain data, with its kind, for the privileged side."""
        return {"kind": self.kind, **fields.dump(self)}


def build(data: Any, kinds: Iterable[type[Part]]) -> Part:
    """Return the part that :meth:`Part.to_dict` wrote, every field checked again.

    Raises ValueError for anything else: the privileged side trusts nobody.
    """
    known: Mapping[str, type[Part]] = {kind.kind: kind for kind in kinds}
    kind = data.get("kind") if isinstance(data, Mapping) else None
    if not isinstance(kind, str) or kind not in known:
        raise ValueError(f"not a part: {shown(data)}; known: {', '.join(known)}")
    rest = {name: value for name, value in data.items() if name != "kind"}

    def refuse(field: str, value: str, allowed: str) -> ValueError:
        return ValueError(f"part {kind}: {field} is {value}; allowed: {allowed}")

    return fields.load(known[kind], rest, refuse)


def _words(operation: Operation) -> str:
    if isinstance(operation, SetLink):
        return operation.words
    return "adopted" if isinstance(operation, AddAltname) else str(operation)


def _drift(device: str, link: Link, **wanted: Any) -> list[Operation]:
    """Return what sets the attributes that differ. None means: there is no such thing to set."""
    return [
        SetLink(device=device, attribute=name, value=value, before=getattr(link, name))
        for name, value in wanted.items()
        if getattr(link, name) is not None and getattr(link, name) != value
    ]


def _fresh(device: str, **wanted: Any) -> list[Operation]:
    return [
        SetLink(device=device, attribute=name, value=value, fresh=True)
        for name, value in wanted.items()
    ]


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
            return (made, *_fresh(self.name, **quiet, mtu=self.mtu, up=True))
        if link.kind != "bridge":
            raise Conflict(owner.vif_id, self.name, f"is a {link.kind} device", "a bridge")
        if mark not in link.altnames:
            return ()
        mtu = max(self.mtu, link.mtu)
        found = _drift(self.name, link, **quiet, stp=False, forward_delay=0, mtu=mtu, up=True)
        return tuple(found)

    def step(self, operations: tuple[Operation, ...], host: Host) -> tuple[str, str]:
        link = host.link(self.name)
        if link and shared_mark("bridge", self.name) not in link.altnames:
            return "keep", "not ours, keeps its settings"
        return super().step(operations, host)


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


@dataclass(frozen=True, kw_only=True)
class Tap(Part):
    """A persistent tap of the VIF's own, made before the guest that will open it.

    ``address`` is the host's side: never the guest's, since a bridge takes what is addressed to
    its own ports' addresses for itself. Without one it is the guest's with another first octet.
    """

    kind: ClassVar[str] = "tap"

    name: str = declared(DEVICE)
    address: str = declared(MAC)
    mtu: int = declared(Integer(LEAST_MTU, MOST_TAP_MTU), default=1500)
    multi_queue: bool = declared(BOOLEAN, default=False)
    ipv6: bool = declared(BOOLEAN, default=False)

    @property
    def title(self) -> str:
        return self.name

    @property
    def detail(self) -> str:
        queues = "multi-queue, " if self.multi_queue else ""
        return f"{queues}MTU {self.mtu}, IPv6 {'on' if self.ipv6 else 'off'}"

    @property
    def devices(self) -> tuple[str, ...]:
        return (self.name,)

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        mark = owner.mark("tap")
        marked = host.carrying(mark)
        if marked and marked[0] != self.name:
            needed = f"the name {self.name}: unplug and plug to rename"
            raise Conflict(owner.vif_id, marked[0], "is this VIF's tap", needed)
        link = host.link(self.name)
        if link is None:
            made = MakeLink(
                device=self.name,
                kind="tap",
                mark=mark,
                address=self.address,
                multi_queue=self.multi_queue,
            )
            return (made, *_fresh(self.name, ipv6=self.ipv6, mtu=self.mtu, up=True))
        self._require_same_shape(owner, link, ours=marked is not None)
        # MTU, IPv6 and state are repaired; the address is not, lest a live guest's port flaps.
        repairs = _drift(self.name, link, ipv6=self.ipv6, mtu=self.mtu, up=True)
        adopted = [] if marked else [AddAltname(device=self.name, altname=mark)]
        return (*adopted, *repairs)

    def _require_same_shape(self, owner: Owner, link: Link, *, ours: bool) -> None:
        if link.kind != "tap":
            raise Conflict(owner.vif_id, self.name, f"is a {link.kind} device", "a tap")
        others = {mark.vif_id for mark in link.marks} - {owner.vif_id}
        if others:
            needed = "a tap of this VIF's own"
            raise Conflict(owner.vif_id, self.name, f"belongs to VIF {others.pop()}", needed)
        if not ours and self.name != derived_name("tap", owner.vif_id):
            raise Conflict(owner.vif_id, self.name, "is there and not ours", "a name that is free")
        if link.multi_queue is not None and link.multi_queue != self.multi_queue:
            words = {True: "multi-queue", False: "single-queue"}
            raise Conflict(
                owner.vif_id,
                self.name,
                f"is {words[link.multi_queue]}",
                f"{words[self.multi_queue]}: unplug and plug",
            )


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


CORE: tuple[type[Part], ...] = (Bridge, Claim, Tap, BridgePort)
"""The kinds of part that the core itself can make."""


def host_side_address(address: str) -> str:
    """Return the address of a tap's host side: the guest's with fe (or fa) as first octet.

    As libvirt does it: high, so that a bridge never takes it for its own.
    """
    return ("fa" if address.startswith("fe") else "fe") + address[2:]
