# SPDX-License-Identifier: Apache-2.0
"""The tap that libvirt has made for a guest that runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from vifplug.errors import Conflict
from vifplug.fields import DEVICE, declared
from vifplug.model.host import Host
from vifplug.model.mark import Owner
from vifplug.operations.links import SetLink
from vifplug.operations.operation import Operation
from vifplug.parts.part import Part


@dataclass(frozen=True, kw_only=True)
class GuestTap(Part):
    """The tap of a guest that runs is a port of the bridge that its VIF asks for.

    libvirt makes the tap, joins it to the bridge and removes it; a tap that is not there is none
    of this part's business. Another program may have taken it out since.
    """

    kind: ClassVar[str] = "guest"

    name: str = declared(DEVICE)
    bridge: str = declared(DEVICE)

    @property
    def title(self) -> str:
        return f"{self.name} -> {self.bridge}"

    @property
    def shared(self) -> tuple[str, ...]:
        return (self.bridge,)

    @property
    def places(self) -> tuple[str, ...]:
        return (self.bridge,)

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        link = host.link(self.name)
        if link is None or link.kind != "tap" or link.master == self.bridge:
            return ()
        others = {mark.vif_id for mark in link.marks} - {owner.vif_id}
        if others:
            needed = "the tap of this VIF's guest"
            raise Conflict(owner.vif_id, self.name, f"belongs to VIF {others.pop()}", needed)
        return (
            SetLink(device=self.name, attribute="master", value=self.bridge, before=link.master),
        )

    def step(self, operations: tuple[Operation, ...], host: Host) -> tuple[str, str]:
        link = host.link(self.name)
        if not operations:
            return "keep", ""
        was = link.master if link else None
        return ("move", f"from {was}") if was else ("change", "joined again")
