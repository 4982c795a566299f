# SPDX-License-Identifier: Apache-2.0
"""libvirt's hook, and hand-made guests, on Open vSwitch; and a database that hangs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.domains.conftest import ID, MAC, OTHER, TAP, Host, tidied
from vifplug.sources.domain import parse
from vifplug.testing import Libvirt, LibvirtRefused, NetworkNamespace, OpenVSwitch
from vifplug.testing.openvswitch import SERVER

VIF = {"id": ID, "vif_type": "ovs", "address": MAC, "network": {"bridge": "br-int"}}
HAND_MADE = f"""
    <interface type='bridge'>
      <mac address='fa:16:3e:44:55:66'/>
      <source bridge='br-int'/>
      <virtualport type='openvswitch'><parameters interfaceid='{OTHER}'/></virtualport>
      <model type='virtio'/>
    </interface>"""


@pytest.fixture(scope="module")
def machine() -> Iterator[tuple[NetworkNamespace, OpenVSwitch, Libvirt]]:
    with NetworkNamespace() as net, OpenVSwitch(net) as ovs:
        ovs.add_bridge("br-int")
        with Libvirt(net, environment=ovs.environment) as libvirt:
            yield net, ovs, libvirt


@pytest.fixture
def ovs(machine: tuple[NetworkNamespace, OpenVSwitch, Libvirt]) -> OpenVSwitch:
    return machine[1]


@pytest.fixture
def host(machine: tuple[NetworkNamespace, OpenVSwitch, Libvirt], tmp_path: Path) -> Iterator[Host]:
    net, ovs, libvirt = machine
    with tidied(net, libvirt, tmp_path, keep=("br-int", "ovs-netdev")) as host:
        host.configure("vifplug_ovs", ovsdb_connection=ovs.endpoint, process="manual",
                       datapath_type="netdev")  # fmt: skip
        host.install()
        yield host


def ports(ovs: OpenVSwitch) -> list[str]:
    return [name for name in ovs.vsctl("list-ports", "br-int").split() if name]


def test_a_database_that_hangs_kills_no_guest_and_is_named(host: Host, ovs: OpenVSwitch) -> None:
    host.configure("vifplug", timeout=3)
    guest = host.guest("web1", VIF)
    host.libvirt.virsh("start", "web1")
    assert ports(ovs) == [TAP]
    pid = guest.pid
    ovs.pause(SERVER)
    try:
        host.libvirt.restart()
        assert host.libvirt.virsh("domstate", "web1").strip() == "running"
        host.libvirt.virsh("dominfo", "web1")
        assert guest.pid == pid
        host.libvirt.virsh("destroy", "web1")
        with pytest.raises(LibvirtRefused) as refused:
            host.libvirt.virsh("start", "web1")
        _, _, said = str(refused.value).partition("exit status 1: ")
        assert f"VIF {ID}: " in said and len(said.splitlines()) == 1, said
    finally:
        ovs.resume(SERVER)
    host.configure("vifplug", timeout=60)
    host.libvirt.virsh("start", "web1")
    assert ports(ovs) == [TAP]
    host.libvirt.virsh("destroy", "web1")
    assert ports(ovs) == []


def test_a_hand_made_guest_that_runs_is_adopted_and_then_defined(
    host: Host, ovs: OpenVSwitch
) -> None:
    guest = host.libvirt.define_guest(HAND_MADE, name="old")
    host.libvirt.virsh("start", "old")
    (found,) = json.loads(host.vifplug("export", "--guest", "old").stdout)
    assert (found["id"], found["vif_type"]) == (OTHER, "ovs")
    host.configure("vifplug_ovs", process="choose")
    host.vifplug("plug", "--from", "libvirt", "-", input=guest.domain_xml())
    host.vifplug("check", "--from", "libvirt", "-", input=guest.domain_xml())
    host.libvirt.virsh("destroy", "old")
    host.vifplug("unplug", "--id", OTHER)
    assert ports(ovs) == []
    host.vifplug("define", "old")
    host.libvirt.virsh("start", "old")
    (nic,) = parse(guest.domain_xml()).interfaces()
    assert nic.value("alias", "name") == f"ua-{OTHER}"
    host.vifplug("check", "--from", "libvirt", "-", input=guest.domain_xml())
    host.libvirt.virsh("destroy", "old")
    assert ports(ovs) == []


def test_a_network_of_open_vswitch_plugs_its_ports(host: Host, ovs: OpenVSwitch) -> None:
    # By libvirt, though the option says otherwise.
    host.configure("vifplug_ovs", process="manual")
    virtualport = "<virtualport type='openvswitch'/>"
    host.network('{"vif_type": "ovs"}', bridge="br-int", more=virtualport)
    nic = HAND_MADE.replace("'bridge'", "'network'").replace("bridge='br-int'", "network='lan'")
    guest = host.guest("web1", devices=nic)
    host.libvirt.virsh("start", "web1")
    (found,) = json.loads(host.vifplug("list", "-f", "json").stdout)
    (tap,) = ports(ovs)
    assert (found["id"], found["process"], found["state"]) == (OTHER, "automatic", "up")
    assert found["devices"] == [tap]
    host.libvirt.virsh("attach-interface", "web1", "network", "lan")
    assert len(ports(ovs)) == 2
    pid = guest.pid
    host.restart()
    host.vifplug("check", "--all")
    assert guest.pid == pid
    host.libvirt.virsh("destroy", "web1")
    assert ports(ovs) == []
    assert json.loads(host.vifplug("list", "-f", "json").stdout) == []

    host.network('{"vif_type": "bridge"}', name="plain", bridge="br-int", more=virtualport)
    host.guest("web2", devices=nic.replace("'lan'", "'plain'"))
    with pytest.raises(LibvirtRefused, match="web2 on network plain: VIF"):
        host.libvirt.virsh("start", "web2")
