# SPDX-License-Identifier: Apache-2.0
"""``vifplug plug --move`` and ``plan --move`` as a person runs them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.conftest import ID, ovs_vif, vif
from vifplug.testing import NetworkNamespace, OpenVSwitch
from vifplug.testing.dumps import differences
from vifplug.testing.shell import Shell

TAP = f"tap{ID[:11]}"
NEEDED = "needed: this VIF in one place: unplug it there, or plug with --move"


@pytest.fixture
def ovs(namespace: NetworkNamespace, vifplug: Shell) -> Iterator[OpenVSwitch]:
    with OpenVSwitch(namespace) as found:
        found.add_bridge("br-int")
        vifplug.configure("vifplug_ovs", ovsdb_connection=found.endpoint)
        vifplug.configure("vifplug_bridge", create_tap=True)
        yield found


def test_a_vif_is_moved_only_when_that_is_asked_for(
    vifplug: Shell, namespace: NetworkNamespace, ovs: OpenVSwitch
) -> None:
    here = vifplug.file(vif(), "here.json")
    there = vifplug.file(ovs_vif(details={"ovs_create_tap": True}), "there.json")
    assert vifplug("plug", here).returncode == 0
    before = namespace.everything(), ovs.everything()

    for command in ("plug", "plan", "check"):
        refused = vifplug(command, there)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert f"VIF {ID}: {TAP} is on br100 already (vif_type bridge); {NEEDED}" in refused.stderr
    assert vifplug("check", "--move", there).returncode == 2

    plan = vifplug("plan", "--move", there)
    assert plan.returncode == 0, plan.stderr
    assert plan.stdout.splitlines() == [
        f"{ID}  ovs  manual (details.ovs_create_tap)",
        "  keep    ovs-bridge  br-int           keeps its settings",
        f"  keep    tap         {TAP}   MTU 1500, IPv6 off",
        f"  make    ovs-port    {TAP} -> br-int  MTU 1500",
        f"  leave   set {TAP} master none",
        f"  leave   mark {TAP}",
        f"  leave   unmark {TAP}",
        "  note    moves from br100 (vif_type bridge)",
    ]
    (found,) = vifplug.json("plan", "--move", there)
    assert (found["changed"], found["process"]) == (True, "manual")
    leave = {"action": "leave", "part": "", "name": "", "detail": f"unmark {TAP}"}
    assert leave in found["steps"]
    now = namespace.everything(), ovs.everything()
    assert differences(before[0], now[0]) + differences(before[1], now[1]) == []

    moved = vifplug("plug", "--move", there)
    assert moved.returncode == 0, moved.stderr
    assert moved.stdout == f"{ID}  ovs  manual  changed: {TAP}\n"
    assert vifplug("check", there).returncode == 0
    assert "unchanged" in vifplug("plug", "--move", there).stdout
    (listed,) = vifplug.json("list")
    assert (listed["vif_type"], listed["bridge"], listed["devices"]) == ("ovs", "br-int", [TAP])

    refused = vifplug("plug", here)
    assert (refused.returncode, "(vif_type ovs, manual)" in refused.stderr) == (1, True)
    assert vifplug("plug", "--move", here).returncode == 0
    assert ovs.vsctl("list-ports", "br-int") == ""
    assert vifplug("unplug", here).returncode == 0
    assert vifplug.json("list") == []
