# SPDX-License-Identifier: Apache-2.0
"""The changes that a plan is made of: one kernel change each, as data, with its own undo.

Nothing here touches the host: ``vifplug.perform`` does them. A value from before travels in
the operation, so that an undo needs no memory but the list of what was done.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from vifplug.host import Host, Link, Vf

_WORDS = {
    "ipv6": "IPv6",
    "spoofchk": "spoof check",
    "mtu": "MTU",
    "stp": "STP",
    "forward_delay": "forward delay",
    "accept_ra": "accept_ra",
    "ageing_time": "ageing",
    "multicast_snooping": "multicast snooping",
}


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One change of one device."""

    device: str

    in_database: ClassVar[bool] = False
    """Whether this changes a switch's database, in one transaction with others, not the kernel."""

    def undo(self) -> Operation | None:
        """Return what takes this back, or None where another operation's undo does."""
        raise NotImplementedError

    def foresee(self, host: Host) -> None:
        """Note on a host that is being planned what this will have changed."""
        link = self.on(host.link(self.device))
        host.planned_links.put(self.device, link)

    def on(self, link: Link | None) -> Link | None:
        """Return the device as this makes it, for planning."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class MakeLink(Operation):
    """Make a device that isn't there; it carries its mark from the first moment.

    Without an address the kernel's choice is replaced by a random one given at creation, since
    udev rewrites addresses that nobody gave; but a device on a ``lower`` one has that one's. With a
    ``peer`` it is a pair, whose other end has a mark and an address of its own.
    """

    kind: str
    mark: str
    shared: bool = False
    address: str | None = None
    mtu: int | None = None
    forward_delay: int | None = None
    stp: bool | None = None
    ageing_time: int | None = None
    multicast_snooping: bool | None = None
    multi_queue: bool | None = None
    lower: str | None = None
    vlan: int | None = None
    peer: str | None = None
    peer_mark: str | None = None

    def __str__(self) -> str:
        return f"make {self.kind} {self.device}"

    def on(self, link: Link | None) -> Link:
        return Link(
            kind=self.kind,
            altnames=(self.mark,),
            mtu=self.mtu or 1500,
            address=self.address,
            forward_delay=self.forward_delay,
            stp=self.stp,
            ageing_time=self.ageing_time,
            multicast_snooping=self.multicast_snooping,
            multi_queue=self.multi_queue,
            lower=self.lower or self.peer,
            vlan=self.vlan,
        )

    def foresee(self, host: Host) -> None:
        super().foresee(host)
        if self.peer and self.peer_mark:
            other = Link(
                kind=self.kind,
                altnames=(self.peer_mark,),
                mtu=self.mtu or 1500,
                lower=self.device,
            )
            host.planned_links.put(self.peer, other)

    def undo(self) -> Operation:
        return RemoveLink(
            device=self.device, mark=self.mark, unless_used=self.shared, peer=self.peer
        )


@dataclass(frozen=True, kw_only=True)
class RemoveLink(Operation):
    """Remove a device; one that is gone is removed already.

    It must carry ``mark``, or be of ``kind`` and carry no mark at all. ``unless_used`` leaves a
    device that has a port or a claim, other than those of the VIF ``leaving``; ``or_fail`` does
    not take that for done.
    """

    mark: str | None = None
    kind: str | None = None
    unless_used: bool = False
    or_fail: bool = False
    leaving: str | None = None
    peer: str | None = None

    def __str__(self) -> str:
        return f"remove {self.device}"

    def on(self, link: Link | None) -> None:
        return None

    def foresee(self, host: Host) -> None:
        super().foresee(host)
        if self.peer:
            host.planned_links.put(self.peer, None)

    def undo(self) -> None:
        return None


@dataclass(frozen=True, kw_only=True)
class RemoveLinks(Operation):
    """Remove several devices at once: the kernel then waits once for all, and not for each."""

    these: tuple[RemoveLink, ...]

    @classmethod
    def of(cls, these: Sequence[RemoveLink]) -> Operation:
        """Return what removes these, which is the operation itself where it is one."""
        return these[0] if len(these) == 1 else cls(device=these[0].device, these=tuple(these))

    def __str__(self) -> str:
        return f"remove {', '.join(one.device for one in self.these)}"

    def undo(self) -> None:
        return None


@dataclass(frozen=True, kw_only=True)
class SetLink(Operation):
    """Set one attribute of a device; the attributes are those of ``vifplug.host.Link``.

    ``fresh``: on a device that the same plan makes, whose removal takes this back too.
    """

    attribute: str
    value: Any
    before: Any = None
    fresh: bool = False

    def __str__(self) -> str:
        return f"set {self.device} {self.words}"

    @property
    def words(self) -> str:
        """What is set, in words, as "MTU 1450"."""
        if self.attribute == "up":
            return "up" if self.value else "down"
        return f"{_WORDS.get(self.attribute, self.attribute)} {_said(self.value)}"

    def on(self, link: Link | None) -> Link | None:
        return link.but({self.attribute: self.value}) if link else None

    def undo(self) -> Operation | None:
        if self.fresh:
            return None
        return SetLink(
            device=self.device, attribute=self.attribute, value=self.before, before=self.value
        )


@dataclass(frozen=True, kw_only=True)
class SetLinks(Operation):
    """Set several attributes in one go; where one can't be set, the others may have been."""

    these: tuple[SetLink, ...]

    @classmethod
    def of(cls, these: Sequence[SetLink]) -> tuple[Operation, ...]:
        """Return what sets these: nothing, the operation itself where it is one, or all as one."""
        if len(these) < 2:
            return tuple(these)
        return (cls(device=these[0].device, these=tuple(these)),)

    def __str__(self) -> str:
        return "; ".join(map(str, self.these))

    def foresee(self, host: Host) -> None:
        for one in self.these:
            one.foresee(host)

    def undo(self) -> Operation | None:
        back = [one for set_ in reversed(self.these) if isinstance(one := set_.undo(), SetLink)]
        return next(iter(SetLinks.of(back)), None)


@dataclass(frozen=True, kw_only=True)
class RemoveLeaked(Operation):
    """Remove a macvtap that a guest left behind, which no process holds. Taken back by nothing.

    It must lie on ``lower`` and have this address; a guest that starts now would not get it.
    """

    lower: str
    address: str

    def __str__(self) -> str:
        return f"remove {self.device}, which no guest holds"

    def on(self, link: Link | None) -> None:
        return None

    def undo(self) -> None:
        return None


@dataclass(frozen=True, kw_only=True)
class SetVf(Operation):
    """Set one attribute of a virtual function through ``device``, its physical one.

    The attributes are those of ``vifplug.host.Vf``; that of vlan is a pair with qos.
    """

    vf: int
    attribute: str
    value: Any
    before: Any = None

    def __str__(self) -> str:
        return f"set {self.device} VF {self.vf} {self.words}"

    @property
    def words(self) -> str:
        """What is set, in words, as "VLAN 100"."""
        if self.attribute == "vlan":
            vlan, qos = self.value
            return f"VLAN {vlan or 'none'}" + (f" qos {qos}" if qos else "")
        return f"{_WORDS.get(self.attribute, self.attribute)} {_said(self.value)}"

    def foresee(self, host: Host) -> None:
        now = host.vf(self.device, self.vf) or Vf()
        host.planned_links.put_vf(self.device, self.vf, self.made_of(now))

    def made_of(self, vf: Vf) -> Vf:
        """Return the virtual function as this makes it."""
        if self.attribute == "vlan":
            vlan, qos = self.value
            return dataclasses.replace(vf, vlan=vlan, qos=qos)
        return dataclasses.replace(vf, **{self.attribute: self.value})

    def undo(self) -> Operation:
        return dataclasses.replace(self, value=self.before, before=self.value)


def set_vf(device: str, number: int, now: Vf, wanted: Vf) -> tuple[Operation, ...]:
    """Return what makes one of a virtual function the other; what is None stays as it is."""
    pairs = [
        ("address", now.address, wanted.address),
        ("vlan", (now.vlan, now.qos), (wanted.vlan, wanted.qos)),
        ("spoofchk", now.spoofchk, wanted.spoofchk),
        ("trust", now.trust, wanted.trust),
    ]
    return tuple(
        SetVf(device=device, vf=number, attribute=name, value=value, before=before)
        for name, before, value in pairs
        if value is not None and value != before
    )


@dataclass(frozen=True, kw_only=True)
class AddAltname(Operation):
    """Give a device an alternative name: a claim, or the mark of one that is adopted."""

    altname: str

    def __str__(self) -> str:
        return f"mark {self.device}"

    def on(self, link: Link | None) -> Link | None:
        return link.but({"altnames": (*link.altnames, self.altname)}) if link else None

    def undo(self) -> Operation:
        return RemoveAltname(device=self.device, altname=self.altname)


@dataclass(frozen=True, kw_only=True)
class RemoveAltname(Operation):
    """Take an alternative name from a device; one that is gone is taken already."""

    altname: str

    def __str__(self) -> str:
        return f"unmark {self.device}"

    def on(self, link: Link | None) -> Link | None:
        if link is None:
            return None
        left = tuple(name for name in link.altnames if name != self.altname)
        return link.but({"altnames": left})

    def undo(self) -> Operation:
        return AddAltname(device=self.device, altname=self.altname)


@dataclass(frozen=True, kw_only=True)
class _Addressing(Operation):
    """A change of a device's addresses or routes. ``these`` are named as the Host names them.

    Addresses and routes move by being copied first and removed after: at every moment they are
    on one device or both, so that whoever is killed in between loses none.
    """

    these: tuple[str, ...]

    def foresee(self, host: Host) -> None:
        addresses = self.on_addresses(host.addresses(self.device))
        routes = self.on_routes(host.routes(self.device))
        host.planned_links.put_addressing(self.device, addresses, routes)

    def on_addresses(self, addresses: tuple[str, ...]) -> tuple[str, ...]:
        """Return the device's IP addresses as this makes them."""
        return addresses

    def on_routes(self, routes: tuple[str, ...]) -> tuple[str, ...]:
        """Return the device's routes as this makes them."""
        return routes


@dataclass(frozen=True, kw_only=True)
class CopyAddresses(_Addressing):
    """Give a device addresses that ``source`` has, with their lifetimes, metrics and flags."""

    source: str

    def __str__(self) -> str:
        return f"copy addresses from {self.source} to {self.device}"

    def on_addresses(self, addresses: tuple[str, ...]) -> tuple[str, ...]:
        return _with(addresses, self.these)

    def undo(self) -> Operation:
        return RemoveAddresses(device=self.device, kept_on=self.source, these=self.these)


@dataclass(frozen=True, kw_only=True)
class RemoveAddresses(_Addressing):
    """Take addresses from a device; ``kept_on`` has them too."""

    kept_on: str

    def __str__(self) -> str:
        return f"remove addresses from {self.device}"

    def on_addresses(self, addresses: tuple[str, ...]) -> tuple[str, ...]:
        return _without(addresses, self.these)

    def undo(self) -> Operation:
        return CopyAddresses(device=self.device, source=self.kept_on, these=self.these)


@dataclass(frozen=True, kw_only=True)
class CopyRoutes(_Addressing):
    """Have routes through ``source`` go through this device as well, in the same order."""

    source: str

    def __str__(self) -> str:
        return f"copy routes from {self.source} to {self.device}"

    def on_routes(self, routes: tuple[str, ...]) -> tuple[str, ...]:
        return _with(routes, self.these)

    def undo(self) -> Operation:
        return RemoveRoutes(device=self.device, kept_on=self.source, these=self.these)


@dataclass(frozen=True, kw_only=True)
class RemoveRoutes(_Addressing):
    """Take routes from a device; they go through ``kept_on`` too."""

    kept_on: str

    def __str__(self) -> str:
        return f"remove routes from {self.device}"

    def on_routes(self, routes: tuple[str, ...]) -> tuple[str, ...]:
        return _without(routes, self.these)

    def undo(self) -> Operation:
        return CopyRoutes(device=self.device, source=self.kept_on, these=self.these)


def move_addressing(
    host: Host, source: str, target: str, *, between: Operation | None
) -> tuple[Operation, ...]:
    """Return what moves all addresses and routes from one device to another.

    ``between`` is what lets the target reach what the source reached: it is done once both have
    the addresses, and before the routes, which need it.
    """
    addresses, routes = host.addresses(source), host.routes(source)
    # What the target has already is its own: taking the copy back must not take that.
    new_addresses = _without(addresses, host.addresses(target))
    new_routes = _without(routes, host.routes(target))
    done: list[Operation] = []
    if new_addresses:
        done.append(CopyAddresses(device=target, source=source, these=new_addresses))
    if between:
        done.append(between)
    if new_routes:
        done.append(CopyRoutes(device=target, source=source, these=new_routes))
    if routes:
        done.append(RemoveRoutes(device=source, kept_on=target, these=routes))
    if addresses:
        done.append(RemoveAddresses(device=source, kept_on=target, these=addresses))
    return tuple(done)


def _with(some: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    return (*some, *(one for one in more if one not in some))


def _without(some: tuple[str, ...], fewer: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(one for one in some if one not in fewer)


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "none" if value is None else str(value)
