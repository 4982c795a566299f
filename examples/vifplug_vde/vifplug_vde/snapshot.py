# SPDX-License-Identifier: Apache-2.0
"""What planning may know of the switch, and how it is read."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from vifplug import VIF, Host
from vifplug.fields import BOOLEAN, DEVICE, LINE, UUID, WORD, Integer, Many, Record, Table, declared
from vifplug.model.mark import Mark
from vifplug.switch import Snapshot, Trace
from vifplug_vde.client import Management, VdeError

PLACE = "vde"
"""How ``vifplug list`` names the switch."""

VLAN = Integer(0, 4094)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A VIF's port of the switch: it is there as long as a program is connected to it."""

    vif_id: str = declared(UUID)
    vif_type: str = declared(WORD)
    vlan: int = declared(VLAN)


@dataclass(frozen=True, kw_only=True)
class Vde(Snapshot):
    """The VIFs' ports by the devices that they connect, and the VLANs of the switch."""

    key: ClassVar[str] = "vde"
    ports: dict[str, Row] = declared(Table(Record(Row)), default_factory=dict)
    vlans: tuple[int, ...] = declared(Many(VLAN, most=4095), default=(0,))
    error: str | None = declared(LINE, default=None)
    absent: bool = declared(BOOLEAN, default=False)

    def planning(self) -> Vde:
        return replace(self, ports=dict(self.ports))

    def traces(self, vif_id: str | None = None, interface_id: str | None = None) -> Iterable[Trace]:
        for device, row in self.ports.items():
            if vif_id in (None, row.vif_id):
                yield Trace(
                    vif_id=row.vif_id, vif_type=row.vif_type, bridge=PLACE, devices=(device,)
                )


def seen(management: Management) -> Vde:
    """Return what the switch has. Raises VdeError."""
    ports = {}
    for one in management.endpoints():
        text, _, device = one.label.partition(" ")
        if (mark := Mark.parse(text)) and mark.role == Vde.key:
            with contextlib.suppress(ValueError):
                ports[DEVICE.check(device, lenient=False)] = Row(
                    vif_id=mark.vif_id, vif_type=mark.vif_type, vlan=one.vlan
                )
    return Vde(ports=ports, vlans=management.vlans())


def read(
    options: Mapping[str, Any], vifs: Sequence[VIF] | None, host: Host, *, deadline: float
) -> Vde:
    """Return what the switch has. This module is the plugin's ``vifplug.switch.Reader``."""
    try:
        with contextlib.closing(Management(options["management"], deadline)) as management:
            return seen(management)
    except VdeError as error:
        return Vde(error=error.why, absent=error.number == errno.ENOENT)
