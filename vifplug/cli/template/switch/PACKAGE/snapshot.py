# SPDX-License-Identifier: Apache-2.0
"""What planning may know of the switch, and how it is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from vifplug import VIF, Host
from vifplug.errors import NO_VIF, SwitchError
from vifplug.fields import BOOLEAN, LINE, UUID, WORD, Record, Table, declared
from vifplug.switch import Snapshot, Trace

from << package >>.client import ask


@dataclass(frozen=True, kw_only=True)
class Row:
    """A port of the switch. ``vif_type`` is empty where another program made it."""

    vif_id: str = declared(UUID)
    segment: str = declared(WORD)
    vif_type: str = declared(WORD, default="")


@dataclass(frozen=True, kw_only=True)
class << name >>(Snapshot):
    """The switch's ports, by their devices."""

    key: ClassVar[str] = "<< short >>"
    ports: dict[str, Row] = declared(Table(Record(Row)), default_factory=dict)
    error: str | None = declared(LINE, default=None)
    absent: bool = declared(BOOLEAN, default=False)

    def planning(self) -> << name >>:
        return replace(self, ports=dict(self.ports))

    def traces(self, vif_id: str | None = None, interface_id: str | None = None) -> Iterable[Trace]:
        for device, row in self.ports.items():
            owner, kind = row.vif_id, row.vif_type
            if owner == vif_id or (vif_id is None and kind):
                yield Trace(vif_id=owner, vif_type=kind, bridge=row.segment, devices=(device,))


def load(path: str, *, until: float) -> << name >>:
    """Return what the switch has. Raises SwitchError."""
    answer = ask(path, {"do": "list"}, until=until)
    return << name >>.from_dict(answer, lambda *words: SwitchError(NO_VIF, path, " ".join(words)))


def read(
    options: Mapping[str, Any], vifs: Sequence[VIF] | None, host: Host, *, deadline: float
) -> << name >>:
    """Return what the switch has. This module is the plugin's ``vifplug.switch.Reader``."""
    path = options["socket"]
    try:
        return load(path, until=deadline)
    except SwitchError as error:
        # A switch that is down is an error. The socket's folder shows that this host has one.
        return << name >>(error=error.why, absent=not Path(path).parent.exists())
