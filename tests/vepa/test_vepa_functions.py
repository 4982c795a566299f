# SPDX-License-Identifier: Apache-2.0
"""Virtual functions of a network card: Intel's 82576, which QEMU emulates, under Debian's kernel.

in_the_machine.py does it all in one run there; each test here reads one answer.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.machine import run_inside
from tests.vepa import in_the_machine
from tests.vepa.in_the_machine import IDS
from vifplug.model.link import PciFunction
from vifplug.query.cards import RunningFunctions

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    argv = [sys.executable, in_the_machine.__file__, "/run/vifplug/answers"]
    shared = tmp_path_factory.mktemp("igb")
    ended = run_inside(argv, shared=shared, timeout=60, cwd=ROOT, kernel="igb",
                       env={"PYTHONPATH": str(ROOT)})  # fmt: skip
    assert ended.status == 0, f"{ended.output[-3000:]}\n{ended.console[-1000:]}"
    found: dict[str, Any] = json.loads((ended.folder / "answers").read_text())
    return found


def test_functions_are_found_by_their_address(answers: dict[str, Any]) -> None:
    assert answers["found"] == [[True, True, 0], [True, True, 1], [True, False, True]]
    assert answers["addresses"] == [True, True]


def test_a_function_is_set_seen_and_restored(answers: dict[str, Any]) -> None:
    words = " ".join(answers["plan"].split())
    assert "make vf PF VF 0 fa:16:3e:11:22:00, VLAN 120, spoof check off, trust on" in words
    assert (answers["plug"], answers["again"], answers["check"]) == ("True", "False", False)
    seen = answers["seen"]
    assert (seen["address"], seen["spoofchk"], seen["trust"]) == ("fa:16:3e:11:22:00", False, True)
    assert [one["vlan"] for one in seen["vlan_list"]] == [120]
    saved = "uses-vf.0.000000000000.0.0.1.0"
    assert answers["marks"] == [f"vifplug:{IDS[0]}::{saved}:hw_veb"]
    assert answers["list"] == [[IDS[0], "hw_veb"]]
    assert (answers["unplug"], answers["restored"]) == ("True", True)


def test_one_function_is_one_vifs(answers: dict[str, Any]) -> None:
    assert "Conflict" in answers["taken"]
    assert f"VF 0 is used by VIF {IDS[0]}" in answers["taken"]


def test_drift_is_seen_and_repaired(answers: dict[str, Any]) -> None:
    assert "change  vf      PF VF 0" in answers["drift"]
    assert "VLAN 120" in answers["drift"]
    changed, vlans = answers["repaired"]
    assert (changed, [one["vlan"] for one in vlans]) == ("True", [120])


def test_a_vif_that_moves_gives_back_the_function_that_it_had(answers: dict[str, Any]) -> None:
    back, vlans = answers["moved"]
    assert (back, [one["vlan"] for one in vlans]) == (True, [120])
    assert answers["moved back"]


def test_values_of_somebody_else_come_back(answers: dict[str, Any]) -> None:
    assert answers["macvtap plug"] == "True"
    seen = answers["macvtap seen"]
    assert (seen["address"], seen["spoofchk"], seen["trust"]) == ("fa:16:3e:11:22:01", True, False)
    assert 'mode="passthrough"' in answers["macvtap xml"]
    assert '<tag id="120"/>' in answers["macvtap xml"]
    assert answers["macvtap unplug"] == "True"
    restored, function = answers["macvtap restored"]
    assert restored
    assert (function["address"], function["trust"]) == ("52:54:00:11:22:33", True)
    assert (function["vlan_list"][0]["vlan"], function["vlan_list"][0]["qos"]) == (7, 3)


def test_a_step_that_fails_leaves_the_function_as_it_was(answers: dict[str, Any]) -> None:
    assert len(answers["faults"]) == 5, "the claim, the address, VLAN, spoof check, trust"
    assert answers["faults"] == [[True, True]] * 5


def test_802_1qbh_is_refused_where_the_driver_has_none(answers: dict[str, Any]) -> None:
    on_it, whole = answers["qbh"]
    assert "enic has driver igbvf; needed: a virtual function, driver enic" in on_it
    assert "has driver igb; needed: a virtual function, driver enic" in whole


def test_a_function_without_a_device_is_given_whole_and_given_back(answers: dict[str, Any]) -> None:
    assert not answers["unbound check"]
    assert "has no network device on this host" in answers["unbound macvtap"]
    assert (answers["unbound unplug"], answers["unbound restored"]) == ("True", True)
    assert answers["unbound plug"] == "True"


def test_an_unplug_of_a_function_that_is_gone_leaves_no_claim(answers: dict[str, Any]) -> None:
    assert "is not there; needed: a virtual function" in answers["gone check"]
    assert answers["gone unplug"] == ["True", []]


def test_functions_of_a_sysfs_somewhere_else(tmp_path: Path) -> None:
    # As the kernel lays it out; what it says of real ones is above.
    real = tmp_path / "devices/pci0000:00"
    for address in ("0000:01:00.0", "0000:01:10.0", "0000:01:10.2", "0000:02:00.0"):
        (real / address).mkdir(parents=True)
        (tmp_path / "bus/pci/devices").mkdir(parents=True, exist_ok=True)
        (tmp_path / "bus/pci/devices" / address).symlink_to(real / address)
    (real / "0000:01:00.0/net/eth1").mkdir(parents=True)
    for number, address in enumerate(("0000:01:10.0", "0000:01:10.2")):
        (real / address / "physfn").symlink_to(real / "0000:01:00.0")
        (real / "0000:01:00.0" / f"virtfn{number}").symlink_to(real / address)
    (real / "0000:01:10.0/net/eth1v0").mkdir(parents=True)
    for address in ("0000:01:00.0", "0000:01:10.0", "0000:01:10.2", "0000:02:00.0"):
        network = address != "0000:02:00.0"
        (real / address / "class").write_text("0x020000\n" if network else "0x030000\n")
    # A card as a switch has devices for its virtual functions beside its own.
    for name, port in (("eth0_0", "pf0vf0"), ("eth0_1", "c1pf0vf1"), ("eth1", "p0")):
        (real / "0000:01:00.0/net" / name).mkdir(exist_ok=True)
        (real / "0000:01:00.0/net" / name / "phys_port_name").write_text(f"{port}\n")
    found = RunningFunctions(tmp_path)
    assert dict(found) == {
        "0000:01:00.0": PciFunction(netdev="eth1"),
        "0000:01:10.0": PciFunction(netdev="eth1v0", virtual=True, pf="eth1", vf=0),
        "0000:01:10.2": PciFunction(virtual=True, pf="eth1", vf=1),
    }
    assert found.get("0000:02:00.0") == PciFunction(network=False), "another kind of device"
    for absent in ("0000:03:00.0", "", ".", "../../devices", "0000:01:00.0/net"):
        assert absent not in found


def test_a_station_of_a_wireless_network_is_no_uplink(answers: dict[str, Any]) -> None:
    (station, taken), four_addresses, access_point = answers["wireless"]
    assert "Conflict" in station
    assert "wlan0 is a station of a wireless network" in station
    assert not taken
    for planned, taken in (four_addresses, access_point):
        assert "wlan0 -> br100" in planned
        assert taken
