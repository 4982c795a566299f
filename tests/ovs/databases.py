# SPDX-License-Identifier: Apache-2.0
"""What a switch's database tells of the work that it gave vswitchd."""

from __future__ import annotations

from vifplug.testing import OpenVSwitch


def configuration(ovs: OpenVSwitch) -> int:
    """Return how many transactions have asked vswitchd for a new configuration."""
    return int(ovs.vsctl("--no-wait", "get", "Open_vSwitch", ".", "next_cfg"))
