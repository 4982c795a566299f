# SPDX-License-Identifier: Apache-2.0
"""QEMU guests on Open vSwitch under a libvirtd of the tests' own, attached by our XML.

The guest's iPXE ROM asks for an address by DHCP; the far side is another namespace, behind a wire
that is a port of the same bridge.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from oslo_config.fixture import Config

from tests.guests import DISCOVERED, FIREWALL
from tests.ovs.vifs import IDS, ovs_vif
from tests.planning import OVS
from vifplug import GenericVIFDriver
from vifplug.testing import (
    Capture,
    Libvirt,
    NetworkNamespace,
    OpenVSwitch,
    dhcp_discover_from,
    veth,
)
from vifplug.testing.cases import Case, distinct_interfaces
from vifplug.testing.configured import configured, emptied
from vifplug_ovs import opts
from vifplug_ovs.plugin import OvsPlugin

LIAR = "fa:16:3e:66:66:66"


@dataclass(frozen=True)
class Hypervisor:
    """A host with a libvirtd and an Open vSwitch, and the far side of its bridge."""

    host: NetworkNamespace
    far: NetworkNamespace
    ovs: OpenVSwitch
    libvirt: Libvirt


@pytest.fixture(scope="module")
def hypervisor() -> Iterator[Hypervisor]:
    with (
        NetworkNamespace(enter=True) as host,
        NetworkNamespace() as far,
        OpenVSwitch(host) as ovs,
        Libvirt(host, environment=ovs.environment) as libvirt,
    ):
        ovs.add_bridge("br-int")
        veth(host, "uplink", far, "far")
        ovs.vsctl("add-port", "br-int", "uplink")
        rule = "<rule action='drop' direction='out'><mac match='no' srcmacaddr='$MAC'/></rule>"
        libvirt.nwfilter_define(f"<filter name='vifplug-test' chain='mac'>{rule}</filter>")
        yield Hypervisor(host, far, ovs, libvirt)


@pytest.fixture
def options(hypervisor: Hypervisor, tmp_path: Path) -> Iterator[Config]:
    with configured(tmp_path, OvsPlugin) as config:
        config.config(group="vifplug", libvirt_uri=hypervisor.libvirt.uri)
        config.config(group=opts.GROUP, ovsdb_connection=hypervisor.ovs.endpoint)
        with emptied(OvsPlugin):
            yield config


@pytest.mark.parametrize(
    ("process", "queues"),
    [("manual", None), ("manual", 2), ("automatic", None), ("automatic", 2), ("hybrid", None)],
)
def test_a_guest_asks_for_its_address(
    process: str, queues: int | None, hypervisor: Hypervisor, options: Config
) -> None:
    options.config(group=opts.GROUP, process=process)
    driver = GenericVIFDriver()
    vif = dataclasses.replace(ovs_vif(mtu=1450), queues=queues)
    assert driver.plug(None, vif).process == process
    with Capture(hypervisor.far, "far") as wire:
        guest = hypervisor.libvirt.start_guest(driver.get_config(None, vif).to_xml())
        frame = wire.wait_for(dhcp_discover_from(vif.address), DISCOVERED)
        assert frame[6:12].hex(":") == vif.address
        (found,) = driver.list()
        assert (found.id, found.process, found.bridge, found.in_use) == (
            vif.id,
            process,
            "br-int",
            True,
        )
        assert f"tap{vif.id[:11]}" in found.devices
        assert not driver.check(None, vif)
        assert not driver.plug(None, vif).changed, "a live NIC is left alone"
        ports = {row["name"]: row for row in hypervisor.ovs.rows("Interface")}
        own = [p for p in ports.values() if p["external_ids"].get("iface-id") == vif.id]
        assert [p["ofport"] > 0 for p in own] == [True]
        guest.destroy()
    driver.unplug(None, vif)
    assert driver.list() == []
    assert hypervisor.ovs.vsctl("list-ports", "br-int").split() == ["uplink"]


def test_what_a_killed_guest_leaves_of_an_automatic_vif_goes_with_it(
    hypervisor: Hypervisor, options: Config
) -> None:
    driver, vif = GenericVIFDriver(), ovs_vif(interface_id=IDS[5])
    assert driver.plug(None, vif).process == "automatic"
    guest = hypervisor.libvirt.start_guest(driver.get_config(None, vif).to_xml())
    # A port of the same shape that no libvirtd will remove, as after a crash of the host's.
    ids = (f"external_ids:iface-id={IDS[5]}", "external_ids:vm-id=x")
    port = ("add-port", "br-int", "vnet9", "--", "set", "Interface", "vnet9", *ids)
    hypervisor.ovs.vsctl("--no-wait", *port)
    guest.destroy()
    assert "vnet9" in hypervisor.ovs.vsctl("list-ports", "br-int")
    driver.unplug(None, vif)
    assert hypervisor.ovs.vsctl("list-ports", "br-int").split() == ["uplink"]


@pytest.mark.parametrize("filtering", [True, False])
def test_a_spoofed_address_gets_no_further_than_the_hybrids_bridge(
    filtering: bool, hypervisor: Hypervisor, options: Config
) -> None:
    options.config(group="vifplug", firewall_driver=FIREWALL if filtering else None)
    options.config(group=opts.GROUP, filter_name="vifplug-test", process="hybrid")
    driver, vif = GenericVIFDriver(), ovs_vif()
    driver.plug(None, vif)
    xml = driver.get_config(None, vif).to_xml()
    assert ('<filterref filter="vifplug-test"/>' in xml) == filtering
    qbr = f"qbr{vif.id[:11]}"
    with (
        Capture(hypervisor.host, qbr) as bridge,
        Capture(hypervisor.far, "far") as wire,
    ):
        guest = hypervisor.libvirt.start_guest(xml, lying_mac=LIAR)
        if filtering:
            tap = Capture(hypervisor.host, f"tap{vif.id[:11]}")
            with tap:
                tap.wait_for(dhcp_discover_from(LIAR), DISCOVERED)
            with pytest.raises(TimeoutError):
                wire.wait_for(dhcp_discover_from(LIAR), 3)
            with pytest.raises(TimeoutError):
                bridge.wait_for(dhcp_discover_from(LIAR), 0)
        else:
            assert wire.wait_for(dhcp_discover_from(LIAR), DISCOVERED)
        guest.destroy()
    driver.unplug(None, vif)


@pytest.mark.parametrize("case", distinct_interfaces(OVS), ids=lambda case: case.name)
def test_libvirt_takes_every_interface_that_we_can_make(case: Case, hypervisor: Hypervisor) -> None:
    hypervisor.libvirt.define(case.wiring.interface.to_xml())
