# SPDX-License-Identifier: Apache-2.0
"""Ports that come and go beside Neutron's agent."""

from __future__ import annotations

import random
from typing import Any

from tests.cloud.agents import AgentCloud
from tests.cloud.neutrons import eventually


def churn(cloud: AgentCloud, count: int, *, rounds: int, seed: int) -> None:
    """Plug and unplug ports of two networks at random; require that each ends in its own VLAN."""
    chosen, host = random.Random(seed), cloud.host
    before = host.devices()
    half = count // 2
    ports = cloud.neutron.ports(cloud.one, half) + cloud.neutron.ports(cloud.two, count - half)
    for _ in range(rounds):
        command = chosen.choice(("plug", "unplug"))
        host.done(command, *chosen.sample(ports, half))
    host.done("plug", *ports)
    cloud.neutron.wait_for("ACTIVE", *ports)

    def rows() -> dict[str, Any]:
        return {row["name"]: row for row in host.ovs.rows("Port")}

    def astray() -> list[str]:
        """Return the ports that have no VLAN, or are a trunk."""
        found = rows()
        names = [f"tap{port['id'][:11]}" for port in ports]
        return [
            name
            for name in names
            if found[name]["tag"] in ([], 4095) or found[name]["vlan_mode"] != []
        ]

    assert eventually(lambda: not astray()), astray()
    tags: dict[str, set[int]] = {}
    for port in ports:
        tag = rows()[f"tap{port['id'][:11]}"]["tag"]
        tags.setdefault(port["network_id"], set()).add(tag)
    assert {len(found) for found in tags.values()} == {1}, tags
    assert len(set.union(*tags.values())) == 2, tags
    for one in host.done("check", *ports):
        assert not one["changed"] and not [w for w in one["warnings"] if "not wired" in w]
    host.done("unplug", *ports)
    cloud.neutron.wait_for("DOWN", *ports)
    assert host.devices() == before
    assert host.listed() == {}
    cloud.neutron.delete(*ports)
