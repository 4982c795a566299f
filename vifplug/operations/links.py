# SPDX-License-Identifier: Apache-2.0
"""Changes of a device: make it, remove it, set its attributes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vifplug.model.host import Host
from vifplug.model.link import Link
from vifplug.model.thing import Thing, device
from vifplug.operations.operation import WORDS, LinkOperation, Operation, in_words


@dataclass(frozen=True, kw_only=True)
class MakeLink(LinkOperation):
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

    @property
    def made(self) -> tuple[str, ...]:
        return (self.device, self.peer) if self.peer else (self.device,)

    def __str__(self) -> str:
        return f"make {self.kind} {self.device}"

    def things(self, host: Host) -> tuple[Thing, ...]:
        return (device(self.lower, host),) if self.lower else ()

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
class RemoveLink(LinkOperation):
    """Remove a device; one that is gone is removed already.

    It must carry ``mark``, or be of ``kind`` and carry no mark at all. ``unless_used`` leaves a
    device that has a port or a claim. Claims of the VIF ``leaving`` do not count, nor do its own
    devices, which are ``beside``. ``or_fail``: a device that is used is an error.
    """

    mark: str | None = None
    kind: str | None = None
    unless_used: bool = False
    or_fail: bool = False
    leaving: str | None = None
    beside: tuple[str, ...] = ()
    peer: str | None = None

    @property
    def removed(self) -> tuple[str, ...]:
        return (self.device, self.peer) if self.peer else (self.device,)

    def __str__(self) -> str:
        return f"remove {self.device}"

    def on(self, link: Link | None) -> None:
        return None

    def foresee(self, host: Host) -> None:
        super().foresee(host)
        if self.peer:
            host.planned_links.put(self.peer, None)
        for snapshot in host.switches.values():
            for name in self.removed:
                snapshot.forget(name)

    def undo(self) -> None:
        return None


@dataclass(frozen=True, kw_only=True)
class RemoveLinks(Operation):
    """Remove several devices at once: the kernel then waits once for all, and not for each."""

    these: tuple[RemoveLink, ...]

    @classmethod
    def of(cls, these: Sequence[RemoveLink]) -> Operation:
        """Return what removes these, which is the operation itself where it is one."""
        return these[0] if len(these) == 1 else cls(these=tuple(these))

    @property
    def removed(self) -> tuple[str, ...]:
        return tuple(each.device for each in self.these)

    def __str__(self) -> str:
        return f"remove {', '.join(each.device for each in self.these)}"

    def things(self, host: Host) -> tuple[Thing, ...]:
        return tuple(thing for each in self.these for thing in each.things(host))

    def undo(self) -> None:
        return None


@dataclass(frozen=True, kw_only=True)
class SetLink(LinkOperation):
    """Set one attribute of a device; the attributes are those of ``vifplug.model.link.Link``.

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
        return f"{WORDS.get(self.attribute, self.attribute)} {in_words(self.value)}"

    def things(self, host: Host) -> tuple[Thing, ...]:
        joined = self.attribute == "master" and self.value
        return (*super().things(host), *((device(self.value, host),) if joined else ()))

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
        return (cls(these=tuple(these)),)

    def __str__(self) -> str:
        return "; ".join(map(str, self.these))

    def things(self, host: Host) -> tuple[Thing, ...]:
        return tuple(thing for each in self.these for thing in each.things(host))

    def foresee(self, host: Host) -> None:
        for one in self.these:
            one.foresee(host)

    def undo(self) -> Operation | None:
        back = [one for set_ in reversed(self.these) if isinstance(one := set_.undo(), SetLink)]
        return next(iter(SetLinks.of(back)), None)
