# SPDX-License-Identifier: Apache-2.0
"""Day two beside a real libvirtd: whose a VIF is, in each state of its guest, and what gc keeps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_cli_daytwo import dry_and_real
from vifplug.testing import Libvirt, NetworkNamespace
from vifplug.testing.shell import Shell

ADDRESS = "fa:16:3e:11:22:0{}"
NAMES = ("running", "off", "orphan", "unattached", "saved", "declared")
IDS = {name: f"0b6a9d0{n}-7a3c-4a6e-9d55-3f1f0a3c2b11" for n, name in enumerate(NAMES)}


@pytest.fixture
def libvirt() -> Iterator[Libvirt]:
    with NetworkNamespace() as host, Libvirt(host) as daemon:
        daemon.virsh("capabilities")  # it looks at each QEMU first
        host.ip("link", "add", "br100", "type", "bridge")
        host.ip("link", "set", "br100", "up")
        yield daemon


@pytest.fixture
def vifplug(libvirt: Libvirt, tmp_path: Path) -> Shell:
    shell = Shell(libvirt._namespace, tmp_path)
    shell.configure("vifplug", libvirt_uri=libvirt.uri, virt_type="qemu")
    return shell


def vif(name: str, **more: Any) -> dict[str, Any]:
    address = ADDRESS.format(NAMES.index(name))
    return {"id": IDS[name], "vif_type": "bridge", "address": address,
            "network": {"bridge": "br100"}, **more}  # fmt: skip


def states(shell: Shell) -> dict[str, str]:
    return {one["id"]: one["state"] for one in shell.json("list")}


def test_each_state_is_told_apart_and_gc_takes_the_orphan_only(
    vifplug: Shell, libvirt: Libvirt
) -> None:
    file = vifplug.file([vif(name) for name in NAMES if name != "unattached"])
    assert vifplug("plug", file).returncode == 0
    guests = {
        name: libvirt.start_guest(vifplug("xml", vifplug.file(vif(name))).stdout, name=name)
        for name in ("running", "off", "saved")
    }
    uuid = libvirt.virsh("domuuid", "running").strip()
    instance = {"instance": {"uuid": uuid, "name": "as plugged"}}
    assert vifplug("plug", vifplug.file(vif("unattached", **instance))).returncode == 0
    libvirt.virsh("destroy", "off")
    # The definition has the VIF no more, the saved guest has.
    libvirt.virsh("managedsave", "saved")
    definition = libvirt.virsh("dumpxml", "--inactive", "saved")
    bare = (
        definition[: definition.index("<interface")]
        + definition[definition.index("</interface>") + len("</interface>") :]
    )
    libvirt.virsh("define", "/dev/stdin", input=bare)

    # Another has a VIF in its metadata only.
    vifs = f"<vifs><vif id='{IDS['declared']}'/></vifs>"
    where = ("--uri", "urn:vifplug:domain:1", "--key", "vifplug")
    libvirt.virsh("metadata", "off", *where, "--set", vifs, "--config")

    told = {"running": "up", "off": "off", "orphan": "orphan", "unattached": "unattached",
            "saved": "unattached", "declared": "unattached"}  # fmt: skip
    assert states(vifplug) == {IDS[name]: state for name, state in told.items()}
    table = vifplug("list").stdout
    assert "fa:16:3e:11:22:01  bridge  br100   -     -               guest is off" in table
    assert "ORPHAN: no guest has it" in table
    assert [one["id"] for one in vifplug.json("list", "--orphaned")] == [IDS["orphan"]]
    found = {one["id"]: one["guest"] for one in vifplug.json("list")}
    assert [found[IDS[name]] for name in ("off", "unattached", "declared")] == [
        "off",
        "running",
        "off",
    ]
    shown = vifplug.json("show", IDS["running"])[0]
    assert '<target dev="tap0b6a9d00-7a"' in shown["live_xml"].replace("'", '"')
    assert shown["guest"] == "running" and shown["error"] is None
    assert vifplug("check", "--all").returncode == 0

    libvirt.virsh("domif-setlink", "running", ADDRESS.format(0), "down")
    assert states(vifplug)[IDS["running"]] == "down"
    # What libvirt has differs from the VIF: the guest would start on another bridge.
    other = libvirt.virsh("dumpxml", "--inactive", "off").replace("br100", "br200")
    libvirt.virsh("define", "/dev/stdin", input=other)
    done = vifplug("check", "--all")
    assert (done.returncode, "source bridge br200, not br100" in done.stdout) == (3, True)

    assert dry_and_real(vifplug, "--libvirt") == [f"{IDS['orphan']}  bridge", "  unclaim br100"]
    assert IDS["orphan"] not in states(vifplug) and len(states(vifplug)) == 5
    guests["running"].destroy()


def test_libvirt_without_a_guest_is_asked_twice(vifplug: Shell, libvirt: Libvirt) -> None:
    assert vifplug("plug", vifplug.file(vif("orphan"))).returncode == 0
    refused = vifplug("gc", "--libvirt", "-f", "json")
    assert refused.returncode == 2
    (row,) = json.loads(refused.stdout)
    assert row["problem"]["value"] == "none" and "--all" in row["problem"]["allowed"]
    assert states(vifplug) == {IDS["orphan"]: "orphan"}
    assert dry_and_real(vifplug, "--libvirt", "--all")[0] == f"{IDS['orphan']}  bridge"
    assert states(vifplug) == {}
