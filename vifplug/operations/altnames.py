# SPDX-License-Identifier: Apache-2.0
"""Changes of a device's alternative names, which carry marks."""

from __future__ import annotations

from dataclasses import dataclass

from vifplug.model.host import Host
from vifplug.model.link import Link
from vifplug.model.mark import SharedMark
from vifplug.model.thing import Thing
from vifplug.operations.operation import LinkOperation, Operation


@dataclass(frozen=True, kw_only=True)
class AddAltname(LinkOperation):
    """Give a device an alternative name: a claim, or the mark of one that is adopted."""

    altname: str

    def __str__(self) -> str:
        return f"mark {self.device}"

    def on(self, link: Link | None) -> Link | None:
        return link.but({"altnames": (*link.altnames, self.altname)}) if link else None

    def undo(self) -> Operation:
        return RemoveAltname(device=self.device, altname=self.altname)


@dataclass(frozen=True, kw_only=True)
class RemoveAltname(LinkOperation):
    """Take an alternative name from a device; one that is gone is taken already."""

    altname: str

    def __str__(self) -> str:
        return f"unmark {self.device}"

    def things(self, host: Host) -> tuple[Thing, ...]:
        # A shared mark says itself for which device it is, and goes where it is void.
        return () if SharedMark.parse(self.altname) else super().things(host)

    def on(self, link: Link | None) -> Link | None:
        if link is None:
            return None
        left = tuple(name for name in link.altnames if name != self.altname)
        return link.but({"altnames": left})

    def undo(self) -> Operation:
        return AddAltname(device=self.device, altname=self.altname)
