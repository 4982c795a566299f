# SPDX-License-Identifier: Apache-2.0
"""The tap that libvirt has made for a guest that runs. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from vifplug.errors import Conflict
from vifplug.model.host import Host
from vifplug.model.mark import Owner
from vifplug.operations.links import SetLink
from vifplug.operations.operation import Operation
from vifplug.parts.bridge import BridgePort


@dataclass(frozen=True, kw_only=True)
class GuestTap(BridgePort):
    """The tap of a guest that runs is a port of the bridge that its VIF asks for.

    libvirt makes the tap, joins it to the bridge and removes it. A tap that is not there is none
    of this part's business. Another program may have taken it out since.
    """

    kind: ClassVar[str] = "guest"

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        link = host.link(self.device)
        if link is None or link.kind != "tap" or link.master == self.bridge:
            return ()
        others = {mark.vif_id for mark in link.marks} - {owner.vif_id}
        if others:
            needed = "the tap of this VIF's guest"
            raise Conflict(owner.vif_id, self.device, f"belongs to VIF {others.pop()}", needed)
        return (
            SetLink(device=self.device, attribute="master", value=self.bridge, before=link.master),
        )

    def step(self, operations: tuple[Operation, ...], host: Host) -> tuple[str, str]:
        action, detail = super().step(operations, host)
        return ("change", "joined again") if action == "make" else (action, detail)
