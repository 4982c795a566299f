# SPDX-License-Identifier: Apache-2.0
"""What a switch's database tells: the work that it gave vswitchd, and its rows' UUIDs."""

from __future__ import annotations

from vifplug.testing import OpenVSwitch


def configuration(ovs: OpenVSwitch) -> int:
    """Return how many transactions have asked vswitchd for a new configuration."""
    return int(ovs.vsctl("--no-wait", "get", "Open_vSwitch", ".", "next_cfg"))


def token_of(bridge: str, ovs: OpenVSwitch) -> str:
    """Return the token of the claims on a bridge."""
    database = ovs.vsctl("get", "Open_vSwitch", ".", "_uuid").strip()
    row = ovs.vsctl("get", "Bridge", bridge, "_uuid").strip()
    return f"ovs-{database}-{row}"
