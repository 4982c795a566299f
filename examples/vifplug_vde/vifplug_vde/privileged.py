# SPDX-License-Identifier: Apache-2.0
"""The daemon: its entrypoints, and the switch."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from oslo_privsep import capabilities

from vifplug import privileged
from vifplug.operations import SwitchOperation
from vifplug.switch import Departure, OneByOne
from vifplug_vde.client import Management, connect
from vifplug_vde.operations import SetPort
from vifplug_vde.parts import removal
from vifplug_vde.plugin import VdePlugin
from vifplug_vde.snapshot import Vde, seen


class VdeSwitch(OneByOne[Vde]):
    """The switch for one call, until a deadline."""

    def read(self, vif_ids: Sequence[str] | None) -> Vde:
        with self._management(self.deadline) as management:
            return seen(management)

    def removal(self, vif: Departure, snapshot: Vde) -> Sequence[SetPort]:
        return removal(vif, snapshot)

    def do(self, operation: SwitchOperation, *, until: float) -> None:
        assert isinstance(operation, SetPort)  # noqa: S101 - the plugin has no other
        with self._management(until) as management:
            found = management.labelled(operation.label)
            if operation.row is None:
                for one in found:
                    management.ask(f"port/epclose {one.port} {one.number}")
                    management.ask(f"port/remove {one.port}")
            elif found:
                management.ask(f"port/setvlan {found[0].port} {operation.row.vlan}")
            else:
                self._connect(management, operation, operation.row.vlan, until)

    def _connect(self, management: Management, operation: SetPort, vlan: int, until: float) -> None:
        """Connect a device; its frames pass once its port is in the VLAN."""
        with connect(self.options["control"], operation.device, operation.label, until) as go:
            for one in management.labelled(operation.label):
                management.ask(f"port/setvlan {one.port} {vlan}")
            go()

    def _management(self, until: float) -> contextlib.closing[Management]:
        return contextlib.closing(Management(self.options["management"], until))

    def close(self) -> None:
        """Between two changes, nothing is open."""


context, plug, unplug = privileged.entrypoints(
    __name__, VdePlugin, switch=VdeSwitch, needs=(capabilities.CAP_NET_RAW,)
)
