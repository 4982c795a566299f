# SPDX-License-Identifier: Apache-2.0
"""What vifplug's suite must know of this plugin. It has a stand-in for the vRouter's agent."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import ClassVar

from vifplug import VIF
from vifplug.testing import NetworkNamespace
from vifplug.testing.cases import Case
from vifplug.testing.conformance import Drift, PluginTests, RunningSwitch, Scene
from vifplug_vrouter.agent import Agent, call
from vifplug_vrouter.stand_in_agent import StandInAgent


def forgotten(scene: Scene, vif: VIF) -> None:
    """Have another program delete the VIF's port."""
    address = scene.switch.options["agent"]
    with scene.host.entered():
        call(address, "DELETE", f"/port/{vif.id}", until=time.monotonic() + 10)


class TestVrouter(PluginTests):
    """The suite, with the cases in the folder ``cases``."""

    vif_type = "vrouter"
    drifts: ClassVar[dict[str, Drift]] = {"forgotten": forgotten}

    @contextlib.contextmanager
    def host(self, namespace: NetworkNamespace, case: Case) -> Iterator[RunningSwitch]:
        known = (case.host.switch(Agent) or Agent()).ports
        with StandInAgent(namespace) as agent:
            agent.ports |= {port.id: port.to_json() for port in known.values()}
            yield RunningSwitch(
                options={"agent": agent.address},
                state=lambda: dict(agent.ports),
                stop=agent.stop,
                start=agent.start,
                pause=agent.pause,
                resume=agent.resume,
            )
