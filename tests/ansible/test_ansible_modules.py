# SPDX-License-Identifier: Apache-2.0
"""The Ansible collection: real playbooks on network namespaces as hosts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.ansible.fleet import Fleet
from vifplug.testing import NetworkNamespace, TapEnd
from vifplug.testing.dumps import differences

HOSTS = int(os.environ.get("VIFPLUG_ANSIBLE_HOSTS") or 5)
"""How many hosts the fleet has. The time of the test grows with it."""

ID = "0b6a9d0e-7a3c-4a6e-9d55-3f1f0a3c2b11"
TAP = "tap0b6a9d0e-7a"
VIF: dict[str, Any] = {
    "id": ID,
    "vif_type": "bridge",
    "address": "fa:16:3e:11:22:33",
    "network": {"bridge": "br100", "should_create_bridge": True},
}
DECLARED = """\
- {name: eth0, vif_type: bridge, network: {bridge: br100, should_create_bridge: true}}
- {name: eth1, vif_type: tap, devname: tap-web1}
"""


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as found:
        yield found


def fleet(number: int, stack: ExitStack, folder: Path) -> Fleet:
    names = [f"host{position}" for position in range(number)]
    return Fleet(folder, {name: stack.enter_context(NetworkNamespace()) for name in names})


def task(name: str, module: str, *, check: bool = False, **options: Any) -> dict[str, Any]:
    return {"name": name, f"vifplug.host.{module}": options, "check_mode": check, "diff": True}


def test_a_fleet_becomes_what_its_folder_says(stack: ExitStack, tmp_path: Path) -> None:
    """Check mode tells what is then done; a second run does nothing; two broken hosts are alone."""
    hosts = fleet(HOSTS, stack, tmp_path)
    folder = tmp_path / "vifs.d"
    folder.mkdir()
    (folder / "web1.yaml").write_text(DECLARED)
    conflict, without, *well = hosts.hosts
    hosts.hosts[conflict].ip("link", "add", "tap-web1", "type", "veth", "peer", "name", "peer")
    hosts.variables[without]["executable"] = "/nowhere/vifplug"
    before = {name: hosts.hosts[name].everything() for name in hosts.hosts}
    kept = task("looked", "apply", check=True, path=str(folder))
    found = hosts.plays([kept], status=2)
    for name, host in hosts.hosts.items():
        assert differences(before[name], host.everything()) == [], "check mode changes nothing"

    done = hosts.plays(
        [
            task("done", "apply", path=str(folder)),
            task("again", "apply", path=str(folder)),
            task("facts", "facts"),
        ],
        status=2,
    )
    every = [*found.values(), *done.values()]
    failed = {each["host"]: each["result"] for each in every if each["kind"] != "ok"}
    assert set(failed) == {conflict, without}, failed
    for name in well:
        planned, made = found[name, "looked"]["result"], done[name, "done"]["result"]
        assert (planned["changed"], made["changed"]) == (True, True)
        assert planned["diff"] == made["diff"] != {"prepared": ""}
        assert planned["vifs"] == made["vifs"]
        again = done[name, "again"]["result"]
        assert (again["changed"], again["diff"]) == (False, {"prepared": ""})
        facts = done[name, "facts"]["result"]["ansible_facts"]
        assert {one["bridge"] for one in facts["vifplug_vifs"]} == {"br100", None}
        assert "bridge" in {one["vif_type"] for one in facts["vifplug_plugins"]}
        assert {"br100", "tap-web1"} <= set(hosts.hosts[name].everything()["links"])
    told = done[conflict, "done"]["result"]
    assert "tap-web1 is a veth device; needed: a tap" in told["msg"]
    assert "br100" in hosts.hosts[conflict].everything()["links"], "its other VIF is plugged"
    assert told["changed"] is True
    assert "/nowhere/vifplug" in done[without, "done"]["result"]["msg"]
    assert differences(before[without], hosts.hosts[without].everything()) == []


def test_one_vif_comes_and_goes(stack: ExitStack, tmp_path: Path) -> None:
    hosts = fleet(1, stack, tmp_path)
    (namespace,) = hosts.hosts.values()
    before = namespace.everything()
    come = hosts.plays(
        [
            task("look", "vif", check=True, vif=VIF),
            task("plug", "vif", vif=VIF),
            task("again", "vif", vif=VIF),
        ]
    )
    look, plug, again = (come["host0", name]["result"] for name in ("look", "plug", "again"))
    assert look["diff"] == plug["diff"] and "make  tap  " + TAP in look["diff"]["prepared"]
    assert [one["changed"] for one in (look, plug, again)] == [True, True, False]
    assert set(plug["vif"]["made"]) == {"br100", TAP}
    gone_by = {"id": ID, "state": "absent"}
    with TapEnd(namespace, TAP):  # its guest
        gone = hosts.plays(
            [
                task("held", "vif", **gone_by) | {"ignore_errors": True},
                task("look", "vif", check=True, force=True, **gone_by),
                task("unplug", "vif", force=True, **gone_by),
                task("again", "vif", vif=VIF, state="absent"),
            ]
        )
    held = gone["host0", "held"]
    assert (held["kind"], f"{TAP} is in use by" in held["result"]["msg"]) == ("failed", True)
    look, unplug, again = (gone["host0", name]["result"] for name in ("look", "unplug", "again"))
    assert look["diff"] == unplug["diff"] and f"remove  {TAP}" in look["diff"]["prepared"]
    assert [one["changed"] for one in (look, unplug, again)] == [True, True, False]
    assert differences(before, namespace.everything()) == []


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "a field": (
        {"vif": {**VIF, "mtu": 9000}},
        "mtu is 9000; allowed: nothing: there is no such field",
    ),
    "a value": ({"vif": {**VIF, "address": "ff:ff:ff:ff:ff:ff"}}, "address is 'ff:ff:ff:ff:ff:ff'"),
    "no vif": ({}, "state is present but all of the following are missing: vif"),
    "no id": ({"state": "absent"}, "any of the following are missing: vif, id"),
    "no UUID": ({"state": "absent", "id": "web1"}, "id is 'web1'; allowed: a UUID"),
    "no time": ({"vif": VIF, "timeout": -1}, "is no number of seconds"),
}


def test_a_bad_task_is_told_as_vifplug_tells_it(stack: ExitStack, tmp_path: Path) -> None:
    hosts = fleet(1, stack, tmp_path)
    tasks = [task(name, "vif", **options) for name, (options, _) in BAD.items()]
    found = hosts.plays([each | {"ignore_errors": True} for each in tasks])
    for name, (_, said) in BAD.items():
        result = found["host0", name]["result"]
        assert found["host0", name]["kind"] == "failed"
        assert said in result["msg"], name
        assert not result.get("changed")
        assert "Traceback" not in str(result)
