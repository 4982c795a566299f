# SPDX-License-Identifier: Apache-2.0
"""A host that was cut off comes up with its declared VIFs; and the unit that sees to it."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.folders import Folder
from tests.ovs.databases import configuration
from vifplug.testing import NetworkNamespace, OpenVSwitch
from vifplug.testing.dumps import lasting
from vifplug.testing.openvswitch import SERVER, SWITCH
from vifplug.testing.shell import COMMAND

UNIT = Path(__file__).parents[2] / "systemd/vifplug-apply.service"

DECLARED = """\
# The three processes of Open vSwitch, beside a Linux bridge.
- {name: manual, vif_type: ovs, network: &int {bridge: br-int}, details: {ovs_create_tap: true}}
- {name: automatic, vif_type: ovs, network: *int}
- {name: hybrid, vif_type: ovs, network: *int, details: {ovs_hybrid_plug: true}}
- {name: bridge, vif_type: bridge, network: {bridge: br100, should_create_bridge: true}}
"""


@pytest.fixture
def ovs(namespace: NetworkNamespace, folder: Folder) -> Iterator[OpenVSwitch]:
    with OpenVSwitch(namespace) as found:
        found.add_bridge("br-int")
        folder.vifplug.configure("vifplug_ovs", ovsdb_connection=found.endpoint)
        yield found


def links(namespace: NetworkNamespace) -> dict[str, Any]:
    """Return each device with its bridge and whether it is up; without what a boot makes anew."""
    found = namespace.everything()["links"]
    kept = ("master", "mtu", "altnames", "txqlen")
    return {
        name: {
            "kind": link.get("linkinfo", {}).get("info_kind"),
            "up": "UP" in link["flags"],
            **{key: link[key] for key in kept if key in link},
        }
        for name, link in found.items()
    }


def cut_off(namespace: NetworkNamespace, ovs: OpenVSwitch, locks: Path) -> None:
    """Leave of a host what a power cut leaves: the database. Then start the switch."""
    ovs.kill(SWITCH)
    for name in namespace.everything()["links"]:
        if name != "lo":
            namespace.run("sh", "-c", f"ip link del {name} 2>/dev/null || true")
    assert set(namespace.everything()["links"]) == {"lo"}
    shutil.rmtree(locks)
    ovs.start(SWITCH)
    ovs.vsctl("show")


def test_a_host_that_was_cut_off_has_its_vifs_again(
    folder: Folder, namespace: NetworkNamespace, ovs: OpenVSwitch
) -> None:
    folder.write("guests.yaml", DECLARED)
    made = {row["name"]: row for row in folder.rows()}
    ways = [made[f"guests/{name}"]["process"] for name in ("manual", "automatic", "hybrid")]
    assert ways == ["manual", "automatic", "hybrid"]
    assert "nothing to do: 4 as declared" in folder.apply()
    before, rows = links(namespace), ovs.everything()

    cut_off(namespace, ovs, folder.vifplug.folder / "locks")
    assert ovs.everything() == rows, "only the database is left"
    transactions = configuration(ovs)
    planned = folder.apply("--dry-run")
    done = folder.apply()
    assert done.startswith(planned)
    assert len(done.removeprefix(planned).splitlines()) == 4
    assert configuration(ovs) <= transactions + 1, "one transaction at most"

    assert lasting(before, lambda: links(namespace)) == []
    assert ovs.everything() == rows
    assert folder.apply("--prune") == "nothing to do: 4 as declared\n"
    assert folder.plugged() == {row["id"] for row in made.values()}


def test_many_vifs_are_one_transaction_each_way(folder: Folder, ovs: OpenVSwitch) -> None:
    one = {"vif_type": "ovs", "network": {"bridge": "br-int"}, "details": {"ovs_create_tap": True}}
    folder.write("guests.json", [one] * 60)
    start = configuration(ovs)
    assert "60 to plug" in folder.apply()
    assert configuration(ovs) == start + 1
    folder.write("guests.json", [one] * 2)
    printed = folder.apply("--prune")
    assert "58 to unplug" in printed
    assert len(re.findall(r"^  remove port tap\S+ from br-int$", printed, re.M)) == 58
    assert configuration(ovs) == start + 2


def test_a_switch_that_can_t_be_read_keeps_prune_from_everything(
    folder: Folder, ovs: OpenVSwitch
) -> None:
    folder.write("guests.yaml", DECLARED)
    folder.apply()
    folder.write("guests.yaml", "[]\n")
    ovs.pause(SERVER)
    assert folder.apply("--prune", "--timeout", "3", status=1) == ""
    assert f"OVSDB at {ovs.endpoint}" in folder.said
    ovs.resume(SERVER)
    assert len(folder.plugged()) == 4


# The unit.


class _Sections(configparser.RawConfigParser):
    def optionxform(self, optionstr: str) -> str:
        return optionstr


def settings() -> configparser.SectionProxy:
    parser = _Sections(strict=False)
    parser.read(UNIT)
    return parser["Service"]


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """The one thing that it says of the unit as it is: vifplug is in no folder of a system."""
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("=vifplug ", f"={COMMAND} "))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    text = UNIT.read_text()
    (before,), (after,) = (
        re.findall(rf"^{word}=(.*)$", text, re.M) for word in ("Before", "After")
    )
    assert {"libvirtd.service", "virtqemud.service"} <= set(before.split())
    assert {"openvswitch-switch.service", "ovs-vswitchd.service"} <= set(after.split())


def test_the_unit_is_as_exposed_as_the_docs_say() -> None:
    words = ("systemd-analyze", "security", "--offline=true", "--no-pager", UNIT)
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    (exposed,) = re.findall(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    page = (UNIT.parents[1] / "docs/apply.md").read_text()
    assert f"gives the unit {exposed}" in page


def test_the_units_privileges_are_enough(
    folder: Folder, namespace: NetworkNamespace, ovs: OpenVSwitch
) -> None:
    """With its capabilities and no other, and with the system calls that its filter lets pass."""
    folder.write("guests.yaml", DECLARED)
    service = settings()
    assert service["ExecStart"] == "vifplug apply /etc/vifplug/vifs.d"
    named = service["CapabilityBoundingSet"].lower().replace("cap_", "+").replace(" ", ",")
    folder.apply("--dry-run")  # writes the configuration
    trace = folder.vifplug.folder / "calls"
    config = str(folder.vifplug.folder / "vifplug.conf")

    def run(*before: str) -> str:
        words = (*before, COMMAND, "--config-file", config, "apply", str(folder.path))
        with namespace.entered():
            done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    limits = ("setpriv", "--no-new-privs", "--inh-caps=-all")
    traced = ("strace", "-f", "-qq", "-e", "signal=none", "-o", str(trace))
    assert "4 to plug" in run(*traced, *limits, f"--bounding-set=-all,{named}")
    # A run that has nothing to do needs no privilege at all.
    assert run(*limits, "--bounding-set=-all") == "nothing to do: 4 as declared\n"

    began = trace.read_text().partition(f'execve("{COMMAND}')[2]
    called = set(re.findall(r"^\d+ +([a-z0-9_]+)\(", began, re.M))
    assert {"socket", "bind"} <= called
    assert called <= allowed() | {"execve"}, "the unit's filter would refuse these"


def allowed() -> set[str]:
    """Return the system calls that the unit's filter lets pass."""
    found: set[str] = set()
    for line in re.findall(r"^SystemCallFilter=(.*)$", UNIT.read_text(), re.M):
        names = _calls_of(line.removeprefix("~"))
        found = found - names if line.startswith("~") else found | names
    return found


def _calls_of(group: str) -> set[str]:
    words = ("systemd-analyze", "syscall-filter", group)
    listed = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    names = {line.strip() for line in listed[1:] if line.strip() and "#" not in line}
    return {
        call for name in names for call in (_calls_of(name) if name.startswith("@") else {name})
    }
