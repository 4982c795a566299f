# SPDX-License-Identifier: Apache-2.0
"""A VIF's port on the switch, and the two changes that the switch can make. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from vifplug import Conflict, Host
from vifplug.fields import DEVICE, WORD, declared
from vifplug.model.mark import Owner
from vifplug.operations import Operation, PortOperation
from vifplug.parts import CORE, Part

from << package >>.snapshot import << name >>, Row


@dataclass(frozen=True, kw_only=True)
class AddPort(PortOperation):
    """Have the switch add a port."""

    row: Row

    def __str__(self) -> str:
        return f"add port {self.device}"

    def undo(self) -> Operation:
        return RemovePort(device=self.device, row=self.row)

    def foresee(self, host: Host) -> None:
        if switch := host.switch(<< name >>):
            switch.ports[self.device] = self.row


@dataclass(frozen=True, kw_only=True)
class RemovePort(PortOperation):
    """Have the switch remove a port; one that is gone is removed already."""

    row: Row

    def __str__(self) -> str:
        return f"remove port {self.device}"

    def undo(self) -> Operation:
        return AddPort(device=self.device, row=self.row)

    def foresee(self, host: Host) -> None:
        if switch := host.switch(<< name >>):
            switch.ports.pop(self.device, None)


@dataclass(frozen=True, kw_only=True)
class Port(Part):
    """A device that is a port of the switch, with the VIF's id."""

    kind: ClassVar[str] = "<< short >>-port"
    device: str = declared(DEVICE)
    segment: str = declared(WORD)

    @property
    def title(self) -> str:
        return f"{self.device} -> {self.segment}"

    @property
    def places(self) -> tuple[str, ...]:
        return (self.segment,)

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        wanted = Row(vif_id=owner.vif_id, segment=self.segment, vif_type=owner.vif_type)
        row = (host.switch(<< name >>) or << name >>()).ports.get(self.device)
        if row == wanted:
            return ()
        if row and row.vif_id != owner.vif_id:
            raise Conflict(owner.vif_id, self.device, f"is VIF {row.vif_id}'s port", "a free one")
        gone = (RemovePort(device=self.device, row=row),) if row else ()
        return (*gone, AddPort(device=self.device, row=wanted))


def removal(vif_id: str, switch: << name >> | None) -> tuple[RemovePort, ...]:
    """Return what takes a VIF out of the switch, whoever made its ports."""
    rows = (switch or << name >>()).ports.items()
    return tuple(RemovePort(device=name, row=row) for name, row in rows if row.vif_id == vif_id)


KINDS = (*CORE, Port)
