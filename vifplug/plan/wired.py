# SPDX-License-Identifier: Apache-2.0
"""A VIF on its way to a plan: checked by its plugin, then wired for a host. Plain values."""

from __future__ import annotations

from dataclasses import dataclass

from vifplug.model.mark import Owner
from vifplug.model.vif import VIF
from vifplug.operations.operation import Operation
from vifplug.plugin import VIFPlugin
from vifplug.switch import Wanted
from vifplug.wiring import Wiring


@dataclass(frozen=True, kw_only=True)
class Ready:
    """A VIF that its plugin has completed and checked."""

    vif: VIF
    plugin: VIFPlugin


@dataclass(frozen=True, kw_only=True)
class Wired:
    """A VIF with its plugin, and what the plugin says that it needs on a host.

    ``elsewhere`` are the names by which another vif_type may have left it somewhere.
    ``move``: it is brought over from there, by the plugin ``mover`` if that is another one.
    ``leaving`` is what takes it out of there.
    """

    vif: VIF
    plugin: VIFPlugin
    wiring: Wiring
    elsewhere: tuple[str, ...] = ()
    move: bool = False
    mover: VIFPlugin | None = None
    leaving: tuple[Operation, ...] = ()

    @property
    def ready(self) -> Ready:
        """The VIF before it was wired for a host."""
        return Ready(vif=self.vif, plugin=self.plugin)

    @property
    def module(self) -> str:
        """The privileged module that plugs it: its plugin's, or that of the switch it leaves."""
        return (self.mover or self.plugin).privileged()

    @property
    def owner(self) -> Owner:
        """The VIF as the owner of its parts."""
        return Owner(vif_id=self.vif.id, vif_type=self.vif.vif_type, process=self.wiring.process)

    @property
    def shared(self) -> tuple[str, ...]:
        """The shared devices that its parts use."""
        return tuple(name for part in self.wiring.parts for name in part.shared)

    @property
    def wanted(self) -> Wanted:
        """The VIF as it is to be plugged."""
        return Wanted(
            owner=self.owner,
            parts=self.wiring.parts,
            interface_id=self.vif.interface_id,
            move=self.move,
        )
