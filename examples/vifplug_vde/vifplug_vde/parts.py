# SPDX-License-Identifier: Apache-2.0
"""A port of the switch, compared with a host. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from vifplug import Conflict, Host
from vifplug.fields import DEVICE, declared
from vifplug.model.mark import Owner
from vifplug.operations import Operation
from vifplug.parts import CORE, Part, Sysctl
from vifplug.switch import Departure
from vifplug_vde.operations import SetPort
from vifplug_vde.snapshot import PLACE, VLAN, Row, Vde


@dataclass(frozen=True, kw_only=True)
class Port(Part):
    """A device that is connected to a port of the switch, in a VLAN that the switch knows."""

    kind: ClassVar[str] = "vde-port"
    device: str = declared(DEVICE)
    vlan: int = declared(VLAN, default=0)

    @property
    def title(self) -> str:
        return f"{self.device} -> VLAN {self.vlan}"

    @property
    def places(self) -> tuple[str, ...]:
        return (PLACE,)

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        vde, label = host.switch(Vde) or Vde(), label_of(owner, self.device)
        if self.vlan not in vde.vlans:
            allowed = f"one that it has: {', '.join(map(str, vde.vlans))}"
            raise Conflict(owner.vif_id, f"VLAN {self.vlan}", "is not on the switch", allowed)
        row = vde.ports.get(self.device)
        wanted = Row(vif_id=owner.vif_id, vif_type=owner.vif_type, vlan=self.vlan)
        if row and row.vif_id != owner.vif_id:
            raise Conflict(owner.vif_id, self.device, f"is VIF {row.vif_id}'s port", "a free one")
        change = SetPort(device=self.device, label=label, row=wanted, before=row)
        return () if row == wanted else (change,)


def removal(vif: Departure, vde: Vde) -> tuple[SetPort, ...]:
    """Return what takes a VIF out of the switch."""
    own = ((name, row) for name, row in vde.ports.items() if row.vif_id == vif.vif_id)
    return tuple(
        SetPort(device=name, label=label_of(row, name), row=None, before=row) for name, row in own
    )


def label_of(owner: Owner | Row, device: str) -> str:
    """Return the label of a VIF's port: its mark, and the device."""
    return f"{Owner(vif_id=owner.vif_id, vif_type=owner.vif_type).mark(Vde.key)} {device}"


KINDS = (*CORE, Sysctl, Port)
