# SPDX-License-Identifier: Apache-2.0
"""Guests with KVM where this machine has it, else without, on a Linux bridge and on Open vSwitch.

No frame is asked for, because a network ROM does not run on every KVM inside a virtual machine.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.bridge.vifs import bridge_vif
from tests.ovs.vifs import ovs_vif
from vifplug import VIF, GenericVIFDriver, InUse
from vifplug.plugin import VIFPlugin
from vifplug.testing import Libvirt, NetworkNamespace, OpenVSwitch
from vifplug.testing.configured import configured, emptied
from vifplug_bridge.plugin import BridgePlugin
from vifplug_ovs.plugin import OvsPlugin

KVM = os.access("/dev/kvm", os.R_OK | os.W_OK)
VIRT_TYPE = "kvm" if KVM else "qemu"
THEIRS = bridge_vif(should_create_bridge=False)


@dataclass(frozen=True)
class Way:
    """A VIF, its plugin, and the options with which it is plugged."""

    plugin: type[VIFPlugin]
    vif: VIF
    option: tuple[str, object]


WAYS = {
    "bridge, libvirt's tap": Way(BridgePlugin, THEIRS, ("create_tap", False)),
    "bridge, tap made beforehand": Way(BridgePlugin, THEIRS, ("create_tap", True)),
    "ovs manual": Way(OvsPlugin, ovs_vif(), ("process", "manual")),
    "ovs automatic": Way(OvsPlugin, ovs_vif(), ("process", "automatic")),
    "ovs hybrid": Way(OvsPlugin, ovs_vif(), ("process", "hybrid")),
}


@dataclass(frozen=True)
class Hypervisor:
    """A host with a libvirtd and both kinds of bridge."""

    host: NetworkNamespace
    ovs: OpenVSwitch
    libvirt: Libvirt


@pytest.fixture(scope="module")
def hypervisor() -> Iterator[Hypervisor]:
    with (
        NetworkNamespace(enter=True) as host,
        OpenVSwitch(host) as ovs,
        Libvirt(host, environment=ovs.environment, kvm=KVM) as libvirt,
    ):
        host.ip("link", "add", "name", "br100", "type", "bridge", "forward_delay", "0")
        host.ip("link", "set", "br100", "up")
        ovs.add_bridge("br-int")
        libvirt.virsh("capabilities")  # it looks at each QEMU first, which takes a while
        yield Hypervisor(host, ovs, libvirt)


def goes_through(vif: VIF, hypervisor: Hypervisor) -> None:
    """Plug a VIF, start its guest, end it, and unplug the VIF, with a look at each step."""
    libvirt, host, tap = hypervisor.libvirt, hypervisor.host, f"tap{vif.id[:11]}"
    driver = GenericVIFDriver()
    assert driver.look([]).host.virt_type == VIRT_TYPE
    driver.plug(None, vif)
    guest = libvirt.start_guest(driver.get_config(None, vif).to_xml())
    assert f"<domain type='{VIRT_TYPE}'" in guest.domain_xml()
    (link,) = host.ip_json("link", "show", tap)
    assert "LOWER_UP" in link["flags"], "QEMU has it open"
    assert [(one.id, one.state) for one in driver.list()] == [(vif.id, "up")]
    assert not driver.check(None, vif)
    assert not driver.plug(None, vif).changed
    with pytest.raises(InUse, match=f"{tap} is in use by {guest.name} "):
        driver.unplug(None, vif)
    guest.destroy()
    driver.unplug(None, vif)
    assert driver.list() == []
    assert tap not in str(host.ip_json("link"))
    assert hypervisor.ovs.vsctl("list-ports", "br-int").split() == []


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_guest_starts_runs_and_goes(way: Way, hypervisor: Hypervisor, tmp_path: Path) -> None:
    with configured(tmp_path, way.plugin) as config:
        config.config(group="vifplug", libvirt_uri=hypervisor.libvirt.uri)
        if way.plugin is OvsPlugin:
            config.config(group="vifplug_ovs", ovsdb_connection=hypervisor.ovs.endpoint)
        name, value = way.option
        config.config(group=way.plugin.group, **{name: value})
        with emptied(way.plugin):
            goes_through(way.vif, hypervisor)
