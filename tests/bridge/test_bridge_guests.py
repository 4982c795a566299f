# SPDX-License-Identifier: Apache-2.0
"""QEMU guests under a libvirtd of the tests' own, attached by our XML, with real traffic.

The guest's iPXE ROM asks for an address by DHCP; the far side is another namespace behind a wire.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from oslo_config.fixture import Config

from tests.bridge.vifs import IDS, bridge_vif, tap_of
from tests.guests import DISCOVERED, FIREWALL
from tests.planning import BRIDGE
from vifplug import VIF, GenericVIFDriver, InUse
from vifplug.testing import (
    Capture,
    Libvirt,
    LibvirtRefused,
    NetworkNamespace,
    dhcp_discover_from,
    veth,
)
from vifplug.testing.cases import Case, distinct_interfaces
from vifplug.testing.configured import configured, emptied
from vifplug_bridge.plugin import BridgePlugin


class Hypervisor:
    """A host with a libvirtd, a bridge to the far side, and our driver."""

    def __init__(self, host: NetworkNamespace, far: NetworkNamespace, libvirt: Libvirt) -> None:
        self.host, self.far, self.libvirt = host, far, libvirt


@pytest.fixture(scope="module")
def hypervisor() -> Iterator[Hypervisor]:
    with NetworkNamespace(enter=True) as host, NetworkNamespace() as far:
        host.ip("link", "add", "name", "br100", "type", "bridge", "forward_delay", "0")
        host.ip("link", "set", "br100", "up")
        veth(host, "uplink", far, "far")
        host.ip("link", "set", "uplink", "master", "br100")
        with Libvirt(host) as libvirt:
            yield Hypervisor(host, far, libvirt)


@pytest.fixture
def options(hypervisor: Hypervisor, tmp_path: Path) -> Iterator[Config]:
    with configured(tmp_path, BridgePlugin) as config:
        config.config(group="vifplug", libvirt_uri=hypervisor.libvirt.uri)
        with emptied(BridgePlugin):
            yield config


def arrives(hypervisor: Hypervisor, vif: VIF, xml: str) -> None:
    """Start a guest with the interface and see its DHCP request on the far side."""
    with Capture(hypervisor.far, "far") as wire:
        guest = hypervisor.libvirt.start_guest(xml)
        try:
            frame = wire.wait_for(dhcp_discover_from(vif.address), DISCOVERED)
            assert frame[6:12].hex(":") == vif.address
        finally:
            guest.destroy()


@pytest.mark.parametrize("queues", [None, 2])
def test_a_guest_whose_tap_libvirt_makes(
    queues: int | None, hypervisor: Hypervisor, options: Config
) -> None:
    driver = GenericVIFDriver()
    vif = dataclasses.replace(bridge_vif(should_create_bridge=False), queues=queues)
    hypervisor.libvirt.virsh("capabilities")  # it looks at each QEMU first, which takes a while
    found = driver.look([]).host
    assert found.found["libvirt_version"] == "found"
    assert found.virt_type == "qemu", "as this libvirt says: it has no KVM"
    driver.plug(None, vif)
    with Capture(hypervisor.far, "far") as wire:
        guest = hypervisor.libvirt.start_guest(driver.get_config(None, vif).to_xml())
        assert wire.wait_for(dhcp_discover_from(vif.address), DISCOVERED)
        assert [(one.id, one.in_use, one.devices) for one in driver.list()] == [
            (vif.id, True, (tap_of(vif),))
        ]
        assert not driver.check(None, vif)
        assert not driver.plug(None, vif).changed
        (link,) = hypervisor.host.ip_json("-d", "link", "show", tap_of(vif))
        assert (link["mtu"], link["master"]) == (1450, "br100")
        (bridge,) = hypervisor.host.ip_json("link", "show", "br100")
        assert bridge["mtu"] == 1500, "libvirt's smaller tap has not lowered it"
        with pytest.raises(InUse, match=f"{tap_of(vif)} is in use by {guest.name} "):
            driver.unplug(None, vif)
        guest.destroy()
    driver.unplug(None, vif)
    assert driver.list() == []


@pytest.mark.parametrize("queues", [None, 2])
def test_a_guest_on_a_tap_made_beforehand(
    queues: int | None, hypervisor: Hypervisor, options: Config
) -> None:
    options.config(group="vifplug_bridge", create_tap=True)
    driver = GenericVIFDriver()
    vif = dataclasses.replace(bridge_vif(should_create_bridge=False), queues=queues)
    driver.plug(None, vif)
    xml = driver.get_config(None, vif).to_xml()
    assert 'managed="no"' in xml
    arrives(hypervisor, vif, xml)
    assert not driver.check(None, vif), "the guest's end left the tap as we made it"
    arrives(hypervisor, vif, driver.get_config(None, vif).to_xml())
    driver.unplug(None, vif)
    assert not hypervisor.host.ip_json("link", "show", "type", "tun")


def test_without_managed_no_this_libvirt_starts_no_guest_on_a_tap_made_beforehand(
    hypervisor: Hypervisor, options: Config
) -> None:
    # Why we say it from 8.10 on, and not from 9.5 as Nova does.
    options.config(group="vifplug_bridge", create_tap=True)
    options.config(group="vifplug", libvirt_version="8.9.0")
    driver, vif = GenericVIFDriver(), bridge_vif(should_create_bridge=False)
    driver.plug(None, vif)
    xml = driver.get_config(None, vif).to_xml()
    assert "managed" not in xml
    with pytest.raises(LibvirtRefused, match="interface already exists"):
        hypervisor.libvirt.start_guest(xml)
    assert driver.check(None, vif), "and it took the tap away"
    driver.unplug(None, vif)


def test_a_guest_on_a_bare_tap_that_an_agent_wires(hypervisor: Hypervisor, options: Config) -> None:
    data = {"id": IDS[0], "vif_type": "tap", "address": "fa:16:3e:11:22:44"}
    driver, vif = GenericVIFDriver(), VIF.from_dict(data)
    driver.plug(None, vif)
    hypervisor.host.ip("link", "set", tap_of(vif), "master", "br100")
    assert not driver.check(None, vif), "the wiring is the agent's, and no drift"
    arrives(hypervisor, vif, driver.get_config(None, vif).to_xml())
    driver.unplug(None, vif)


def test_a_firewall_filter_that_libvirt_does_not_know_is_warned_of_by_name(
    hypervisor: Hypervisor,
    options: Config,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A libvirtd that is silent for 3 s is not waited for, and a busy machine's may be.
    monkeypatch.setattr("vifplug.query.libvirt.LIBVIRT_WAIT", DISCOVERED)
    options.config(group="vifplug", firewall_driver="nwfilter")
    options.config(group="vifplug_bridge", filter_parameters=True)
    driver, instance = GenericVIFDriver(), {"name": "instance-00000001"}
    subnets = [{"cidr": "10.0.0.0/24", "ips": ["10.0.0.5"], "dhcp_server": "10.0.0.2"}]
    vif = bridge_vif(should_create_bridge=False, subnets=subnets)
    name = "nova-instance-instance-00000001-fa163e112200"
    with caplog.at_level(logging.WARNING, "vifplug"):
        driver.plug(instance, vif)
    assert f"VIF {vif.id}: libvirt does not know the filter {name}" in caplog.text
    xml = driver.get_config(instance, vif).to_xml()
    with pytest.raises(LibvirtRefused, match=name):
        hypervisor.libvirt.start_guest(xml)

    # Once it is defined there is no warning, the guest starts, and the filter has our parameters.
    hypervisor.libvirt.nwfilter_define(f"<filter name='{name}' chain='root'/>")
    caplog.clear()
    driver.unplug(instance, vif)
    driver.plug(instance, vif)
    assert "does not know" not in caplog.text
    arrives(hypervisor, vif, xml)
    driver.unplug(instance, vif)


@pytest.mark.parametrize("case", distinct_interfaces(BRIDGE), ids=lambda case: case.name)
def test_libvirt_takes_every_interface_that_we_can_make(case: Case, hypervisor: Hypervisor) -> None:
    hypervisor.libvirt.define(case.wiring.interface.to_xml())


def test_check_tells_what_a_running_guest_has_other_than_its_vif_asks(
    hypervisor: Hypervisor, options: Config
) -> None:
    driver, vif = GenericVIFDriver(), bridge_vif(should_create_bridge=False)
    driver.plug(None, vif)
    guest = hypervisor.libvirt.start_guest(driver.get_config(None, vif).to_xml())
    name = guest.name
    assert not driver.check(None, vif)

    other = dataclasses.replace(vif, address="fa:16:3e:99:99:99", model="e1000")
    network = dataclasses.replace(vif.network, mtu=1300)
    other = dataclasses.replace(other, network=network)
    assert f"{name} has the address {vif.address}, not fa:16:3e:99:99:99" in (
        stale := driver.check(None, other).stale
    )
    assert f"{name} has mtu size 1450, not 1300" in stale
    assert f"{name} has model type virtio, not e1000" in stale

    options.config(group="vifplug", firewall_driver=FIREWALL)
    driver = GenericVIFDriver()
    instance = {"uuid": IDS[1], "name": name}
    checked = driver.check(instance, vif)
    assert not checked.operations
    wanted = f"nova-instance-{name}-fa163e112200"
    assert checked.stale == (f"{name} has the filter None, not {wanted}",)
    assert driver.check(instance, dataclasses.replace(vif, filtered=True)).stale == ()

    options.config(group="vifplug", libvirt_uri="qemu+unix:///system?socket=/nonexistent")
    options.config(group="vifplug", libvirt_version="9.0.0", virt_type="qemu")
    assert not GenericVIFDriver().check(instance, vif), "libvirt tells nothing"
    guest.destroy()
    driver.unplug(None, vif)


def test_check_tells_that_a_guest_that_is_shut_off_will_start_with_another_interface(
    hypervisor: Hypervisor, options: Config
) -> None:
    libvirt, vif = hypervisor.libvirt, bridge_vif(should_create_bridge=False)
    options.config(group="vifplug_bridge", create_tap=True)
    driver = GenericVIFDriver()
    driver.plug(None, vif)
    guest = libvirt.start_guest(driver.get_config(None, vif).to_xml())
    libvirt.virsh("destroy", guest.name)
    assert not driver.check(None, vif)

    driver.unplug(None, vif)
    options.config(group="vifplug_bridge", create_tap=False)
    driver = GenericVIFDriver()
    driver.plug(None, vif)
    checked = driver.check(None, vif)
    told = f"{guest.name} (shut off) has an interface of type ethernet, not bridge"
    assert (checked.operations, checked.stale) == ((), (told,))
    with pytest.raises(LibvirtRefused, match="managed='no' but specified dev doesn't exist"):
        libvirt.virsh("start", guest.name)

    other = libvirt.start_guest(driver.get_config(None, vif).to_xml())
    assert not driver.check(None, vif), "the guest that runs has the VIF, and not its old copy"
    for each in (guest, other):
        each.destroy()
    assert not driver.check(None, vif)
    driver.unplug(None, vif)
