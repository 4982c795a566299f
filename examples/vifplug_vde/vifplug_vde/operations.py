# SPDX-License-Identifier: Apache-2.0
"""The one change of the switch, which is its own undo. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from vifplug import Host
from vifplug.operations import Operation, PortOperation
from vifplug_vde.snapshot import Row, Vde


@dataclass(frozen=True, kw_only=True)
class SetPort(PortOperation):
    """Give a device the port ``row``, or with None disconnect it; ``before`` is what it has.

    The switch keeps ``label`` with the port.
    """

    label: str
    row: Row | None
    before: Row | None = None

    def __str__(self) -> str:
        if self.row is None:
            return f"disconnect {self.device}"
        return f"{'move' if self.before else 'connect'} {self.device} to VLAN {self.row.vlan}"

    def undo(self) -> Operation:
        return replace(self, row=self.before, before=self.row)

    def foresee(self, host: Host) -> None:
        ports = (host.switch(Vde) or Vde()).ports
        ports.pop(self.device, None)
        if self.row:
            ports[self.device] = self.row
