# SPDX-License-Identifier: Apache-2.0
"""The changes that a plan is made of: one kernel change each, as data, with its own undo.

Nothing here touches the host: ``vifplug.netlink`` performs them. A value from before travels in
the operation, so that an undo needs no memory but the list of what was done.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from vifplug.host import Link

_WORDS = {"ipv6": "IPv6", "mtu": "MTU", "stp": "STP", "forward_delay": "forward delay"}


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One change of one device."""

    device: str

    def on(self, link: Link | None) -> Link | None:
        """Return the device as this makes it, for planning."""
        raise NotImplementedError

    def undo(self) -> Operation | None:
        """Return what takes this back, or None where another operation's undo does."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class MakeLink(Operation):
    """Make a device that isn't there; it carries its mark from the first moment.

    Without an address the kernel's choice is replaced by a random one given at creation, since
    udev rewrites addresses that nobody gave.
    """

    kind: str
    mark: str
    shared: bool = False
    address: str | None = None
    mtu: int | None = None
    forward_delay: int | None = None
    stp: bool | None = None
    multi_queue: bool | None = None

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
            multi_queue=self.multi_queue,
        )

    def undo(self) -> Operation:
        return RemoveLink(device=self.device, mark=self.mark, unless_used=self.shared)


@dataclass(frozen=True, kw_only=True)
class RemoveLink(Operation):
    """Remove a device; one that is gone is removed already.

    It must carry ``mark``, or be of ``kind`` and carry no mark at all. ``unless_used`` leaves a
    device that has a port or a claim.
    """

    mark: str | None = None
    kind: str | None = None
    unless_used: bool = False

    def __str__(self) -> str:
        return f"remove {self.device}"

    def on(self, link: Link | None) -> None:
        return None

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
        return dataclasses.replace(link, **{self.attribute: self.value}) if link else None

    def undo(self) -> Operation | None:
        if self.fresh:
            return None
        return SetLink(
            device=self.device, attribute=self.attribute, value=self.before, before=self.value
        )


@dataclass(frozen=True, kw_only=True)
class AddAltname(Operation):
    """Give a device an alternative name: a claim, or the mark of one that is adopted."""

    altname: str

    def __str__(self) -> str:
        return f"mark {self.device}"

    def on(self, link: Link | None) -> Link | None:
        return dataclasses.replace(link, altnames=(*link.altnames, self.altname)) if link else None

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
        return dataclasses.replace(link, altnames=left)

    def undo(self) -> Operation:
        return AddAltname(device=self.device, altname=self.altname)


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "none" if value is None else str(value)
