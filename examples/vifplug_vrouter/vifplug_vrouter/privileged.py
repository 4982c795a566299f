# SPDX-License-Identifier: Apache-2.0
"""The daemon: its entrypoints, and the agent."""

from __future__ import annotations

from collections.abc import Sequence

from vifplug import privileged
from vifplug.operations import SwitchOperation
from vifplug.switch import Departure, OneByOne
from vifplug_vrouter.agent import Agent, call, ports
from vifplug_vrouter.plugin import SetPort, VrouterPlugin, removal


class AgentSwitch(OneByOne[Agent]):
    """The agent for one call, until a deadline."""

    def read(self, vif_ids: Sequence[str] | None) -> Agent:
        return ports(self.options["agent"], vif_ids or (), self.deadline)

    def removal(self, vif: Departure, snapshot: Agent) -> Sequence[SetPort]:
        return removal(vif, snapshot)

    def do(self, operation: SwitchOperation, *, until: float) -> None:
        assert isinstance(operation, SetPort)  # noqa: S101 - the plugin has no other
        address, port = self.options["agent"], operation.port
        if port:
            call(address, "POST", "/port", port.to_json(), until=until)
        else:
            call(address, "DELETE", f"/port/{operation.vif_id}", until=until)

    def close(self) -> None:
        """Between two calls, nothing is open."""


context, plug, unplug = privileged.entrypoints(__name__, VrouterPlugin, switch=AgentSwitch)
