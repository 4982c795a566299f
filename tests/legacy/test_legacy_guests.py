# SPDX-License-Identifier: Apache-2.0
"""A guest of each of the five drivers, under a libvirtd of the tests' own.

The guest's iPXE ROM asks for an address by DHCP; the far side is another namespace, behind a wire
that the driver's network has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from oslo_config.fixture import Config

from tests.guests import DISCOVERED
from tests.legacy.pairs import (
    AUTOMATIC,
    BRIDGE,
    BRQ,
    FIVE,
    HYBRID,
    IDS,
    INSTANCE,
    MACS,
    MANUAL,
    make,
    name,
    pair,
)
from vifplug.legacy import LegacyVIFDriver
from vifplug.testing import (
    Capture,
    Libvirt,
    NetworkNamespace,
    OpenVSwitch,
    dhcp_discover_from,
    veth,
)
from vifplug.testing.configured import configured, emptied
from vifplug_bridge.plugin import BridgePlugin
from vifplug_ovs import opts as ovs_opts
from vifplug_ovs.plugin import OvsPlugin


@dataclass(frozen=True)
class Hypervisor:
    """A host with a libvirtd, and a bridge of each kind to the far side."""

    host: NetworkNamespace
    far: NetworkNamespace
    libvirt: Libvirt
    ovs: OpenVSwitch


@pytest.fixture(scope="module")
def hypervisor() -> Iterator[Hypervisor]:
    with (
        NetworkNamespace(enter=True) as host,
        NetworkNamespace() as far,
        OpenVSwitch(host) as ovs,
        Libvirt(host, environment=ovs.environment) as libvirt,
    ):
        for wire in ("eth1", "eth2", "eth3"):
            veth(host, wire, far, f"{wire}-far")
        host.ip("link", "add", BRQ, "up", "type", "bridge", "forward_delay", "0")
        host.ip("link", "set", "eth2", "master", BRQ)
        ovs.add_bridge("br-int")
        ovs.vsctl("add-port", "br-int", "eth3")
        for driver in (BRIDGE, HYBRID):
            named = f"nova-instance-{INSTANCE['name']}-{MACS[driver].replace(':', '')}"
            libvirt.nwfilter_define(f"<filter name='{named}' chain='root'/>")
        yield Hypervisor(host, far, libvirt, ovs)


@pytest.fixture
def options(hypervisor: Hypervisor, tmp_path: Path) -> Iterator[Config]:
    with configured(tmp_path, BridgePlugin, OvsPlugin) as config:
        config.config(group="vifplug", libvirt_uri=hypervisor.libvirt.uri)
        config.config(group=ovs_opts.GROUP, ovsdb_connection=hypervisor.ovs.endpoint)
        with emptied(BridgePlugin, OvsPlugin):
            yield config


@pytest.mark.parametrize("kind", FIVE, ids=lambda kind: kind.__name__)
def test_a_guest_asks_for_its_address(
    kind: type[LegacyVIFDriver], hypervisor: Hypervisor, options: Config
) -> None:
    driver, given = make(kind), pair(kind)
    driver.plug(INSTANCE, given)
    xml = driver.get_config(INSTANCE, given).to_xml()
    assert ("<filterref" in xml) == (kind in (BRIDGE, HYBRID))
    wire = "eth3" if kind in (MANUAL, HYBRID, AUTOMATIC) else "eth1" if kind is BRIDGE else "eth2"
    with Capture(hypervisor.far, f"{wire}-far") as far:
        guest = hypervisor.libvirt.start_guest(xml)
        try:
            frame = far.wait_for(dhcp_discover_from(MACS[kind]), DISCOVERED)
            assert frame[6:12].hex(":") == MACS[kind]
            assert [link for link in hypervisor.host.ip_json("link")
                    if link["ifname"] == name("tap", kind)]  # fmt: skip
            assert not driver.check(INSTANCE, given)
            assert not driver.plug(INSTANCE, given).changed, "a live NIC is left alone"
        finally:
            guest.destroy()
    assert driver.unplug(INSTANCE, given).changed
    assert driver.list() == []
    left = f"{hypervisor.host.everything()}{hypervisor.ovs.everything()}"
    assert IDS[kind][:11] not in left
