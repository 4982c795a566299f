# SPDX-License-Identifier: Apache-2.0
"""The privileged daemon: CAP_NET_ADMIN, and the switch in four methods."""

from __future__ import annotations

from collections.abc import Sequence

from vifplug import privileged
from vifplug.fields import dump
from vifplug.operations import SwitchOperation
from vifplug.switch import Departure, OneByOne

from << package >>.client import ask
from << package >>.parts import AddPort, RemovePort, removal
from << package >>.plugin import << name >>Plugin
from << package >>.snapshot import << name >>, load


class << name >>Switch(OneByOne[<< name >>]):
    """The switch, for one call."""

    def read(self, vif_ids: Sequence[str] | None) -> << name >>:
        return load(self.options["socket"], until=self.deadline)

    def removal(self, vif: Departure, snapshot: << name >>) -> Sequence[RemovePort]:
        return removal(vif.vif_id, snapshot)

    def do(self, operation: SwitchOperation, *, until: float) -> None:
        match operation:
            case AddPort():
                question = {"do": "add", "name": operation.device, "port": dump(operation.row)}
            case RemovePort():
                question = {"do": "remove", "name": operation.device}
            case _:
                raise TypeError(operation)
        ask(self.options["socket"], question, until=until)

    def close(self) -> None:
        """Between two questions, nothing is open."""


context, plug, unplug = privileged.entrypoints(__name__, << name >>Plugin, switch=<< name >>Switch)
