# SPDX-License-Identifier: Apache-2.0
"""Real Novas that boot real guests on our plugins, picked by vif_type."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from tests.nova import clouds
from tests.nova.clouds import Cloud, Host
from tests.nova.environments import Environment
from tests.nova.ports import Port, hybrid, pinging
from vifplug.testing import Capture, Lldpad, dhcp_discover_from, edge_wire
from vifplug.testing.claims import every_claim

DISCOVERED = 60.0
INSTANCE = "15e0f4a6-0c5e-4a5b-8d3e-9d1c2b3a4f50"


@pytest.fixture(scope="module")
def host34(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with clouds.hosts(tmp_path_factory.mktemp("nova34")) as host:
        yield host


@pytest.fixture(scope="module")
def cloud34(nova34: Environment, host34: Host) -> Iterator[Cloud]:
    with clouds.running(nova34, host34, more="[vifplug_nova]\nlinux_bridge = true\n") as cloud:
        yield cloud


@pytest.fixture(scope="module")
def host33(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with clouds.hosts(tmp_path_factory.mktemp("nova33")) as host:
        yield host


@pytest.fixture(scope="module")
def cloud33(nova33_bridge: Environment, host33: Host) -> Iterator[Cloud]:
    """A Nova 33 with its stock driver, os-vif 5 and nothing of ours but vifplug_bridge."""
    with clouds.running(nova33_bridge, host33, driver="libvirt.LibvirtDriver") as cloud:
        yield cloud


def left(host: Host) -> tuple[list[str], list[str]]:
    """Return the devices of a host and the ports of br-int."""
    devices = [link["ifname"] for link in host.namespace.ip_json("link")]
    return sorted(devices), sorted(host.ovs.vsctl("list-ports", "br-int").split())


def ours(host: Host) -> str:
    """Return the names of a host's devices, and the claims on them."""
    with host.namespace.entered():
        return f"{host.namespace.ip('link').stdout}{every_claim(host.folder / 'locks')}"


def wired(host: Host, port: Port) -> str:
    """Do what an agent does with a tap or a Linux bridge; return the far side's device."""
    if port.vif_type == "tap":
        host.ovs.vsctl("add-port", "br-int", port.tap)
    elif port.vif_type == "bridge":
        (bridge,) = (name for name in left(host)[0] if name.startswith("brq"))
        host.namespace.ip("link", "set", "agent", "master", bridge)
        return "far-agent"
    return "far-card" if port.vif_type == "macvtap" else "far"


def unwired(host: Host, port: Port) -> None:
    if port.vif_type == "tap":
        host.ovs.vsctl("--if-exists", "del-port", "br-int", port.tap)
    elif port.vif_type == "bridge":
        # A network's bridge outlives its VIFs, by design.
        (bridge,) = (name for name in left(host)[0] if name.startswith("brq"))
        host.namespace.ip("link", "del", bridge)


@pytest.mark.parametrize(
    "port",
    [
        Port("ovs"),
        Port("ovs", {"ovs_create_tap": True}),
        hybrid(),
        Port("tap"),
        Port("bridge"),
        Port(
            "macvtap",
            {"macvtap_source": "card", "macvtap_mode": "bridge", "physical_interface": "card"},
        ),
    ],
    ids=["ovs", "ovs-create-tap", "hybrid", "tap", "bridge", "macvtap"],
)
def test_a_guest_boots_asks_for_its_address_and_goes_without_a_trace(
    port: Port, cloud34: Cloud, host34: Host
) -> None:
    booted(port, cloud34, host34)


def booted(port: Port, cloud: Cloud, host: Host) -> None:
    before = left(host)
    with ExitStack() as stack:
        names = ("far", "far-agent", "far-card")
        wires = {name: stack.enter_context(Capture(host.far, name)) for name in names}
        server = cloud.do("boot", ports=[port.data()])
        assert server["status"] == "ACTIVE", (server, cloud.log)
        frame = wires[wired(host, port)].wait_for(dhcp_discover_from(port.mac), DISCOVERED)
        assert frame[6:12].hex(":") == port.mac
    assert f"vifplug:{port.id}:" in ours(host), "ours, not another's"
    second = Port(port.vif_type, port.details)
    assert cloud.do("attach", server=server["id"], port=second.data())["status"] == "ACTIVE"
    xml = host.libvirt.virsh("dumpxml", server["name"])
    assert port.mac in xml and second.mac in xml
    # libvirt names a macvtap.
    assert (second.tap in left(host)[0]) == (port.vif_type != "macvtap")
    cloud.do("delete", server=server["id"])
    unwired(host, port)
    assert left(host) == before


def test_a_guest_on_a_switch_of_802_1qbg(nova34: Environment, tmp_path: Path) -> None:
    ids = {"managerid": "11", "typeid": "1193047", "typeidversion": "2", "instanceid": INSTANCE}
    port = Port("802.1qbg", {"interface": "ep0", **ids})
    with ExitStack() as stack:
        host = stack.enter_context(clouds.hosts(tmp_path))
        edge_wire(host.namespace, "ep0", host.far, "ep1")
        stack.enter_context(Lldpad(host.far, "ep1", role="bridge"))
        station = Lldpad(host.namespace, "ep0", role="station", libvirt=host.libvirt)
        stack.enter_context(station).wait_for_evb()
        more = f"[vifplug_vepa]\nlldpad_pid_file = {station.pid_file}\n"
        cloud = stack.enter_context(clouds.running(nova34, host, more=more))
        before = left(host)
        with Capture(host.far, "ep1") as switch:
            server = cloud.do("boot", ports=[port.data()])
            assert server["status"] == "ACTIVE", (server, cloud.log)
            assert f"uuid = {INSTANCE}" in station.associations()
            switch.wait_for(dhcp_discover_from(port.mac), DISCOVERED)
        cloud.do("delete", server=server["id"])
        assert station.associations() == ""
        assert left(host) == before


def test_vifplug_bridge_alone_brings_linux_bridges_back_to_nova_33(
    cloud33: Cloud, host33: Host
) -> None:
    booted(Port("bridge"), cloud33, host33)


def test_our_driver_on_nova_33(nova33: Environment, tmp_path: Path) -> None:
    with clouds.hosts(tmp_path) as host, clouds.running(nova33, host) as cloud:
        for port in (Port("bridge"), Port("ovs"), hybrid()):
            booted(port, cloud, host)


def test_a_linux_bridge_outlives_a_restart_of_nova_33(cloud33: Cloud, host33: Host) -> None:
    before, port = left(host33), Port("bridge")
    server = cloud33.do("boot", ports=[port.data()], ipxe=port.ipxe)["id"]
    wired(host33, port)
    with pinging(host33.far, "far-agent", [port]) as pings:
        was = shape(host33)
        cloud33.do("restart")
        assert shape(host33) == was
    assert pings[port.id].sent > 10 and pings[port.id].lost == 0
    cloud33.do("delete", server=server)
    unwired(host33, port)
    assert left(host33) == before


def shape(host: Host) -> tuple[Any, Any]:
    """Return what a touched NIC would have changed: indexes, flaps, rows of the database."""
    links = {
        link["ifname"]: (link["ifindex"], link.get("master"), link["flags"], link["mtu"])
        for link in host.namespace.ip_json("link")
    }
    flaps = host.namespace.run("sh", "-c", "grep . /sys/class/net/*/carrier_changes", sysfs=True)
    rows = {
        row["name"]: row["_uuid"] for table in ("Port", "Interface") for row in host.ovs.rows(table)
    }
    return (links, flaps.stdout), rows


def test_a_restart_of_nova_compute_touches_no_nic_and_survives_bad_vifs(
    cloud34: Cloud, host34: Host
) -> None:
    before = left(host34)
    ports = [Port("ovs"), hybrid(), Port("ovs"), Port("ovs"), Port("ovs")]
    servers = [cloud34.do("boot", ports=[p.data()], ipxe=p.ipxe)["id"] for p in ports]
    with pinging(host34.far, "far", ports) as pings:
        time.sleep(0.5)
        was = shape(host34)
        assert cloud34.do("restart") == {"driver": "vifplug_nova.driver"}
        assert shape(host34) == was
        assert set(cloud34.do("servers").values()) == {"ACTIVE"}
        # Of one the binding failed, one is of a type that nobody knows, one's bridge is not there.
        cloud34.do("spoil", server=servers[2], port=ports[2].id, type="binding_failed")
        cloud34.do("spoil", server=servers[3], port=ports[3].id, type="wibble")
        nowhere = {"bridge_name": "br-nowhere"}
        cloud34.do("spoil", server=servers[4], port=ports[4].id, details=nowhere)
        cloud34.do("restart")
        assert shape(host34) == was
        time.sleep(0.5)
    status = cloud34.do("servers")
    assert [status[server] for server in servers] == ["ACTIVE"] * 2 + ["ERROR"] * 3
    assert "br-nowhere" in cloud34.log
    assert "no installed vifplug plugin claims vif_type wibble" in cloud34.log
    assert min(ping.sent for ping in pings.values()) > 50
    assert {port: ping.lost for port, ping in pings.items()} == {port.id: 0 for port in ports}
    cloud34.do("spoil", server=servers[3], port=ports[3].id, type="ovs")
    for server in servers:
        cloud34.do("delete", server=server)
    assert left(host34) == before


@pytest.mark.parametrize("kind", ["unbound", "binding_failed"])
def test_a_port_that_is_not_bound(kind: str, cloud34: Cloud, host34: Host) -> None:
    before, port = left(host34), Port("ovs")
    server = cloud34.do("boot", ports=[port.data()])["id"]
    cloud34.do("spoil", server=server, port=port.id, type=kind)
    assert cloud34.do("get_config", server=server)[port.id].startswith("InternalError: ")
    said = cloud34.do("plug", server=server)[port.id]
    assert said.startswith("VirtualInterfacePlugException: ") and kind in said
    assert cloud34.do("unplug", server=server)[port.id].startswith("InternalError: ")
    assert port.tap not in left(host34)[0], "what bore its mark is gone all the same"
    cloud34.do("delete", server=server)
    assert left(host34) == before


def test_a_port_of_a_stopped_server_is_detached(cloud34: Cloud, host34: Host) -> None:
    before, ports = left(host34), [Port("ovs"), hybrid()]
    server = cloud34.do("boot", ports=[port.data() for port in ports])
    assert cloud34.do("stop", server=server["id"])["status"] == "SHUTOFF"
    for port in ports:
        assert port.mac in host34.libvirt.virsh("dumpxml", server["name"])
        cloud34.do("detach", server=server["id"], port=port.id)
        assert port.mac not in host34.libvirt.virsh("dumpxml", server["name"])
    cloud34.do("delete", server=server["id"])
    assert left(host34) == before


def test_a_hard_reboot_plugs_anew(cloud34: Cloud, host34: Host) -> None:
    before, port = left(host34), Port("ovs")
    server = cloud34.do("boot", ports=[port.data()])["id"]
    with Capture(host34.far, "far") as far:
        assert cloud34.do("reboot", server=server)["status"] == "ACTIVE"
        far.wait_for(dhcp_discover_from(port.mac), DISCOVERED)
    cloud34.do("delete", server=server)
    assert left(host34) == before


def test_the_xml_for_another_host_knows_nothing_of_this_one(cloud34: Cloud, host34: Host) -> None:
    """A hybrid guest whose port is bound as a plain one on the host that it goes to, and back."""
    before, ports = left(host34), [hybrid(), Port("ovs")]
    there = [Port("ovs").data(), hybrid().data()]
    for port, bound, kind in zip(ports, there, ("ethernet", "bridge"), strict=True):
        server = cloud34.do("boot", ports=[port.data()], ipxe=port.ipxe)
        details = bound["binding:vif_details"]
        found = cloud34.do("migration_xml", server=server["id"], vif_type="ovs", details=details)
        (interface,) = etree.fromstring(found["xml"]).iterfind("devices/interface")
        assert interface.get("type") == kind
        assert interface.find("mac").get("address") == port.mac
        assert interface.find("address") is not None, "the guest's own place stays"
        if kind == "ethernet":
            assert interface.find("target").get("managed") == "no"
        else:
            assert interface.find("source").get("bridge") == f"qbr{port.id[:11]}"
        host34.libvirt.define(etree.tostring(interface, encoding="unicode"))
        cloud34.do("delete", server=server["id"])
    assert left(host34) == before


@pytest.mark.parametrize("port", [Port("ovs"), hybrid()], ids=["ovs", "hybrid"])
def test_guests_of_os_vif_are_taken_over_and_given_back(
    port: Port, cloud34: Cloud, host34: Host
) -> None:
    before, other = left(host34), Port(port.vif_type, port.details)
    stock, ours = "libvirt.LibvirtDriver", "vifplug.LibvirtDriver"
    assert cloud34.do("restart", compute_driver=stock) == {"driver": "nova.virt.libvirt.driver"}
    theirs = cloud34.do("boot", ports=[port.data()], ipxe=port.ipxe)["id"]
    with pinging(host34.far, "far", [port]) as pings:
        cloud34.do("restart", compute_driver=ours)
    assert pings[port.id].sent > 10 and pings[port.id].lost == 0
    mine = cloud34.do("boot", ports=[other.data()], ipxe=other.ipxe)["id"]
    cloud34.do("delete", server=theirs)
    with pinging(host34.far, "far", [other]) as pings:
        cloud34.do("restart", compute_driver=stock)
    assert pings[other.id].sent > 10 and pings[other.id].lost == 0
    cloud34.do("delete", server=mine)
    cloud34.do("restart", compute_driver=ours)
    assert left(host34) == before
