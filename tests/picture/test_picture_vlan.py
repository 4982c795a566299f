# SPDX-License-Identifier: Apache-2.0
"""A VLAN device of a real host is drawn between its uplink and its bridge."""

from __future__ import annotations

from pathlib import Path

import pytest

from vifplug.testing import NetworkNamespace, veth
from vifplug.testing.shell import Shell

VIF = {
    "id": "0b6a9d0e-7a3c-4a6e-9d55-3f1f0a3c2b11",
    "vif_type": "bridge",
    "address": "fa:16:3e:11:22:33",
    "network": {"bridge": "br100", "interface": "eth1", "vlan": 100,
                "should_create_bridge": True, "should_create_vlan": True},
}  # fmt: skip


@pytest.mark.kernel("8021q")
def test_a_vlan_is_drawn_and_so_is_a_plan_that_makes_it(tmp_path: Path) -> None:
    with NetworkNamespace() as host, NetworkNamespace() as wire:
        veth(host, "eth1", wire, "wire1")
        shell = Shell(host, tmp_path)
        shell.configure("vifplug", libvirt_uri="test:///nowhere")
        shell.configure("vifplug_bridge", create_tap=True)
        file = shell.file(VIF)
        plan = shell("plan", "--draw", "tree", file)
        assert plan.returncode == 0, plan.stderr
        assert "└─ +  vlan100  VLAN 100\n   └─ +  br100  bridge\n" in plan.stdout
        assert shell("plug", file).returncode == 0
        assert shell("topology").stdout.splitlines() == [
            "eth1  veth",
            "└─ vlan100  VLAN 100",
            "   └─ br100  bridge",
            "      └─ tap0b6a9d0e-7a  bridge  0b6a9d0e  unattached",
        ]
