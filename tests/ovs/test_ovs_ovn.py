# SPDX-License-Identifier: Apache-2.0
"""Two hosts of an OVN: vifplug plugs, OVN binds by the iface-id, the guests reach each other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.ovs.ovn import Central, Guest, OvnHost, two_hosts
from tests.ovs.vifs import IDS
from vifplug.testing.shell import Shell

Ovn = tuple[Central, OvnHost, OvnHost]


@pytest.fixture(scope="module")
def ovn() -> Iterator[Ovn]:
    with two_hosts() as running:
        yield running


def shell(host: OvnHost, folder: Path, **options: object) -> Shell:
    """Return the command as it runs on a host."""
    (folder / host.name).mkdir(exist_ok=True)
    found = Shell(host.namespace, folder / host.name)
    rundir = host.ovs.rundir
    found.configure("vifplug_ovs", ovsdb_connection=host.ovs.endpoint, ovn_rundir=rundir, **options)
    return found


def vif(number: int, **more: Any) -> dict[str, Any]:
    """Return a VIF whose logical port has its id for name."""
    network = {"bridge": "br-int", "mtu": 1400}
    address = f"fa:16:3e:44:55:{number:02x}"
    found = {"id": IDS[number], "vif_type": "ovs", "address": address, "network": network}
    return {**found, "details": {"ovs_create_tap": True}, **more}


def add_port(central: Central, number: int, ip: str) -> None:
    """Make a logical port, with security."""
    port, address = IDS[number], f"{vif(number)['address']} {ip}"
    central.nbctl("lsp-add", "ls0", port, "--", "lsp-set-addresses", port, address, "--",
                  "lsp-set-port-security", port, address)  # fmt: skip


def test_a_vif_on_each_host_is_bound_and_they_reach_each_other(ovn: Ovn, tmp_path: Path) -> None:
    central, *hosts = ovn
    shells = [shell(host, tmp_path) for host in hosts]
    with ExitStack() as stack:
        guests = []
        for number, (host, vifplug) in enumerate(zip(hosts, shells, strict=True)):
            add_port(central, number, f"10.5.0.{number + 1}")
            assert central.binding(IDS[number]) == (False, "")
            (result,) = vifplug.json("plug", vifplug.file(vif(number)))
            assert (result["changed"], result["process"]) == (True, "manual")
            central.wait_for(IDS[number], up=True)
            assert central.binding(IDS[number]) == (True, host.name)
            tap = f"tap{IDS[number]}"[:14]
            host.ovs.vsctl("wait-until", "Interface", tap, "external_ids:ovn-installed=true")
            address, ip = vif(number)["address"], f"10.5.0.{number + 1}"
            guests.append(Guest(host.namespace, tap, address, ip, stack))
        assert guests[0].pings("10.5.0.2")
        assert guests[1].pings("10.5.0.1")
        for number, vifplug in enumerate(shells):
            # What OVN has noted on the port is no drift.
            (result,) = vifplug.json("plug", vifplug.file(vif(number)))
            assert result["changed"] is False
            assert vifplug("check", vifplug.file(vif(number))).returncode == 0
        # Port security is by the addresses that OVN knows.
        guests[0].namespace.ip("addr", "add", "10.5.0.77/24", "dev", "eth0")
        liar = ("ping", "-c2", "-i0.2", "-W1", "-q", "-I", "10.5.0.77", "10.5.0.2")
        assert guests[0].namespace.run(*liar, check=False).returncode == 1
    for number, vifplug in enumerate(shells):
        vifplug.json("unplug", vifplug.file(vif(number)))
        central.wait_for(IDS[number], up=False)
        assert vifplug.json("list") == []


def test_a_guest_that_moves_is_bound_where_it_is_plugged_next(ovn: Ovn, tmp_path: Path) -> None:
    central, *hosts = ovn
    add_port(central, 5, "10.5.0.15")
    # As os-vif does it for OVN: the port that bears the id is there before the guest's device.
    shells = [shell(host, tmp_path, per_port_bridge=True) for host in hosts]
    for host, vifplug in zip(hosts, shells, strict=True):
        vifplug.json("plug", vifplug.file(vif(5, details={})))
        patch = f"ibp{IDS[5]}"[:14]
        host.ovs.vsctl("wait-until", "Interface", patch, "external_ids:ovn-installed=true")
        central.sbctl("wait-until", "Port_Binding", IDS[5], f"chassis={chassis(central, host)}")
        assert central.binding(IDS[5]) == (True, host.name)
        vifplug.json("unplug", vifplug.file(vif(5, details={})))
        central.wait_for(IDS[5], up=False)


def chassis(central: Central, host: OvnHost) -> str:
    """Return the UUID of a host's row."""
    words = ("--bare", "--columns=_uuid", "find", "Chassis", f"name={host.name}")
    return central.sbctl(*words).strip()


def test_without_ovn_running_the_plug_succeeds_and_doctor_says_so(ovn: Ovn, tmp_path: Path) -> None:
    central, host, _ = ovn
    vifplug = shell(host, tmp_path)
    add_port(central, 7, "10.5.0.17")
    assert doctors(vifplug) == (True, "ovn-controller is connected")
    host.stop_controller()
    try:
        (result,) = vifplug.json("plug", vifplug.file(vif(7)))
        assert result["changed"] is True
        assert central.binding(IDS[7])[0] is False
        well, words = doctors(vifplug)
        assert not well
        assert words.startswith("ovn-controller: it does not run in")
        assert vifplug("doctor").returncode == 1
    finally:
        host.start_controller()
    central.wait_for(IDS[7], up=True)
    assert doctors(vifplug) == (True, "ovn-controller is connected")
    vifplug.json("unplug", vifplug.file(vif(7)))


def test_doctor_tells_that_the_southbound_database_is_gone(ovn: Ovn, tmp_path: Path) -> None:
    central, host, _ = ovn
    vifplug = shell(host, tmp_path)
    remote = ("set", "Open_vSwitch", ".", "external_ids:ovn-remote")
    host.ovs.vsctl(*remote[:-1], f'{remote[-1]}="unix:/nonexistent/sb.sock"')
    try:
        assert doctors(vifplug) == (False, "ovn-controller is not connected")
    finally:
        host.ovs.vsctl(*remote[:-1], f'{remote[-1]}="{central.remote("sb")}"')


def doctors(vifplug: Shell) -> tuple[bool, str]:
    """Return what doctor says of OVN."""
    done = vifplug("doctor", "-f", "json")
    (found,) = [one for one in json.loads(done.stdout) if one["check"] == "OVN"]
    return found["ok"], found["detail"].partition(";")[0]
