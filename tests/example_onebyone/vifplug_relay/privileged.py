# SPDX-License-Identifier: Apache-2.0
"""The daemon: the switch in four methods, and the entrypoints."""

from __future__ import annotations

from collections.abc import Sequence

from vifplug import privileged
from vifplug.fields import dump
from vifplug.operations import SwitchOperation
from vifplug.switch import Departure, OneByOne, Refused
from vifplug_relay.parts import AddPort, RemovePort, removal
from vifplug_relay.plugin import RelayPlugin
from vifplug_relay.snapshot import Relay, ask, load


class RelaySwitch(OneByOne[Relay]):
    """The switch, for one call."""

    def read(self, vif_ids: Sequence[str] | None) -> Relay:
        return load(self.options["socket"], until=self.deadline)

    def removal(self, vif: Departure, snapshot: Relay) -> Sequence[RemovePort]:
        return removal(vif.vif_id, snapshot)

    def do(self, operation: SwitchOperation, *, until: float) -> None:
        if isinstance(operation, AddPort):
            question = {"do": "add", "name": operation.name, "port": dump(operation.row)}
        elif isinstance(operation, RemovePort):
            question = {"do": "remove", "name": operation.name}
        answer = ask(self.options["socket"], question, until=until)
        if "error" in answer:
            raise Refused(answer["error"])

    def close(self) -> None:
        """Between two questions, nothing is open."""


context, plug, unplug = privileged.entrypoints(__name__, RelayPlugin, switch=RelaySwitch)
