# SPDX-License-Identifier: Apache-2.0
"""The long form of the churn: ``make cloud`` runs it."""

from __future__ import annotations

from tests.cloud.agents import AgentCloud
from tests.cloud.churn import churn


def test_fifty_ports_come_and_go_beside_the_agent(cloud: AgentCloud) -> None:
    churn(cloud, 50, rounds=20, seed=2)
