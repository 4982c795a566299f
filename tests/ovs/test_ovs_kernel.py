# SPDX-License-Identifier: Apache-2.0
"""Plug, check, list and unplug with a real Open vSwitch, through the real privileged daemon."""

from __future__ import annotations

from typing import Any

import pytest
from oslo_config.fixture import Config

from tests.ovs.databases import configuration
from tests.ovs.datapaths import on_both_datapaths
from tests.ovs.realhost import make_ovs_real
from tests.ovs.vifs import IDS, ovs_vif
from tests.planning import OVS
from vifplug import Conflict, GenericVIFDriver, OVSDBError, PlugFailed
from vifplug.switch import Order
from vifplug.testing import NetworkNamespace, OpenVSwitch
from vifplug.testing.configured import fork
from vifplug.testing.dumps import differences
from vifplug.testing.realhost import prepare
from vifplug_ovs.plugin import OvsPlugin
from vifplug_ovs.vswitchd import OpenSwitch

PROCESSES = ("manual", "automatic", "hybrid")


@pytest.fixture(params=PROCESSES)
def process(request: pytest.FixtureRequest, conf: Config) -> str:
    """Each process in turn, pinned by the option."""
    conf.config(group="vifplug_ovs", process=request.param)
    return str(request.param)


def test_a_patch_that_vswitchd_has_lost_is_taken_again(
    namespace: NetworkNamespace, ovs: OpenVSwitch, conf: Config, driver: GenericVIFDriver
) -> None:
    (case,) = (case for case in OVS if case.name == "own-bridge-patch-lost")
    driver = prepare(case, conf, namespace)
    make_ovs_real(case.host, ovs)
    assert f"{driver.plan(None, case.vif)}\n" == case.expected()["plan.txt"]
    assert driver.plug(None, case.vif).changed
    assert not driver.check(None, case.vif)
    assert driver.unplug(None, case.vif).changed
    assert driver.list() == []


@on_both_datapaths
def test_a_port_has_its_ids_and_does_not_survive_a_reboot(
    br_int: OpenVSwitch, driver: GenericVIFDriver, conf: Config
) -> None:
    conf.config(group="vifplug_ovs", process="manual")
    vif = ovs_vif(mtu=1450)
    driver.plug({"uuid": IDS[2], "name": "vm"}, vif)
    (interface,) = [row for row in br_int.rows("Interface") if row["name"] != "br-int"]
    assert interface["ofport"] > 0
    assert interface["mtu"] == 1450
    ids = {key: value for key, value in interface["external_ids"].items() if "vifplug" not in key}
    assert ids == {
        "iface-id": vif.id,
        "iface-status": "active",
        "attached-mac": vif.address,
        "vm-uuid": IDS[2],
    }
    words = ("--bare", "--columns=name", "find", "Port", "other_config:transient=true")
    assert br_int.vsctl(*words).split() == [interface["name"]]


@on_both_datapaths
def test_the_hybrids_devices_are_deaf_and_dumb(
    br_int: OpenVSwitch, namespace: NetworkNamespace, driver: GenericVIFDriver, conf: Config
) -> None:
    conf.config(group="vifplug_ovs", process="hybrid")
    vif = ovs_vif(mtu=1450)
    driver.plug(None, vif)
    qbr, qvb, qvo = (f"{prefix}{vif.id[:11]}" for prefix in ("qbr", "qvb", "qvo"))
    links = {link["ifname"]: link for link in namespace.ip_json("-d", "link")}
    settings = links[qbr]["linkinfo"]["info_data"]
    wanted = {"forward_delay": 0, "ageing_time": 0, "stp_state": 0, "mcast_snooping": 0}
    assert {name: settings[name] for name in wanted} == wanted
    assert links[qvb]["master"] == qbr
    assert [links[name]["mtu"] for name in (qbr, qvb, qvo)] == [1450] * 3
    for name in (qbr, qvb, qvo):
        assert "UP" in links[name]["flags"]
        (found,) = namespace.ip_json("addr", "show", "dev", name)
        assert found["addr_info"] == [], "no address, not even a link-local one"
    sysctls = namespace.everything()["sysctls"]
    assert sysctls[f"net/ipv4/conf/{qbr}/arp_ignore"] == "1"
    assert sysctls[f"net/ipv4/conf/{qbr}/arp_announce"] == "2"


@on_both_datapaths
def test_a_batch_is_one_transaction_each_way(
    br_int: OpenVSwitch, driver: GenericVIFDriver, process: str
) -> None:
    vifs = [(None, ovs_vif(number)) for number in range(20)]
    start = configuration(br_int)
    results = driver.plug_all(vifs)
    assert [getattr(one, "changed", one) for one in results] == [True] * 20
    each = 0 if process == "automatic" else 1  # libvirt's ports need no row of ours
    assert configuration(br_int) == start + each
    assert all(not driver.check(*pair) for pair in vifs)
    results = driver.unplug_all(vifs)
    assert [getattr(one, "changed", one) for one in results] == [True] * 20
    assert configuration(br_int) == start + 2 * each
    assert driver.list() == []


@on_both_datapaths
def test_one_vif_of_a_batch_that_the_database_refuses_fails_alone(
    br_int: OpenVSwitch, driver: GenericVIFDriver, process: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    br_int.add_bridge("br-two")
    order = OpenSwitch.order

    def deletes_a_bridge_first(switch: OpenSwitch, *args: Any, **more: Any) -> Order:
        br_int.vsctl("--if-exists", "del-br", "br-two")
        return order(switch, *args, **more)

    monkeypatch.setattr(OpenSwitch, "order", deletes_a_bridge_first)
    fork(OvsPlugin)
    vifs = [ovs_vif(0), ovs_vif(1, bridge="br-two"), ovs_vif(2)]
    first, second, third = driver.plug_all([(None, vif) for vif in vifs])
    assert [getattr(one, "changed", one) for one in (first, third)] == [True, True]
    assert isinstance(second, (PlugFailed, Conflict))
    # A claim is no part of the transaction that the database refuses: the look finds no bridge.
    gone = "OVS bridge br-two is not there" if process == "automatic" else "br-two has gone"
    assert gone in str(second)
    assert vifs[1].id in str(second)
    assert {one.id for one in driver.list()} == {vifs[0].id, vifs[2].id}
    assert [driver.check(None, vif).operations for vif in (vifs[0], vifs[2])] == [(), ()]


@on_both_datapaths
def test_a_port_that_vswitchd_does_not_take_is_a_failure_and_is_undone(
    br_int: OpenVSwitch, driver: GenericVIFDriver, conf: Config
) -> None:
    conf.config(group="vifplug_ovs", process="manual")
    # vswitchd in another network namespace can't see the tap.
    with NetworkNamespace(enter=True) as elsewhere:
        before = elsewhere.everything(), br_int.everything()
        found = driver.plug_all([(None, ovs_vif(number)) for number in range(3)])
        for number, error in enumerate(found):
            tap = f"tap{IDS[number][:11]}"
            assert isinstance(error, PlugFailed)
            assert f"Open vSwitch did not take {tap}: could not open network device" in str(error)
            assert error.left == ()
        assert differences(before[0], elsewhere.everything()) == []
        assert differences(before[1], br_int.everything()) == []
        driver.close()


def test_two_vifs_of_a_batch_on_a_bridge_that_is_made_for_them(
    ovs: OpenVSwitch, driver: GenericVIFDriver, conf: Config
) -> None:
    conf.config(group="vifplug_ovs", process="manual", datapath_type="netdev")
    vifs = [ovs_vif(number, should_create_bridge=True, bridge="br-new") for number in range(2)]
    results = driver.plug_all([(None, vif) for vif in vifs])
    assert [getattr(one, "changed", one) for one in results] == [True, True]
    assert set(ovs.vsctl("list-ports", "br-new").split()) == {f"tap{v.id[:11]}" for v in vifs}
    driver.unplug_all([(None, vif) for vif in vifs])
    assert ovs.vsctl("list-br").split() == ["br-new"], "a shared bridge outlives its VIFs"


@on_both_datapaths
def test_a_bridge_that_is_deleted_under_us(
    br_int: OpenVSwitch, namespace: NetworkNamespace, driver: GenericVIFDriver, process: str
) -> None:
    vif = ovs_vif()
    driver.plug(None, vif)
    br_int.vsctl("del-br", "br-int")
    with pytest.raises(Conflict, match="OVS bridge br-int is not there"):
        driver.plug(None, vif)
    br_int.add_bridge("br-int")
    assert driver.plug(None, vif).changed
    assert not driver.check(None, vif)
    br_int.vsctl("del-br", "br-int")
    driver.unplug(None, vif)
    assert vif.id[:11] not in f"{namespace.everything()}{br_int.everything()}"


@on_both_datapaths
def test_the_option_flipped_between_plug_and_unplug(
    br_int: OpenVSwitch, namespace: NetworkNamespace, driver: GenericVIFDriver, conf: Config
) -> None:
    before = namespace.everything(), br_int.everything()
    for was in PROCESSES:
        for becomes in PROCESSES:
            conf.config(group="vifplug_ovs", process=was)
            driver = GenericVIFDriver()
            driver.plug(None, ovs_vif())
            conf.config(group="vifplug_ovs", process=becomes)
            driver = GenericVIFDriver()
            assert driver.plug(None, ovs_vif()).process == was
            assert driver.list()[0].process == was
            driver.unplug(None, ovs_vif())
            assert differences(before[0], namespace.everything()) == []
            assert differences(before[1], br_int.everything()) == []


@on_both_datapaths
def test_what_libvirt_left_behind_goes_with_the_vif(
    br_int: OpenVSwitch, driver: GenericVIFDriver
) -> None:
    vif = ovs_vif(interface_id=IDS[3])
    driver.plug(None, vif)
    ids = (f"external_ids:iface-id={IDS[3]}", f"external_ids:vm-id={IDS[2]}")
    port = ("add-port", "br-int", "vnet7", "--", "set", "Interface", "vnet7", *ids)
    br_int.vsctl("--no-wait", *port)
    assert not driver.check(None, vif)
    (result,) = driver.unplug_ids([vif.id])
    assert getattr(result, "changed", result) is True
    assert br_int.vsctl("list-ports", "br-int") == ""
    assert driver.list() == []


def test_an_endpoint_nobody_listens_at(
    br_int: OpenVSwitch, driver: GenericVIFDriver, conf: Config
) -> None:
    conf.config(group="vifplug_ovs", ovsdb_connection="unix:/nonexistent/db.sock")
    with pytest.raises(OVSDBError, match=r"unix:/nonexistent/db\.sock: No such file or directory"):
        GenericVIFDriver().plug(None, ovs_vif())
