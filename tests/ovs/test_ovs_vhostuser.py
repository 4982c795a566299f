# SPDX-License-Identifier: Apache-2.0
"""vhost-user ports of an Open vSwitch that has DPDK, and QEMU guests at their sockets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from oslo_config.fixture import Config

from tests.guests import DISCOVERED
from tests.ovs.databases import configuration
from tests.ovs.vifs import IDS, ovs_vif
from vifplug import VIF, GenericVIFDriver, InUse, PlugFailed
from vifplug.cli import main
from vifplug.model.mark import derived_name
from vifplug.testing import (
    Capture,
    Libvirt,
    NetworkNamespace,
    OpenVSwitch,
    dhcp_discover_from,
    veth,
)
from vifplug.testing.dumps import differences
from vifplug_ovs import privileged

MODES = {"server": "dpdkvhostuserclient", "client": "dpdkvhostuser"}


def vhostuser_vif(number: int, folder: Path, mode: str = "server", **more: Any) -> VIF:
    """Return the VIF of a number, whose socket lies in a folder."""
    socket = folder / derived_name("vhu", IDS[number])
    data = {
        "id": IDS[number],
        "vif_type": "vhostuser",
        "address": f"fa:16:3e:22:33:{number:02x}",
        "network": {"bridge": "br-int", "mtu": 1450},
        "details": {"vhostuser_socket": str(socket), "vhostuser_mode": mode},
    }
    return VIF.from_dict(data | more)


@pytest.fixture
def folder(ovs: OpenVSwitch, conf: Config) -> Path:
    """Where the switch and the guests have their sockets."""
    conf.config(group="vifplug_ovs", vhostuser_dir=str(ovs.rundir))
    return ovs.rundir


@pytest.mark.dpdk
@pytest.mark.parametrize("mode", MODES)
def test_a_guest_asks_for_its_address_through_its_socket(
    mode: str, folder: Path, br_int: OpenVSwitch, namespace: NetworkNamespace,
    driver: GenericVIFDriver,
) -> None:  # fmt: skip
    before = br_int.everything(), configuration(br_int)
    vif = vhostuser_vif(0, folder, mode, queues=2)
    result = driver.plug({"uuid": IDS[2], "name": "vm"}, vif)
    port = f"vhu{vif.id}"[:14]
    assert (result.changed, result.process, result.devices) == (True, None, (port,))
    assert configuration(br_int) == before[1] + 1, "one transaction, the MTU included"
    (row,) = [row for row in br_int.rows("Interface") if row["name"] == port]
    assert row["ofport"] > 0
    assert (row["type"], row["mtu_request"], row["error"]) == (MODES[mode], 1450, [])
    assert row["external_ids"]["iface-id"] == vif.id
    assert row["external_ids"]["vm-uuid"] == IDS[2]
    assert [(one.bridge, one.in_use) for one in driver.list()] == [("br-int", False)]
    with NetworkNamespace() as far, Libvirt(namespace, environment=br_int.environment) as libvirt:
        veth(namespace, "uplink", far, "far")
        br_int.vsctl("add-port", "br-int", "uplink")
        with Capture(far, "far") as wire:
            xml = driver.get_config(None, vif).to_xml()
            guest = libvirt.start_guest(xml, shared_memory=True)
            frame = wire.wait_for(dhcp_discover_from(vif.address), DISCOVERED)
            assert frame[6:12].hex(":") == vif.address
            # vswitchd says so in its next round of statistics, every 5 s.
            br_int.vsctl("wait-until", "Interface", port, "link_state=up")
            assert [one.in_use for one in driver.list()] == [True]
            assert not driver.plug(None, vif).changed, "a live NIC is left alone"
            assert not driver.check(None, vif)
            with pytest.raises(InUse, match=f"{port} is in use"):
                driver.unplug(None, vif)
            guest.destroy()
        br_int.vsctl("del-port", "br-int", "uplink")
    assert driver.unplug(None, vif).changed
    assert differences(before[0], br_int.everything()) == []
    assert driver.list() == []


def test_a_switch_without_dpdk_refuses_and_nothing_is_left(
    folder: Path, br_int: OpenVSwitch, driver: GenericVIFDriver
) -> None:
    before = br_int.everything()
    with pytest.raises(
        PlugFailed, match=r"Open vSwitch did not take vhu\S+: could not open"
    ) as told:
        driver.plug(None, vhostuser_vif(0, folder))
    assert told.value.left == ()
    assert differences(before, br_int.everything()) == []


@pytest.mark.dpdk
def test_a_batch_of_both_types_is_looked_at_as_one(
    folder: Path, br_int: OpenVSwitch, driver: GenericVIFDriver, conf: Config
) -> None:
    conf.config(group="vifplug_ovs", process="manual")
    tap = VIF.from_dict(
        {
            "id": IDS[1],
            "vif_type": "ovs",
            "address": "fa:16:3e:22:33:01",
            "network": {"bridge": "br-int"},
        }
    )
    pairs = [(None, tap), (None, vhostuser_vif(0, folder))]
    start = configuration(br_int)
    assert [getattr(one, "changed", one) for one in driver.plug_all(pairs)] == [True, True]
    assert configuration(br_int) == start + 1
    assert [getattr(one, "changed", one) for one in driver.plug_all(pairs)] == [False, False]
    assert {one.vif_type for one in driver.list()} == {"ovs", "vhostuser"}
    assert [getattr(one, "changed", one) for one in driver.unplug_ids(IDS[:2])] == [True, True]
    assert br_int.vsctl("list-ports", "br-int") == ""


def test_the_privileged_side_sends_the_switch_to_no_other_socket(
    folder: Path, br_int: OpenVSwitch, driver: GenericVIFDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = br_int.everything()
    vif = vhostuser_vif(0, folder)
    socket = f"/run/dbus/{derived_name('vhu', vif.id)}"
    elsewhere = {"details": {"vhostuser_socket": socket}}
    # A caller that says so though its own side would not.
    monkeypatch.setattr("vifplug_ovs.vhostuser.within", lambda socket, folder: True)
    bad = VIF.from_dict(vif.to_dict() | elsewhere)
    refused, done = driver.plug_all([(None, bad), (None, ovs_vif(1))])
    assert isinstance(refused, PlugFailed)
    assert refused.vif_id == bad.id
    assert f"{socket} is not below" in str(refused)
    assert getattr(done, "changed", done) is True, "a VIF of the same call is plugged"
    driver.unplug(None, ovs_vif(1))
    assert differences(before, br_int.everything()) == []


@pytest.mark.dpdk
def test_doctor_tells_whether_the_switch_has_dpdk(
    br_int: OpenVSwitch,
    driver: GenericVIFDriver,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    main(["--config-file", str(tmp_path / "vifplug.conf"), "doctor"])
    assert "the switch has DPDK" in capsys.readouterr().out


def test_doctor_tells_that_the_switch_has_no_dpdk(
    br_int: OpenVSwitch,
    driver: GenericVIFDriver,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    main(["--config-file", str(tmp_path / "vifplug.conf"), "doctor"])
    assert "runs without DPDK" in capsys.readouterr().out


def test_of_another_switch_nothing_is_made(
    folder: Path, br_int: OpenVSwitch, driver: GenericVIFDriver
) -> None:
    vif = vhostuser_vif(0, folder)
    details = {**vif.details, "vhostuser_ovs_plug": False}
    other = VIF.from_dict(vif.to_dict() | {"details": details, "network": {}})
    before = br_int.everything()
    privileged.context.stop()
    assert not driver.plug(None, other).changed
    assert not driver.unplug(None, other).changed
    assert differences(before, br_int.everything()) == []
