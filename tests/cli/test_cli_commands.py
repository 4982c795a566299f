# SPDX-License-Identifier: Apache-2.0
"""What each command prints, for people and for programs, and its exit status."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import ID, OTHER, vif
from tests.planning import BRIDGE
from vifplug.testing import TapEnd
from vifplug.testing.cases import Case, good
from vifplug.testing.dumps import differences
from vifplug.testing.shell import COMMAND, Shell

TAP = "tap0b6a9d0e-7a"


def test_the_whole_way_with_a_tap_made_beforehand(vifplug: Shell) -> None:
    vifplug.configure("vifplug_bridge", create_tap=True, remove_unused=True)
    name = vifplug.file([vif(), vif(OTHER, address="fa:16:3e:11:22:44")])
    before = vifplug.namespace.everything()
    assert vifplug("check", name).returncode == 3

    done = vifplug("plug", name)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"{ID}  bridge  changed: made br100, {TAP}",
        f"{OTHER}  bridge  changed: made tap1c7bae1f-8b",
    ]
    assert vifplug("check", name).returncode == 0
    assert vifplug("plug", name).stdout.splitlines()[0] == f"{ID}  bridge  unchanged"
    assert vifplug("list", "--tree").stdout.splitlines() == [
        "br100",
        f"├─ {ID}  bridge  unattached",
        f"│  └─ {TAP}",
        f"└─ {OTHER}  bridge  unattached",
        "   └─ tap1c7bae1f-8b",
    ]
    told = {"guest": None, "address": "fa:16:3e:11:22:33", "vlan": None, "unwired": None}
    assert vifplug.json("list")[0] == told | {
        "id": ID,
        "vif_type": "bridge",
        "process": None,
        "devices": [TAP],
        "bridge": "br100",
        **{"in_use": False, "state": "unattached", "drift": []},
    }

    vifplug.namespace.ip("link", "set", TAP, "mtu", "1300")
    done = vifplug("check", name)
    assert done.returncode == 3
    assert f"change  tap     {TAP}   MTU 1500" in done.stdout
    drift = json.loads(vifplug("check", name, "-f", "json").stdout)
    assert [one["changed"] for one in drift] == [True, False]

    done = vifplug("unplug", name)
    assert done.returncode == 0
    assert vifplug("list").stdout == ""
    assert differences(before, vifplug.namespace.everything()) == []
    assert not [path for path in (vifplug.folder / "locks").rglob("*") if path.is_file()]
    assert vifplug("unplug", name).stdout.splitlines()[0] == f"{ID}  bridge  unchanged"


def test_json_of_plan_plug_and_unplug(vifplug: Shell) -> None:
    name = vifplug.file(vif())
    (plan,) = vifplug.json("plan", name)
    step = {"action": "make", "part": "bridge", "name": "br100"}
    assert plan.pop("steps")[0] == {**step, "detail": "forward delay 0, STP off"}
    assert plan.pop("stale") == []
    assert plan == {
        "problem": None,
        "warnings": [],
        "id": ID,
        "vif_type": "bridge",
        "process": None,
        "changed": True,
        "devices": [],
        "made": [],
        "removed": [],
        "error": None,
    }
    assert vifplug.json("plug", name) == [plan | {"made": ["br100"]}]
    assert vifplug.json("plug", name) == [plan | {"changed": False}]
    assert vifplug.json("unplug", name) == [plan]
    assert vifplug.json("unplug", "--id", ID)[0]["changed"] is False


def test_unplug_by_id_alone(vifplug: Shell) -> None:
    vifplug.configure("vifplug_bridge", create_tap=True)
    vifplug("plug", vifplug.file(vif()))
    done = vifplug("unplug", "--id", ID, "--id", OTHER)
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == f"{ID}  bridge  changed: removed {TAP}"
    assert TAP not in vifplug.namespace.everything()["links"]


def test_a_vif_that_fails_on_the_host_ends_with_1_and_the_others_are_done(vifplug: Shell) -> None:
    vifplug.configure("vifplug_bridge", create_tap=True)
    vifplug.namespace.ip("link", "add", TAP, "type", "veth", "peer", "name", "peer")
    name = vifplug.file([vif(), vif(OTHER)])
    done = vifplug("plug", name)
    assert done.returncode == 1
    assert done.stderr == f"error: VIF {ID}: {TAP} is a veth device; needed: a tap\n"
    assert done.stdout == f"{OTHER}  bridge  changed: made br100, tap1c7bae1f-8b\n"
    found = json.loads(vifplug("plug", name, "-f", "json").stdout)
    assert found[0]["error"] == f"VIF {ID}: {TAP} is a veth device; needed: a tap"
    assert found[1]["error"] is None
    assert vifplug("check", name).returncode == 1, "a failure outweighs drift"


@pytest.mark.parametrize("case", good(BRIDGE), ids=lambda case: case.name)
def test_xml_prints_a_cases_interface_and_nothing_else(case: Case, vifplug: Shell) -> None:
    for name, value in (case.read("options.json") or {}).items():  # type: ignore[attr-defined]
        vifplug.configure("vifplug_bridge", **{name: value})
    if any(key != "lo" for key in case.host.links) or case.host.rx_queue_size:
        return  # the kernel tests make these hosts real
    vifplug.configure("vifplug", mtu=case.host.mtu)
    firewall = "--firewall" if case.host.firewall else "--no-firewall"
    told = ["--libvirt-version", case.host.libvirt_version, "--virt-type", case.host.virt_type]
    done = vifplug("xml", *told, firewall, str(case.folder / "vif.json"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == case.expected()["interface.xml"]
    assert (
        vifplug("plan", *told, firewall, str(case.folder / "vif.json")).stdout
        == (case.expected()["plan.txt"])
    )


def test_xml_of_a_list_and_from_standard_input(vifplug: Shell) -> None:
    vifs = json.dumps([vif(), vif(OTHER)])
    done = vifplug("xml", "-", input=vifs)
    assert done.stdout.count("<interface") == 2
    assert vifplug("plan", "-", input="[]").stdout == ""


def test_plugins_and_schema(vifplug: Shell) -> None:
    found = {plugin["vif_type"]: plugin for plugin in vifplug.json("plugins")}
    assert found["bridge"] == {
        "vif_type": "bridge",
        "class": "vifplug_bridge.plugin.BridgePlugin",
        "distribution": "vifplug_bridge",
        "version": "0.1.0",
        "state": "ok",
        "error": None,
    }
    assert "bridge ok" in " ".join(vifplug("plugins").stdout.split())
    schema = json.loads(vifplug("schema", "bridge").stdout)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["properties"]["network"]["required"] == ["bridge"]
    assert json.loads(vifplug("schema", "tap").stdout)["properties"]["details"]["properties"]


def test_doctor_says_what_to_mend(vifplug: Shell) -> None:
    vifplug.configure("vifplug", libvirt_uri="qemu:///system?socket=/nowhere/libvirt-sock")
    assert vifplug("doctor").returncode == 0, "the version is configured"
    del vifplug.options["vifplug"]["libvirt_version"]
    done = vifplug("doctor")
    assert done.returncode == 1
    assert "MEND  libvirt" in done.stdout and "mend: start libvirtd" in done.stdout
    checks = json.loads(vifplug("doctor", "-f", "json").stdout)
    assert {"plugin", "check", "ok", "detail", "mend"} == set(checks[0])
    assert {check["check"] for check in checks if check["ok"]} >= {"kernel", "taps", "privilege"}


BROKEN = {
    "acme_broken": ("broken", "acme_broken:Plugin", "import no_such_module"),
    "acme_exit": ("exits", "acme_exit:Plugin", "raise SystemExit(1)"),
    "acme_old": (
        "old",
        "acme_old:Plugin",
        "import vifplug\nclass Plugin(vifplug.VIFPlugin):\n"
        "    api_version = 99\n    def wire(self, vif, host): ...",
    ),
    "acme_none": ("none", "acme_none:Plugin", "class Plugin: pass"),
    "acme_one": (
        "twice",
        "acme_one:P",
        "from vifplug_bridge.plugin import TapPlugin as P",
    ),
    "acme_two": (
        "twice",
        "acme_two:P",
        "from vifplug_bridge.plugin import TapPlugin as P",
    ),
    "acme_raises": (
        "raises",
        "acme_raises:Plugin",
        "import vifplug\nclass Plugin(vifplug.VIFPlugin):\n"
        "    api_version = 1\n    def wire(self, vif, host): return 1 / 0",
    ),
}


def test_broken_plugins_are_reported_by_name_and_hurt_no_other(
    vifplug: Shell, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    for name, (vif_type, target, code) in BROKEN.items():
        info = site / f"{name}-1.2.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[vifplug.plugins]\n{vif_type} = {target}\n")
        (site / f"{name}.py").write_text(code + "\n")
    vifplug.environment["PYTHONPATH"] = str(site)

    found = {(p["vif_type"], p["distribution"]): p for p in vifplug.json("plugins")}
    states = {vif_type: plugin["state"] for (vif_type, _), plugin in found.items()}
    assert states == {
        "802.1qbg": "ok",
        "802.1qbh": "ok",
        "bridge": "ok",
        "hostdev_physical": "ok",
        "hw_veb": "ok",
        "macvtap": "ok",
        "ovs": "ok",
        "tap": "ok",
        "vhostuser": "ok",
        "broken": "failed",
        "exits": "failed",
        "none": "failed",
        "old": "incompatible",
        "twice": "duplicate",
        "raises": "ok",
    }
    assert "no_such_module" in found["broken", "acme_broken"]["error"]
    assert "acme_one and acme_two" in found["twice", "acme_one"]["error"]
    assert "99" in found["old", "acme_old"]["error"]
    assert "no_such_module" in vifplug("plugins").stdout

    for vif_type, says in (
        ("broken", "acme_broken 1.2"),
        ("exits", "acme_exit 1.2"),
        ("none", "acme_none 1.2"),
        ("old", "acme_old 1.2"),
        ("twice", "acme_one 1.2 and acme_two 1.2"),
        ("raises", "ZeroDivisionError"),
    ):
        done = vifplug("plug", vifplug.file([vif(vif_type=vif_type), vif(OTHER)]))
        assert done.returncode == 1
        assert f"VIF {ID}: the plugin for vif_type '{vif_type}'" in done.stderr
        assert says in done.stderr and len(done.stderr.splitlines()) == 1
        assert done.stdout.startswith(OTHER), "the other VIF is plugged all the same"


def test_on_a_terminal_a_plan_is_a_tree_and_many_plugs_have_a_progress_bar(
    vifplug: Shell,
) -> None:
    vifplug.configure("vifplug_bridge", create_tap=True)
    many = [vif(f"{number:08x}-0000-4000-8000-000000000000") for number in range(60)]
    for number, one in enumerate(many):
        one["id"] = f"{number:04x}0000-{number:04x}-4000-8000-000000000000"
    plan = in_terminal(vifplug, "plan", vifplug.file(vif()))
    assert "├── \x1b[32mmake" in plan
    shown = in_terminal(vifplug, "plug", vifplug.file(many))
    assert "plugging" in shown and "100%" in shown


def in_terminal(vifplug: Shell, *words: str) -> str:
    """Run the command with a terminal for its output; return all that it wrote there."""
    vifplug("list")  # writes the configuration
    config = str(vifplug.folder / "vifplug.conf")
    ours, theirs = pty.openpty()
    environment = {"PATH": os.defpath, "TERM": "xterm-256color", "COLUMNS": "100"}
    with vifplug.namespace.entered():
        process = subprocess.Popen(
            (COMMAND, "--config-file", config, *words),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**environment, "LC_ALL": "C.UTF-8"},
        )
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:
        pass  # Linux ends a terminal whose other side is gone with EIO
    os.close(ours)
    assert process.wait(timeout=60) == 0, shown.decode()
    return shown.decode()


def test_demo_does_the_main_job_and_leaves_nothing(vifplug: Shell) -> None:
    before = vifplug.namespace.everything()
    done = vifplug("demo")
    assert (done.returncode, done.stderr) == (0, "")
    assert "60 octets, arrived" in done.stdout
    assert done.stdout.endswith("left on the host: nothing\n")
    assert differences(before, vifplug.namespace.everything()) == []


def test_output_into_a_closed_pipe_is_no_traceback(vifplug: Shell) -> None:
    many = [vif(f"{number:08x}-0000-4000-8000-000000000000") for number in range(2000)]
    name = vifplug.file(many)
    with vifplug.namespace.entered():
        command = f"{COMMAND} plan {name} | head -n 1"
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr


def test_a_vif_that_its_guest_holds_is_unplugged_only_by_force(vifplug: Shell) -> None:
    vifplug.configure("vifplug_bridge", create_tap=True)
    name = vifplug.file(vif())
    assert vifplug("plug", name).returncode == 0
    with TapEnd(vifplug.namespace, TAP):
        for words in ((name,), ("--id", ID)):
            refused = vifplug("unplug", *words)
            assert (refused.returncode, refused.stdout) == (1, "")
            assert f"VIF {ID}: {TAP} is in use by " in refused.stderr
            assert f"(pid {os.getpid()}); needed: detach the VIF from its guest" in refused.stderr
            assert len(refused.stderr.splitlines()) == 1
        vifplug.namespace.ip("link", "set", TAP, "nomaster")
        listed = vifplug("list")
        assert f"DRIFT: {TAP} is in no bridge" in listed.stdout
        (shown,) = vifplug.json("list")
        assert (shown["state"], shown["drift"]) == ("drift", [f"{TAP} is in no bridge"])
        done = vifplug("unplug", "--force", name)
        assert (done.returncode, TAP in done.stdout) == (0, True), done.stderr
    assert vifplug.json("list") == []


def test_check_tells_what_only_the_guests_restart_mends(vifplug: Shell) -> None:
    vifplug.configure("vifplug_bridge", create_tap=True)
    assert vifplug("plug", vifplug.file(vif())).returncode == 0
    other = vifplug.file(vif(address="fa:16:3e:99:99:99"), "other.json")
    assert vifplug("check", other).returncode == 0, "no guest runs yet"
    told = f"{TAP} has a guest whose address ends in 16:3e:11:22:33, not in 16:3e:99:99:99"
    with TapEnd(vifplug.namespace, TAP):
        done = vifplug("check", other)
        assert done.returncode == 3
        assert f"stale {told}" in " ".join(done.stdout.split())
        assert "unchanged" in vifplug("plug", other).stdout
        shown = vifplug("check", other, "-f", "json")
        assert shown.returncode == 3
        (row,) = json.loads(shown.stdout)
        assert (row["changed"], row["stale"]) == (False, [told])
    assert vifplug("unplug", other).returncode == 0


def test_unplug_says_first_what_it_would_remove(vifplug: Shell) -> None:
    vifplug.configure("vifplug_bridge", create_tap=True, remove_unused=True)
    name = vifplug.file(vif())
    assert vifplug("unplug", "--dry-run", name).stdout == f"{ID}  bridge  nothing to remove\n"
    assert vifplug("plug", name).returncode == 0
    before = vifplug.namespace.everything()
    for words in ((name,), ("--id", ID), ("--id", ID[:4])):
        done = vifplug("unplug", "--dry-run", *words)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[0] == f"{ID}  bridge"
        assert {f"  remove {TAP}", "  remove br100"} <= set(done.stdout.splitlines())
    (planned,) = vifplug.json("unplug", "--dry-run", name)
    assert differences(before, vifplug.namespace.everything()) == []
    (done,) = vifplug.json("unplug", name)
    assert set(planned["removed"]) == set(done["removed"]) == {"br100", TAP}
    assert planned["changed"] is True

    assert vifplug("plug", name).returncode == 0
    with TapEnd(vifplug.namespace, TAP):
        refused = vifplug("unplug", "--dry-run", name)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert f"{TAP} is in use by" in refused.stderr
        assert f"  remove {TAP}" in vifplug("unplug", "--dry-run", "--force", name).stdout
    assert vifplug("unplug", name).returncode == 0


def test_a_vif_is_named_by_the_start_of_its_id(vifplug: Shell) -> None:
    vifplug.configure("vifplug_bridge", create_tap=True)
    alike = ID[:-1] + "2"
    assert vifplug("plug", vifplug.file([vif(), vif(OTHER)])).returncode == 0
    for short in (ID[:3], "ffff", "xyz!"):
        done = vifplug("unplug", "--id", short)
        assert (done.returncode, done.stdout) == (2, "")
        assert f"id is '{short}'; allowed: a UUID" in done.stderr
    assert vifplug("unplug", "--id", OTHER[:4].upper()).returncode == 0
    assert [one["id"] for one in vifplug.json("list")] == [ID]
    assert vifplug("plug", vifplug.file(vif(alike, devname="tapalike"))).returncode == 0
    assert vifplug("unplug", "--id", ID[:8]).returncode == 2, "two VIFs have it"
    assert vifplug("unplug", "--id", ID, "--id", alike).returncode == 0


def test_unplug_says_what_it_would_remove_of_another_vif_type(vifplug: Shell) -> None:
    vifplug.namespace.ip("link", "add", "eth1", "type", "veth", "peer", "name", "far")
    vifplug.namespace.ip("link", "set", "eth1", "up")
    below = {"id": ID, "vif_type": "macvtap", "address": "fa:16:3e:11:22:33",
             "network": {"interface": "eth1"}}  # fmt: skip
    assert vifplug("plug", vifplug.file(below, "macvtap.json")).returncode == 0
    for words in ((vifplug.file(vif()),), ("--id", ID)):
        (planned,) = vifplug.json("unplug", "--dry-run", *words)
        assert planned["changed"] is True
        assert "eth1" in vifplug("unplug", "--dry-run", *words).stdout
    assert vifplug.json("unplug", vifplug.file(vif()))[0]["changed"] is True
    assert vifplug.json("list") == []
