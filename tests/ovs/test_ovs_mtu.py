# SPDX-License-Identifier: Apache-2.0
"""The MTU of an OVS bridge on which the host itself has an address."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from oslo_config.fixture import Config

from tests.ovs.vifs import ovs_vif
from vifplug import VIF, GenericVIFDriver, PlugFailed
from vifplug.model.mark import derived_name
from vifplug.testing import NetworkNamespace, OpenVSwitch, veth
from vifplug.testing.dumps import differences
from vifplug.testing.faults.saboteur import REFUSED, Saboteur


class Jumbo:
    """A host with an address on br-int, which has its uplink's MTU, 9000, by itself."""

    def __init__(self, namespace: NetworkNamespace, ovs: OpenVSwitch) -> None:
        self.namespace, self.ovs = namespace, ovs

    def mtu(self, device: str) -> int:
        (link,) = self.namespace.ip_json("link", "show", device)
        return int(link["mtu"])

    def asked(self) -> str:
        return self.ovs.vsctl("get", "Interface", "br-int", "mtu_request", "external_ids").strip()

    def settled(self) -> None:
        """Have the switch take all that was asked of it, and give its devices their MTUs."""
        self.ovs.vsctl("set", "Open_vSwitch", ".", f"external_ids:asked={time.monotonic_ns()}")

    def everything(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return self.namespace.everything(), self.ovs.everything()

    def differs(self, before: tuple[dict[str, Any], dict[str, Any]]) -> list[str]:
        now = self.everything()
        return [d for old, new in zip(before, now, strict=True) for d in differences(old, new)]

    def becomes(self, device: str, mtu: int) -> bool:
        until = time.monotonic() + 15
        while self.mtu(device) != mtu and time.monotonic() < until:
            time.sleep(0.02)
        return self.mtu(device) == mtu


@pytest.fixture
def jumbo(namespace: NetworkNamespace, br_int: OpenVSwitch) -> Iterator[Jumbo]:
    host = Jumbo(namespace, br_int)
    with NetworkNamespace(name="far") as far:
        veth(namespace, "eth0", far, "eth0")
        namespace.ip("link", "set", "eth0", "mtu", "9000")
        br_int.vsctl("add-port", "br-int", "eth0")
        namespace.ip("link", "set", "br-int", "up")
        namespace.ip("addr", "add", "192.0.2.7/24", "dev", "br-int")
        assert host.becomes("br-int", 9000)
        yield host


def ports(vif: VIF, process: str) -> str:
    return derived_name("qvo" if process == "hybrid" else "tap", vif.id)


@pytest.mark.parametrize("process", ["manual", "hybrid"])
def test_a_port_of_a_network_without_an_mtu_has_that_of_the_hosts_bridge(
    process: str, jumbo: Jumbo, conf: Config, driver: GenericVIFDriver
) -> None:
    conf.config(group="vifplug_ovs", process=process)
    vif = ovs_vif(mtu=None)
    driver.plug(None, vif)
    jumbo.settled()
    assert (jumbo.mtu(ports(vif, process)), jumbo.mtu("br-int")) == (9000, 9000)
    assert jumbo.asked() == "[]\n{}"
    assert not driver.check(None, vif)


def test_a_bridge_on_which_the_host_has_no_address_may_be_lowered(
    jumbo: Jumbo, conf: Config, driver: GenericVIFDriver
) -> None:
    conf.config(group="vifplug_ovs", process="manual")
    jumbo.namespace.ip("addr", "del", "192.0.2.7/24", "dev", "br-int")
    vif = ovs_vif(mtu=1400)
    driver.plug(None, vif)
    assert jumbo.becomes("br-int", 1400)
    assert jumbo.asked() == "[]\n{}"
    assert not driver.check(None, vif)


@pytest.mark.parametrize("process", ["manual", "hybrid"])
def test_a_smaller_port_leaves_the_hosts_bridge_its_mtu(
    process: str, jumbo: Jumbo, conf: Config, driver: GenericVIFDriver
) -> None:
    conf.config(group="vifplug_ovs", process=process)
    vif = ovs_vif(mtu=1400)
    assert "change  ovs-mtu" in str(driver.plan(None, vif))
    driver.plug(None, vif)
    jumbo.settled()
    assert (jumbo.mtu(ports(vif, process)), jumbo.mtu("br-int")) == (1400, 9000)
    assert jumbo.asked() == '9000\n{vifplug-mtu="9000"}'
    assert not driver.check(None, vif)
    assert not driver.plug(None, vif).changed
    other = ovs_vif(1, mtu=None)
    driver.plug(None, other)
    jumbo.settled()
    assert (jumbo.mtu(ports(other, process)), jumbo.mtu("br-int")) == (9000, 9000)
    assert not driver.check(None, vif)
    driver.unplug(None, vif)
    jumbo.settled()
    assert jumbo.mtu("br-int") == 9000


def test_a_port_that_libvirt_will_make_leaves_the_hosts_bridge_its_mtu(
    jumbo: Jumbo, conf: Config, driver: GenericVIFDriver
) -> None:
    conf.config(group="vifplug_ovs", process="automatic")
    vif = ovs_vif(mtu=1400)
    driver.plug(None, vif)
    assert not driver.check(None, vif)
    assert not driver.plug(None, vif).changed
    tap = ports(vif, "automatic")
    jumbo.namespace.ip("tuntap", "add", tap, "mode", "tap")
    jumbo.namespace.ip("link", "set", tap, "mtu", "1400", "up")
    jumbo.ovs.vsctl("add-port", "br-int", tap)
    jumbo.settled()
    assert jumbo.mtu("br-int") == 9000


def test_an_mtu_that_somebody_asked_for_the_bridge_stays(
    jumbo: Jumbo, conf: Config, driver: GenericVIFDriver
) -> None:
    conf.config(group="vifplug_ovs", process="manual")
    jumbo.ovs.vsctl("set", "Interface", "br-int", "mtu_request=8000")
    assert jumbo.becomes("br-int", 8000)
    driver.plug(None, ovs_vif(mtu=1400))
    jumbo.settled()
    assert (jumbo.mtu("br-int"), jumbo.asked()) == (8000, "8000\n{}")


def test_an_mtu_above_that_of_the_hosts_bridge_is_noted(
    jumbo: Jumbo, conf: Config, driver: GenericVIFDriver
) -> None:
    conf.config(group="vifplug_ovs", process="manual")
    jumbo.ovs.vsctl("set", "Interface", "br-int", "mtu_request=1400")
    assert jumbo.becomes("br-int", 1400)
    plan = " ".join(str(driver.plan(None, ovs_vif(mtu=9000))).split())
    assert "br-int has MTU 1400: it drops the network's larger frames (9000)" in plan


def test_a_plug_that_fails_takes_its_request_back(
    jumbo: Jumbo, conf: Config, driver: GenericVIFDriver, saboteur: Saboteur
) -> None:
    conf.config(group="vifplug_ovs", process="manual")
    vif = ovs_vif(mtu=1400)
    driver.plug(None, ovs_vif(1, mtu=9000))
    jumbo.settled()
    before = jumbo.everything()
    saboteur.rest()
    driver.plug(None, vif)
    steps = saboteur.steps
    driver.unplug(None, vif)
    jumbo.ovs.vsctl(
        "clear", "Interface", "br-int", "mtu_request",
        "--", "remove", "Interface", "br-int", "external_ids", "vifplug-mtu",
    )  # fmt: skip
    for position in range(steps):
        saboteur.arm(position, REFUSED)
        with pytest.raises(PlugFailed):
            driver.plug(None, vif)
        saboteur.rest()
        assert jumbo.becomes("br-int", 9000)
        until = time.monotonic() + 15
        while (left := jumbo.differs(before)) and time.monotonic() < until:
            time.sleep(0.05)
        assert left == []


@pytest.mark.parametrize("address", [False, True], ids=["plain", "hosts bridge"])
@pytest.mark.parametrize("way", ["manual", "automatic", "hybrid", "own bridge"])
def test_a_plugged_vif_keeps_its_mtu_where_a_later_one_names_none(
    way: str, address: bool, jumbo: Jumbo, conf: Config, driver: GenericVIFDriver
) -> None:
    if not address:
        jumbo.namespace.ip("addr", "del", "192.0.2.7/24", "dev", "br-int")
    own = way == "own bridge"
    conf.config(group="vifplug_ovs", process="manual" if own else way, per_port_bridge=own)
    vif, bare = ovs_vif(mtu=1442), ovs_vif(mtu=None)
    driver = GenericVIFDriver()
    driver.plug(None, vif)
    if way == "automatic":
        require_left_alone(bare, jumbo, driver)
        tap = ports(vif, way)
        jumbo.namespace.ip("tuntap", "add", tap, "mode", "tap")
        jumbo.namespace.ip("link", "set", tap, "mtu", "1442", "up")
        ids = (f"external_ids:{key}={vif.id}" for key in ("iface-id", "vm-id"))
        jumbo.ovs.vsctl("add-port", "br-int", tap, "--", "set", "Interface", tap, *ids)
    jumbo.settled()
    assert jumbo.mtu(ports(vif, way)) == 1442
    require_left_alone(bare, jumbo, driver)
    if way != "automatic":
        assert driver.plug(None, ovs_vif(mtu=1400)).changed
        assert jumbo.becomes(ports(vif, way), 1400)


def require_left_alone(vif: VIF, jumbo: Jumbo, driver: GenericVIFDriver) -> None:
    """Require that plan, check and plug say the same of a VIF, and that nothing changes."""
    jumbo.settled()
    before = jumbo.everything()
    plan = driver.plan(None, vif)
    assert not plan.operations
    assert {step.action for step in plan.steps} == {"keep"}
    assert not driver.check(None, vif)
    assert not driver.plug(None, vif).changed
    assert jumbo.differs(before) == []


def test_a_device_whose_mtu_another_program_changed_gets_its_ports_back(
    jumbo: Jumbo, conf: Config, driver: GenericVIFDriver
) -> None:
    conf.config(group="vifplug_ovs", process="manual")
    driver.plug(None, ovs_vif(mtu=1442))
    tap = ports(ovs_vif(), "manual")
    jumbo.namespace.ip("link", "set", tap, "mtu", "1300")
    driver.plug(None, ovs_vif(mtu=None))
    assert jumbo.becomes(tap, 1442)


def test_a_port_that_was_lost_comes_back_with_the_mtu_of_its_tap(
    jumbo: Jumbo, conf: Config, driver: GenericVIFDriver
) -> None:
    conf.config(group="vifplug_ovs", process="manual")
    vif, bare = ovs_vif(mtu=1442), ovs_vif(mtu=None)
    driver.plug(None, vif)
    tap = ports(vif, "manual")
    jumbo.ovs.vsctl("del-port", tap)
    assert driver.plug(None, bare).changed
    jumbo.settled()
    assert (jumbo.mtu(tap), jumbo.mtu("br-int")) == (1442, 9000)
    assert jumbo.ovs.vsctl("get", "Interface", tap, "mtu_request").strip() == "1442"
    require_left_alone(bare, jumbo, driver)
