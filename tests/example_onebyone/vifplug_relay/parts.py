# SPDX-License-Identifier: Apache-2.0
"""A VIF's port on the switch, and the two changes that the switch can make. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from vifplug import Conflict, Host
from vifplug.fields import DEVICE, WORD, Choice, declared
from vifplug.model.mark import Owner
from vifplug.model.thing import Thing
from vifplug.operations import Operation, SwitchOperation
from vifplug.parts import CORE, HostRoute, Part, ProxyNeighbour, Sysctl
from vifplug_relay.snapshot import ATTACHED, Relay, Row


@dataclass(frozen=True, kw_only=True)
class _Change(SwitchOperation):
    """A change of the row of a port."""

    name: str
    row: Row

    def things(self, host: Host) -> tuple[Thing, ...]:
        row = (host.switch(Relay) or Relay()).ports.get(self.name)
        title, owners = f"relay port {self.name}", frozenset({row.vif_id} if row else ())
        return (Thing(name=self.name, title=title, kind="port", owners=owners),) if row else ()


@dataclass(frozen=True, kw_only=True)
class AddPort(_Change):
    """Add a port."""

    @property
    def made(self) -> tuple[str, ...]:
        return (self.name,)

    def __str__(self) -> str:
        return f"add port {self.name}"

    def undo(self) -> Operation:
        return RemovePort(name=self.name, row=self.row)

    def foresee(self, host: Host) -> None:
        if relay := host.switch(Relay):
            relay.ports[self.name] = self.row


@dataclass(frozen=True, kw_only=True)
class RemovePort(_Change):
    """Remove a port; one that is gone is removed already."""

    @property
    def removed(self) -> tuple[str, ...]:
        return (self.name,)

    def __str__(self) -> str:
        return f"remove port {self.name}"

    def undo(self) -> Operation:
        return AddPort(name=self.name, row=self.row)

    def foresee(self, host: Host) -> None:
        if relay := host.switch(Relay):
            relay.ports.pop(self.name, None)


@dataclass(frozen=True, kw_only=True)
class Port(Part):
    """A port of the switch, with the VIF's id: a tap's, or a socket's."""

    kind: ClassVar[str] = "relay-port"
    name: str = declared(DEVICE)
    segment: str = declared(WORD)
    attached: str = declared(Choice(*ATTACHED), default="tap")

    @property
    def title(self) -> str:
        return f"{self.name} -> {self.segment}"

    @property
    def places(self) -> tuple[str, ...]:
        return (self.segment,)

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        wanted = Row(vif_id=owner.vif_id, segment=self.segment, attached=self.attached)
        row = (host.switch(Relay) or Relay()).ports.get(self.name)
        if row == wanted:
            return ()
        if row and row.vif_id != owner.vif_id:
            raise Conflict(owner.vif_id, self.name, f"is VIF {row.vif_id}'s port", "a free one")
        gone = (RemovePort(name=self.name, row=row),) if row else ()
        return (*gone, AddPort(name=self.name, row=wanted))


def removal(vif_id: str, relay: Relay | None) -> tuple[RemovePort, ...]:
    """Return what takes a VIF out of the switch."""
    rows = (relay or Relay()).ports.items()
    return tuple(RemovePort(name=name, row=row) for name, row in rows if row.vif_id == vif_id)


KINDS = (*CORE, Sysctl, HostRoute, ProxyNeighbour, Port)
