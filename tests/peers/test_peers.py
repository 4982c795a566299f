# SPDX-License-Identifier: Apache-2.0
"""One VIF plugged by os-vif or libvirt, and by us: the same host but for the listed differences."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import osvif
from tests.peers.differences import BRIDGE, DIFFERENCES, HYBRID, LIBVIRT, MANUAL, unexplained
from vifplug import VIF
from vifplug.testing import Libvirt, NetworkNamespace, OpenVSwitch, veth
from vifplug.testing.configured import configured, forked
from vifplug.testing.dumps import differences
from vifplug_bridge.plugin import BridgePlugin
from vifplug_ovs.plugin import OvsPlugin

INSTANCE = {"uuid": str(uuid.uuid5(uuid.NAMESPACE_DNS, "bench")), "name": "bench"}


@pytest.fixture(scope="module")
def programs() -> Path:
    """os-vif's programs, installed while no test is in a namespace."""
    return osvif.installed()


@pytest.fixture(scope="module")
def bridges() -> Path:
    """The packages of the last os-vif with Linux bridges."""
    return osvif.bridges()


def vif_of(kind: str, vif_type: str, **network: Any) -> VIF:
    """Return the VIF that os-vif plugs for a kind (bench/peer_ovs.py)."""
    return VIF.from_dict(
        {
            "id": str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{kind}0")),
            "vif_type": vif_type,
            "address": "fa:16:3e:00:00:00",
            "network": {"mtu": 1450, **network},
        }
    )


@contextlib.contextmanager
def switched() -> Iterator[tuple[NetworkNamespace, OpenVSwitch]]:
    """Give a host with an Open vSwitch, which the test is in."""
    with NetworkNamespace(enter=True) as host, OpenVSwitch(host) as ovs:
        ovs.add_bridge("br-int")
        yield host, ovs


@contextlib.contextmanager
def with_uplink() -> Iterator[NetworkNamespace]:
    """Give a host with a wire, which the test is in."""
    with NetworkNamespace(enter=True) as host, NetworkNamespace() as far:
        veth(host, "eth1", far, "far")
        host.ip("link", "set", "eth1", "address", "52:54:00:00:00:01")
        host.ip("address", "add", "192.0.2.1/24", "dev", "eth1")
        yield host


@pytest.mark.parametrize("kind", [MANUAL, HYBRID])
def test_a_port_is_that_of_os_vif_but_for_the_listed(
    kind: str, programs: Path, tmp_path: Path
) -> None:
    with switched() as (host, ovs), osvif.running(programs, tmp_path, ovs.endpoint) as ask:
        ask("plug", kind)
        theirs = host.everything() | ovs.everything()
    with switched() as (host, ovs), configured(tmp_path, OvsPlugin) as config:
        config.config(group="vifplug", libvirt_version="9.0.0", virt_type="qemu")
        config.config(group="vifplug_ovs", ovsdb_connection=ovs.endpoint, process=kind)
        with forked(OvsPlugin) as driver:
            driver.plug(INSTANCE, vif_of(kind, "ovs", bridge="br-int"))
            ours = host.everything() | ovs.everything()
    assert unexplained(kind, differences(theirs, ours)) == []


def test_a_bridge_with_its_uplink_is_that_of_os_vif_but_for_the_listed(
    programs: Path, bridges: Path, tmp_path: Path
) -> None:
    nowhere = "unix:/nonexistent"
    with with_uplink() as host, osvif.running(programs, tmp_path, nowhere, instead=bridges) as ask:
        ask("plug", BRIDGE)
        theirs = host.everything()
    with with_uplink() as host, configured(tmp_path, BridgePlugin) as config:
        config.config(group="vifplug", libvirt_version="9.0.0", virt_type="qemu")
        with forked(BridgePlugin) as driver:
            network = {"bridge": "br100", "interface": "eth1", "should_create_bridge": True}
            driver.plug(INSTANCE, vif_of(BRIDGE, "bridge", **network))
            ours = host.everything()
    assert unexplained(BRIDGE, differences(theirs, ours)) == []


def test_a_guests_tap_is_that_of_libvirt_but_for_the_listed(
    namespace: NetworkNamespace, tmp_path: Path
) -> None:
    namespace.ip("link", "add", "br100", "type", "bridge")
    namespace.ip("link", "set", "br100", "up")
    vif = vif_of(BRIDGE, "bridge", bridge="br100")
    libvirts = (
        f"<interface type='bridge'><mac address='{vif.address}'/><source bridge='br100'/>"
        f"<target dev='tap{vif.id[:11]}'/><model type='virtio'/><mtu size='1450'/></interface>"
    )
    with configured(tmp_path, BridgePlugin) as config, Libvirt(namespace) as libvirt:
        guest = libvirt.start_guest(libvirts)
        theirs = namespace.everything()
        guest.destroy()
        config.config(group="vifplug", libvirt_uri=libvirt.uri)
        config.config(group="vifplug_bridge", create_tap=True)
        with forked(BridgePlugin) as driver:
            driver.plug(INSTANCE, vif)
            guest = libvirt.start_guest(driver.get_config(INSTANCE, vif).to_xml())
            ours = namespace.everything()
            guest.destroy()
    assert unexplained(LIBVIRT, differences(theirs, ours)) == []


@pytest.mark.unit
def test_the_documents_list_each_difference_and_no_other() -> None:
    text = (Path(__file__).parents[2] / "docs" / "reliability.md").read_text()
    _, _, table = text.partition("## Beside os-vif and libvirt\n")
    rows = [line for line in table.partition("\n## ")[0].splitlines() if line.startswith("| ")]
    assert rows[1:] == [one.row for one in DIFFERENCES]
