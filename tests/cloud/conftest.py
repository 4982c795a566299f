# SPDX-License-Identifier: Apache-2.0
"""The clouds that the tests share; each starts once a run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cloud.agents import AgentCloud, agent_cloud
from tests.cloud.bridges import BridgeCloud, bridge_cloud
from tests.cloud.ovns import OvnCloud, ovn_cloud


@pytest.fixture(scope="package")
def shared_cloud() -> Iterator[AgentCloud]:
    """A Neutron, and a host with its Open vSwitch agent."""
    with agent_cloud() as found:
        yield found


@pytest.fixture
def cloud(shared_cloud: AgentCloud) -> AgentCloud:
    """The shared cloud, whose agent has the firewall ``openvswitch`` at first."""
    shared_cloud.run_agent("openvswitch")
    return shared_cloud


@pytest.fixture(scope="module")
def ovn() -> Iterator[OvnCloud]:
    """A Neutron with OVN, and two hosts."""
    with ovn_cloud() as found:
        yield found


@pytest.fixture(scope="module")
def bridges() -> Iterator[BridgeCloud]:
    """A Neutron with its linuxbridge and its macvtap agent, and a host."""
    with bridge_cloud() as found:
        yield found
