# SPDX-License-Identifier: Apache-2.0
"""Virtual functions of a card in switchdev mode: their representors on the kernel's datapath."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from oslo_config.fixture import Config

from tests.ovs.cards import SimulatedCard
from tests.ovs.databases import configuration
from tests.ovs.datapaths import on_the_kernels_datapath
from tests.ovs.vifs import IDS
from vifplug import VIF, Conflict, GenericVIFDriver, InvalidVIF
from vifplug.testing import NetworkNamespace, OpenVSwitch
from vifplug.testing.claims import kept_of
from vifplug.testing.configured import configured
from vifplug.testing.dumps import differences
from vifplug.testing.faults.every_step import (  # noqa: F401 - collected here
    test_a_daemon_killed_at_any_step,
    test_a_fault_at_any_step,
)
from vifplug.testing.faults.scene import Subject
from vifplug_ovs import opts
from vifplug_ovs.order import in_order
from vifplug_ovs.plugin import OvsPlugin

pytestmark = pytest.mark.kernel("openvswitch", "netdevsim")


def vf_vif(number: int, slot: str | None, vnic_type: str = "direct") -> VIF:
    """Return the VIF of a number that gets a virtual function."""
    data: dict[str, Any] = {
        "id": IDS[number],
        "vif_type": "ovs",
        "vnic_type": vnic_type,
        "address": f"fa:16:3e:66:77:{number:02x}",
        "network": {"bridge": "br-int", "mtu": 1450},
        "details": {"pci_slot": slot} if slot else {},
    }
    return VIF.from_dict(data)


@pytest.fixture
def card(namespace: NetworkNamespace, tmp_path: Path) -> Iterator[SimulatedCard]:
    with SimulatedCard(namespace, tmp_path / "sys") as made:
        yield made


@pytest.fixture
def driver(driver: GenericVIFDriver, card: SimulatedCard) -> Iterator[GenericVIFDriver]:
    found = GenericVIFDriver(sysfs=card.sysfs)
    yield found
    found.close()


def state(namespace: NetworkNamespace, device: str) -> tuple[bool, list[str]]:
    """Return whether a device is up, and our names on it."""
    (link,) = namespace.ip_json("link", "show", "dev", device)
    return "UP" in link["flags"], kept_of(device)


@on_the_kernels_datapath
def test_each_functions_representor_is_a_port_and_stays_when_the_vif_goes(
    card: SimulatedCard, namespace: NetworkNamespace, br_int: OpenVSwitch, driver: GenericVIFDriver
) -> None:
    before, start = (namespace.everything(), br_int.everything()), configuration(br_int)
    vifs = [vf_vif(number, card.slot(number)) for number in range(2)]
    results = driver.plug_all([(None, vif) for vif in vifs])
    assert [getattr(one, "changed", one) for one in results] == [True, True]
    assert configuration(br_int) == start + 1
    rows = {row["name"]: row for row in br_int.rows("Interface")}
    for vif, representor in zip(vifs, card.representors, strict=True):
        assert state(namespace, representor)[0] is True
        assert rows[representor]["ofport"] > 0
        assert rows[representor]["external_ids"]["iface-id"] == vif.id
        assert rows[representor]["mtu"] == 1450
        assert not driver.plug(None, vif).changed
    assert rows.keys() == {"br-int", *card.representors}
    slot = driver.get_config(None, vifs[1]).to_element().find("source/address").attrib
    assert (slot["bus"], slot["slot"], slot["function"]) == ("0x81", "0x00", "0x2")
    assert {(one.id, one.bridge) for one in driver.list()} == {(v.id, "br-int") for v in vifs}
    results = driver.unplug_all([(None, vif) for vif in vifs])
    assert [getattr(one, "changed", one) for one in results] == [True, True]
    for representor in card.representors:
        assert state(namespace, representor) == (False, [])
    assert differences(before[1], br_int.everything()) == []
    assert namespace.everything()["links"].keys() == before[0]["links"].keys()


@on_the_kernels_datapath
def test_a_representor_that_was_up_stays_up(
    card: SimulatedCard, namespace: NetworkNamespace, br_int: OpenVSwitch, driver: GenericVIFDriver
) -> None:
    representor, vif = card.representors[0], vf_vif(0, card.slot(0))
    namespace.ip("link", "set", representor, "up")
    driver.plug(None, vif)
    driver.unplug(None, vif)
    assert state(namespace, representor) == (True, [])


@on_the_kernels_datapath
def test_a_representor_that_went_down_is_brought_up_again(
    card: SimulatedCard, namespace: NetworkNamespace, br_int: OpenVSwitch, driver: GenericVIFDriver
) -> None:
    representor, vif = card.representors[0], vf_vif(0, card.slot(0))
    driver.plug(None, vif)
    namespace.ip("link", "set", representor, "down")
    assert str(driver.check(None, vif).operations[0]) == f"set {representor} up"
    assert driver.plug(None, vif).changed
    assert state(namespace, representor)[0] is True
    driver.unplug(None, vif)
    assert state(namespace, representor) == (False, [])


@on_the_kernels_datapath
def test_a_function_that_is_gone_is_no_hindrance_to_its_unplug(
    card: SimulatedCard, namespace: NetworkNamespace, br_int: OpenVSwitch, driver: GenericVIFDriver
) -> None:
    vif = vf_vif(0, card.slot(0))
    driver.plug(None, vif)
    card.remove_function(0)
    with pytest.raises(Conflict, match=f"PCI {card.slot(0)} is not there"):
        driver.plug(None, vif)
    assert driver.unplug(None, vif).changed
    assert br_int.vsctl("list-ports", "br-int") == ""
    assert state(namespace, card.representors[0]) == (False, [])


@on_the_kernels_datapath
def test_bad_input_is_refused_before_anything_is_changed(
    card: SimulatedCard, namespace: NetworkNamespace, br_int: OpenVSwitch, driver: GenericVIFDriver
) -> None:
    def refused(vif: VIF, kind: type[Exception], words: str) -> None:
        with pytest.raises(kind, match=words):
            driver.plug(None, vif)

    before, physical = (namespace.everything(), br_int.everything()), card.slot(-1)
    refused(vf_vif(0, None), InvalidVIF, "details.pci_slot is missing")
    refused(vf_vif(0, "eth0"), InvalidVIF, "details.pci_slot is 'eth0'; allowed: a PCI address")
    refused(vf_vif(0, "0000:99:00.1"), Conflict, "PCI 0000:99:00.1 is not there")
    refused(vf_vif(0, physical), Conflict, f"PCI {physical} is no virtual function")
    refused(vf_vif(0, card.slot(0), "vdpa"), Conflict, "has no vhost-vdpa device")
    assert differences(before[0], namespace.everything()) == []
    assert differences(before[1], br_int.everything()) == []
    driver.plug(None, vf_vif(0, card.slot(0)))
    refused(vf_vif(1, card.slot(0)), Conflict, f"is used by VIF {IDS[0]}")
    driver.unplug(None, vf_vif(0, card.slot(0)))
    card.set_mode("legacy")
    refused(vf_vif(0, card.slot(0)), Conflict, "not in switchdev mode|has no representor")
    assert differences(before[1], br_int.everything()) == []


@on_the_kernels_datapath
def test_vdpa_has_the_representor_and_the_functions_file(
    card: SimulatedCard, namespace: NetworkNamespace, br_int: OpenVSwitch, driver: GenericVIFDriver
) -> None:
    file, vif = card.add_vdpa(1), vf_vif(0, card.slot(1), "vdpa")
    driver.plug(None, vif)
    assert br_int.vsctl("list-ports", "br-int").split() == [card.representors[1]]
    assert driver.get_config(None, vif).to_element().find("source").get("dev") == file
    driver.unplug(None, vif)
    assert br_int.vsctl("list-ports", "br-int") == ""


@on_the_kernels_datapath
def test_an_isolated_representor_is_in_the_dead_vlan(
    card: SimulatedCard, br_int: OpenVSwitch, driver: GenericVIFDriver, conf: Config
) -> None:
    conf.config(group="vifplug_ovs", isolate=True)
    isolating, vif = GenericVIFDriver(sysfs=card.sysfs), vf_vif(0, card.slot(0))
    isolating.plug(None, vif)
    (row,) = [row for row in br_int.rows("Port") if row["name"] == card.representors[0]]
    assert (row["tag"], row["vlan_mode"], row["trunks"]) == (4095, "trunk", 4095)
    isolating.unplug(None, vif)


@pytest.fixture
def subject(tmp_path: Path) -> Iterator[Subject]:
    running: list[OpenVSwitch] = []
    number = iter(range(1000))

    def prepared(host: NetworkNamespace, stack: ExitStack) -> GenericVIFDriver:
        card = stack.enter_context(SimulatedCard(host, tmp_path / f"sys{next(number)}"))
        ovs = stack.enter_context(OpenVSwitch(host, datapath_type="system"))
        running[:] = [ovs]
        ovs.add_bridge("br-int")
        # Else it follows the smallest of its ports, in its own time.
        ovs.vsctl("set", "Interface", "br-int", "mtu_request=1400")
        for device in card.representors:  # what a port of Open vSwitch has is not given back
            host.ip("link", "set", device, "mtu", "1450")
        config.config(group=opts.GROUP, ovsdb_connection=ovs.endpoint)
        return GenericVIFDriver(sysfs=card.sysfs)

    def dump(host: NetworkNamespace) -> dict[str, Any]:
        running[0].vsctl("show")
        found = host.everything()
        for link in found["links"].values():  # vswitchd listens as long as it has the port
            link["flags"] = [flag for flag in link["flags"] if flag != "PROMISC"]
        return found | {"ovs": running[0].everything()}

    with configured(tmp_path, OvsPlugin) as config:
        config.config(group="vifplug", libvirt_version="9.0.0")
        order = partial(in_order, racing=False)
        vif = vf_vif(0, "0000:81:00.1")
        yield Subject(vif, prepared, OvsPlugin, dump, order=order)
