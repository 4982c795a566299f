# SPDX-License-Identifier: Apache-2.0
"""More beside Neutron's Open vSwitch agent: ``make cloud`` runs these tests."""

from __future__ import annotations

from tests.cloud.agents import AgentCloud
from tests.cloud.churn import churn


def test_fifty_ports_come_and_go_beside_the_agent(cloud: AgentCloud) -> None:
    churn(cloud, 50, rounds=20, seed=2)


def test_a_port_alone_leaves_the_mtu_of_its_network_alone(cloud: AgentCloud) -> None:
    network = cloud.neutron.network("small", "10.9.0.0/24", mtu=1400)
    port = cloud.neutron.port(network)
    device = f"tap{port['id'][:11]}"

    def mtu() -> int:
        (link,) = cloud.host.namespace.ip_json("link", "show", device)
        return int(link["mtu"])

    cloud.host.done("plug", port, networks=(network,))
    cloud.neutron.wait_for("ACTIVE", port)
    assert mtu() == 1400
    (again,) = cloud.host.done("plug", port)
    assert (again["changed"], mtu()) == (False, 1400)
    cloud.host.done("unplug", port)
    cloud.neutron.delete(port)
