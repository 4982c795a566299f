# SPDX-License-Identifier: Apache-2.0
"""The fuzzer sees what it is for: a daemon without its checks is found out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tests.fuzz.names import VICTIMS
from tests.fuzz.run import Attempt, Fuzzer
from tests.fuzz.scenario import PARTS, Scenario
from tests.fuzz.world import World
from vifplug.model.host import Host
from vifplug.model.mark import Owner
from vifplug.operations import Operation, SetLink
from vifplug.parts import BridgePort
from vifplug.plan import rights

X = "5d0a6d5e-3f5b-4c0e-9d0a-1b7c5a9e0f11"
LIVE = "tap" + VICTIMS["a"][:11]
BRIDGE = {"kind": "bridge", "name": "br-x", "create": True}
CLAIM = {"kind": "claim", "on": "br-x"}
TAP = {"kind": "tap", "name": f"tap{X[:11]}", "address": "fe:16:3e:5d:0a:6d"}

TAKEN: dict[str, tuple[Sequence[Mapping[str, Any]], str]] = {
    "another VIF's live tap": (
        [BRIDGE, CLAIM, {"kind": "port", "device": LIVE, "bridge": "br-x"}],
        f"link {LIVE} master",
    ),
    "the host's uplink": (
        [BRIDGE, CLAIM, {"kind": "port", "device": "eth9", "bridge": "br-x"}],
        "link eth9 master",
    ),
    "another VIF's name": (
        [TAP | {"name": f"qvo{VICTIMS['k'][:11]}"}],
        f"link qvo{VICTIMS['k'][:11]} squatted",
    ),
}


def attempted(world: World, parts: Sequence[Mapping[str, Any]]) -> Attempt:
    plug = {"vif_type": "bridge", "process": "", "parts": parts}
    scenario = Scenario(way=PARTS, plugin="bridge", vif_id=X, plugs=[plug], unplug={"force": True})
    attempt = Attempt(world, scenario, world.rows())
    attempt.carry_out()
    return attempt


def joined(part: BridgePort, owner: Owner, host: Host) -> tuple[Operation, ...]:
    """Return what has any device join a bridge, whosever it is."""
    link = host.link(part.device)
    assert link
    before, bridge = link.master, part.bridge
    if before == bridge:
        return ()
    return (SetLink(device=part.device, attribute="master", value=bridge, before=before),)


@pytest.mark.parametrize(("parts", "seen"), TAKEN.values(), ids=TAKEN)
def test_a_daemon_without_its_checks_is_found_out(
    parts: Sequence[Mapping[str, Any]], seen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with World.made(with_switch=False) as world:
        attempt = attempted(world, parts)
        assert attempt.findings == {}
    monkeypatch.setattr(rights, "require", lambda *_: None)
    monkeypatch.setattr(BridgePort, "operations", joined)
    with World.made(with_switch=False) as world:
        attempt = attempted(world, parts)
    lines = [line for found in attempt.findings.values() for line in found]
    assert any(line.startswith(seen) for line in lines), attempt.findings


def test_a_well_meant_vif_is_plugged_and_leaves_nothing() -> None:
    with World.made(with_switch=False) as world:
        port = {"kind": "port", "device": TAP["name"], "bridge": "br-x"}
        attempt = attempted(world, [BRIDGE, TAP, port])
        assert (attempt.plugs, attempt.unplugs) == (["done"], ["done"])
        assert (attempt.findings, attempt.changed) == ({}, False)


def test_the_same_seed_makes_the_same_scenarios_up() -> None:
    reports = [Fuzzer("same", PARTS, "bridge", with_switch=False).run(range(6)) for _ in "ab"]
    assert str(reports[0]) == str(reports[1])
