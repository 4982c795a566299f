# SPDX-License-Identifier: Apache-2.0
"""``vifplug`` with Open vSwitch as a person runs it."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from tests.cli.conftest import ID, ovs_vif
from vifplug.testing import NetworkNamespace, OpenVSwitch
from vifplug.testing.dumps import differences
from vifplug.testing.shell import Shell


@pytest.fixture
def ovs(namespace: NetworkNamespace, vifplug: Shell) -> Iterator[OpenVSwitch]:
    with OpenVSwitch(namespace) as found:
        found.add_bridge("br-int")
        vifplug.configure("vifplug_ovs", ovsdb_connection=found.endpoint)
        yield found


PROCESSES = {
    "manual": (("--libvirt-version", "0.9.10"), "libvirt 0.9.10", "ethernet"),
    "automatic": ((), "libvirt 9.0.0", "bridge"),
    "hybrid": (("--firewall",), "a firewall is required here", "bridge"),
}


@pytest.mark.parametrize("process", PROCESSES)
def test_all_commands_on_a_vif_of_each_process(
    process: str, vifplug: Shell, namespace: NetworkNamespace, ovs: OpenVSwitch
) -> None:
    options, why, xml_type = PROCESSES[process]
    file = vifplug.file(ovs_vif())
    before = namespace.everything(), ovs.everything()

    plan = vifplug("plan", *options, file)
    assert plan.returncode == 0, plan.stderr
    assert f"{process} ({why})" in plan.stdout
    assert vifplug("check", *options, file).returncode == 3
    assert (namespace.everything(), ovs.everything()) == before, "to plan and to check is to read"

    plugged = vifplug("plug", *options, file)
    assert plugged.returncode == 0, plugged.stderr
    assert plugged.stdout.startswith(f"{ID}  ovs  {process}  changed")
    assert "unchanged" in vifplug("plug", *options, file).stdout
    (listed,) = vifplug.json("list")
    assert (listed["id"], listed["vif_type"], listed["process"]) == (ID, "ovs", process)

    # What is plugged keeps its process, whatever the options would choose now.
    for more in ((), options):
        assert vifplug("check", *more, file).returncode == 0
        assert vifplug.json("plan", *more, file)[0]["process"] == process
        xml = vifplug("xml", *more, file)
        assert etree.fromstring(xml.stdout).get("type") == xml_type

    gone = vifplug("unplug", "--id", ID)
    assert gone.returncode == 0, gone.stderr
    now = namespace.everything(), ovs.everything()
    assert differences(before[0], now[0]) + differences(before[1], now[1]) == []
    assert vifplug.json("list") == []


@pytest.mark.parametrize("process", ["manual", "hybrid"])
def test_a_port_in_the_dead_vlan_is_told_and_left_alone(
    process: str, vifplug: Shell, ovs: OpenVSwitch
) -> None:
    options, file = PROCESSES[process][0], vifplug.file(ovs_vif())
    assert vifplug("plug", *options, file).returncode == 0
    (port,) = ovs.vsctl("list-ports", "br-int").split()
    assert "not wired" not in vifplug("check", file).stdout
    assert vifplug.json("list")[0]["unwired"] is None
    # As Neutron's agent does it with a port that is set down, or deleted, in Neutron.
    ovs.vsctl("set", "Port", port, "tag=4095")
    checked = vifplug("check", file)
    assert checked.returncode == 0, "a plug has nothing to mend"
    assert checked.stdout.endswith("as asked, not wired: dead VLAN 4095\n")
    assert "  note    not wired: dead VLAN 4095" in vifplug("plan", file).stdout
    assert "not wired: dead VLAN 4095" in vifplug.json("check", file)[0]["warnings"]
    assert vifplug.json("list")[0]["unwired"] == "dead VLAN 4095"
    assert "unchanged" in vifplug("plug", file).stdout
    assert ovs.vsctl("get", "Port", port, "tag").strip() == "4095"
    ovs.vsctl("set", "Port", port, "tag=7")
    assert vifplug("check", file).stdout.endswith("as asked\n")
    assert vifplug.json("list")[0]["unwired"] is None


BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "interface_id": ({"interface_id": "eth0"}, "interface_id is 'eth0'", "a UUID"),
    "interface_id a number": ({"interface_id": 3}, "interface_id is 3", "a UUID"),
    "datapath_type": (
        {"details": {"datapath_type": "dpdk"}},
        "details.datapath_type is 'dpdk'",
        "system or netdev",
    ),
    "pins": ({"details": {"ovs_hybrid_plug": "yes"}}, "details.ovs_hybrid_plug is 'yes'", "true"),
    "bridge": ({"network": {"bridge": "br/int"}}, "network.bridge is 'br/int'", "1 to 15"),
}


@pytest.mark.parametrize("command", ["plug", "plan", "xml"])
@pytest.mark.parametrize("name", BAD)
def test_a_bad_field_is_named_and_nothing_is_touched(
    name: str, command: str, vifplug: Shell, ovs: OpenVSwitch
) -> None:
    more, said, allowed = BAD[name]
    before = ovs.everything()
    done = vifplug(command, vifplug.file(ovs_vif(**more)))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f": VIF {ID}: " in line
    assert said in line
    assert allowed in line
    assert ovs.everything() == before


@pytest.mark.parametrize("command", ["plug", "plan"])
def test_a_bridge_that_is_not_there(command: str, vifplug: Shell, ovs: OpenVSwitch) -> None:
    done = vifplug(command, vifplug.file(ovs_vif(network={"bridge": "br-none"})))
    assert done.returncode == 1
    assert f"error: VIF {ID}: OVS bridge br-none is not there; needed: one" in done.stderr


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("ovsdb_connection", "garbage", "unix:PATH, tcp:HOST:PORT or ssl:HOST:PORT"),
        ("datapath_type", "dpdk", "system, netdev"),
        ("process", "magic", "manual, automatic, hybrid"),
        ("qos_type", "linux-magic", "linux-noop"),
    ],
)
def test_a_bad_option_is_refused_with_what_is_allowed(
    option: str, value: str, said: str, vifplug: Shell, ovs: OpenVSwitch
) -> None:
    vifplug.configure("vifplug_ovs", **{option: value})
    done = vifplug("plug", vifplug.file(ovs_vif()))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert option in line
    assert value in line
    assert said in line


@contextlib.contextmanager
def strange(folder: Path) -> Iterator[Path]:
    """Something that listens and is no OVSDB."""
    program = (
        "import socket,sys\ns=socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen()\n"
        "print(flush=True)\nwhile True: c=s.accept()[0]; c.recv(9); c.sendall(b'220 smtp\\r\\n')"
    )
    path = folder / "strange.sock"
    command = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        running.stdout.readline()
        try:
            yield path
        finally:
            running.kill()


@pytest.mark.parametrize(
    ("where", "why"),
    [
        ("nowhere", "No such file or directory: is Open vSwitch running?"),
        ("stale", "Connection refused: is Open vSwitch running?"),
        ("strange", "what answers there is no OVSDB"),
    ],
)
def test_an_endpoint_that_does_not_serve_is_named_with_why(
    where: str, why: str, vifplug: Shell, tmp_path: Path
) -> None:
    with contextlib.ExitStack() as stack:
        path = tmp_path / "nowhere.sock"
        if where == "stale":
            stack.enter_context(socket.socket(socket.AF_UNIX)).bind(str(path))
        elif where == "strange":
            path = stack.enter_context(strange(tmp_path))
        vifplug.configure("vifplug_ovs", ovsdb_connection=f"unix:{path}")
        before = vifplug.namespace.everything()
        for command in ("plug", "unplug"):
            done = vifplug(command, "--timeout", "2", vifplug.file(ovs_vif()))
            assert done.returncode == 1
            (line,) = done.stderr.splitlines()
            assert f"unix:{path}" in line
            assert why in line
        checks = json.loads(vifplug("doctor", "-f", "json").stdout)
        (found,) = [check for check in checks if check["check"] == "OVSDB"]
        assert found["detail"].startswith(f"unix:{path}: ")
        assert why.partition(":")[0] in found["detail"]
        # A host without Open vSwitch is nothing to mend.
        assert found["ok"] is (where == "nowhere")
        assert differences(before, vifplug.namespace.everything()) == []


def test_doctor_names_the_endpoint_that_answers(vifplug: Shell, ovs: OpenVSwitch) -> None:
    checks = json.loads(vifplug("doctor", "-f", "json").stdout)
    (found,) = [check for check in checks if check["check"] == "OVSDB"]
    assert found["ok"] is True
    assert found["detail"] == f"{ovs.endpoint} answers, Open vSwitch {ovs.version}"


def test_the_databases_log_says_who_has_changed_a_port(vifplug: Shell, ovs: OpenVSwitch) -> None:
    vifplug.configure("vifplug_ovs", process="manual")
    file, tap = vifplug.file(ovs_vif()), f"tap{ID[:11]}"
    log = ("ovsdb-tool", "show-log", "-m", str(ovs.rundir / "conf.db"))
    assert vifplug("plug", file).returncode == 0
    ovs.vsctl("del-port", "br-int", tap)
    assert vifplug("plug", file).returncode == 0
    assert vifplug("unplug", file).returncode == 0
    said = [line for line in vifplug.namespace.run(*log).stdout.splitlines() if tap in line]
    changes = [line.partition(' "')[2] for line in said if line.startswith("record")]
    ours = f'vifplug: add port {tap} to br-int"'
    assert [changes[0], *changes[2:]] == [ours, ours, f'vifplug: remove port {tap} from br-int"']
    assert changes[1].startswith("ovs-vsctl (invoked by ")
    assert changes[1].endswith(f'del-port br-int {tap}"')
