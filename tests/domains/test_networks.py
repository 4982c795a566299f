# SPDX-License-Identifier: Apache-2.0
"""NICs of type network, with a real libvirtd: each port becomes a VIF, hot and cold."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.domains.conftest import HOOKS, MAC, Host, vif, wait_for
from tests.domains.test_attach import MACHINE, PORTS
from tests.domains.test_hook import python_gone
from vifplug.sources.domain import parse
from vifplug.testing import Guest, LibvirtRefused

LAN = '{"vif_type": "bridge", "network": {"should_create_bridge": true}}'
NIC = f"""
    <interface type='network'>
      <mac address='{MAC}'/>
      <source network='lan'/>
      <model type='e1000'/>
    </interface>"""
SECOND = "fa:16:3e:44:55:66"
OPEN = "<dns enable='no'/><ip address='192.0.2.1' netmask='255.255.255.0'/>"
SCRIPT = f"/{HOOKS}/network.d/50-vifplug"


def nics(guest: Guest) -> dict[str, dict[str, str]]:
    """Return the port and the tap of each NIC that a guest has, by its address."""
    return {
        node.value("mac", "address") or "": {
            "port": node.value("source", "portid") or "",
            "tap": node.value("target", "dev") or "",
        }
        for node in parse(guest.domain_xml()).interfaces()
    }


def listed(host: Host) -> dict[str, dict[str, Any]]:
    """Return the VIFs that this host has, by their addresses, as list prints them."""
    words = ("list", "-f", "json")
    return {each["address"]: each for each in json.loads(host.vifplug(*words).stdout)}


def test_a_network_plugs_its_ports_hot_and_cold(host: Host) -> None:
    host.install()
    host.network(LAN)
    guest = host.guest("web1", devices=NIC)
    host.libvirt.virsh("start", "web1")
    (cold,) = nics(guest).values()
    assert host.devices()[cold["tap"]]["master"] == "br100"
    assert listed(host)[MAC]["id"] == cold["port"]

    host.libvirt.virsh("attach-interface", "web1", "network", "lan", "--mac", SECOND)
    hot = nics(guest)[SECOND]
    assert host.devices()[hot["tap"]]["master"] == "br100"
    found = listed(host)
    assert {each["id"] for each in found.values()} == {cold["port"], hot["port"]}
    assert {each["guest"] for each in found.values()} == {"web1"}
    assert {each["state"] for each in found.values()} == {"up"}
    host.vifplug("check", "--all")
    assert "nothing to remove" in host.vifplug("gc", "--libvirt", "--dry-run").stdout

    # A restart tells of both ports again, and changes nothing.
    host.restart()
    assert nics(guest) == {MAC: cold, SECOND: hot}
    assert listed(host).keys() == {MAC, SECOND}

    host.libvirt.virsh("destroy", "web1")
    assert host.devices() == {}
    assert listed(host) == {}


def test_a_nic_that_the_guest_lets_go_of_is_unplugged(host: Host) -> None:
    host.install()
    host.network(LAN)
    host.network(LAN, name="other", bridge="br200")
    root = "<controller type='pci' model='pcie-root'/>"
    guest = host.libvirt.define_guest(root + PORTS + NIC, name="web1", machine=MACHINE)
    host.libvirt.virsh("start", "web1")
    host.libvirt.virsh("attach-interface", "web1", "network", "other", "--mac", SECOND,
                       "--model", "virtio")  # fmt: skip
    assert "br200" in host.devices()
    host.libvirt.virsh("detach-interface", "web1", "bridge", "--mac", SECOND)
    host.until(lambda: SECOND not in nics(guest) and "br200" not in host.devices())
    assert "br100" in host.devices()


def test_a_nic_may_be_refused_and_nothing_is_left(host: Host) -> None:
    host.install()
    host.network(LAN)
    host.network('{"vif_type": "bridge"}', name="absent", bridge="br7")
    second = NIC.replace("'lan'", "'absent'").replace(MAC, SECOND)
    host.guest("web1", devices=NIC + second)
    with pytest.raises(LibvirtRefused) as refused:
        host.libvirt.virsh("start", "web1")
    (line,) = [line for line in str(refused.value).splitlines() if "VIF " in line]
    assert "web1 on network absent: VIF " in line
    assert "bridge br7 is not there" in line
    assert host.devices() == {}, "the first NIC's is gone again"

    guest = host.guest("web2", devices=NIC)
    host.libvirt.virsh("start", "web2")
    with pytest.raises(LibvirtRefused, match=r"web2 on network absent: VIF .* br7 is not there"):
        host.libvirt.virsh("attach-interface", "web2", "network", "absent", "--mac", SECOND)
    assert nics(guest).keys() == {MAC}


BAD = {
    "json": ("no JSON", {}, "the network's metadata is 'no JSON'"),
    "version": (LAN, {"version": "2"}, "version of the network's metadata is '2'; allowed: 1"),
    "tap": ('{"vif_type": "tap"}', {}, "network.bridge is 'br100'; allowed: none: vif_type tap"),
    "mode": (LAN, {"mode": "open", "more": OPEN}, "forward mode of the network is 'open'"),
}


def test_a_network_with_bad_metadata_gets_no_port(host: Host) -> None:
    host.install()
    host.guest("web1", devices=NIC)
    host.libvirt.run("mkdir", "-p", "/var/lib/libvirt/dnsmasq")
    for name, (template, words, said) in BAD.items():
        host.network(template, **words)
        with pytest.raises(LibvirtRefused) as refused:
            host.libvirt.virsh("start", "web1")
            pytest.fail(name)
        _, _, text = str(refused.value).partition("exit status 1: ")
        assert said in text, (name, str(refused.value))
        assert text.startswith("error: web1 on network lan: "), text
        assert len(text.splitlines()) == 1, text
        host.libvirt.virsh("net-destroy", "lan")
        host.libvirt.virsh("net-undefine", "lan")
    assert "br100" not in host.devices()


def test_a_required_firewall_is_not_left_out_in_silence(host: Host) -> None:
    host.install()
    host.configure("vifplug", firewall_driver="nwfilter")
    host.network(LAN)
    host.guest("web1", devices=NIC)
    with pytest.raises(LibvirtRefused, match="a firewall is required on this host"):
        host.libvirt.virsh("start", "web1")
    host.libvirt.virsh("net-destroy", "lan")
    host.libvirt.virsh("net-undefine", "lan")
    host.network(LAN.replace("{", '{"filtered": true, ', 1))
    host.libvirt.virsh("start", "web1")
    assert "br100" in host.devices()


def test_a_network_without_our_metadata_never_meets_vifplug(host: Host, tmp_path: Path) -> None:
    host.install()
    python_gone(host, tmp_path)
    host.net.ip("link", "add", "br100", "type", "bridge")
    text = "<network><name>lan</name><forward mode='bridge'/><bridge name='br100'/></network>"
    host.libvirt.virsh("net-define", "/dev/stdin", input=text)
    host.libvirt.virsh("net-start", "lan")
    host.guest("web1", devices=NIC)
    host.libvirt.virsh("start", "web1")


def test_no_network_hook_kills_a_guest(host: Host, journal: socket.socket, tmp_path: Path) -> None:
    host.install()
    host.network(LAN)
    guest = host.guest("web1", devices=NIC)
    host.libvirt.virsh("start", "web1")
    pid = guest.pid
    python_gone(host, tmp_path)
    host.restart()
    assert host.libvirt.virsh("domstate", "web1").strip() == "running"
    assert guest.pid == pid
    host.libvirt.virsh("destroy", "web1")
    assert "can't be run" in wait_for(journal, "port-deleted of lan: vifplug: ")
    with pytest.raises(LibvirtRefused) as refused:
        host.libvirt.virsh("start", "web1")
    assert "can't be run: " in str(refused.value)
    # What it left has the id of a port that is no more.
    host.vifplug("libvirt-hook", "--install")
    (left,) = json.loads(host.vifplug("list", "-f", "json").stdout)
    host.vifplug("unplug", "--id", left["id"])
    assert host.devices() == {}


def test_operations_that_are_not_ours(host: Host, journal: socket.socket) -> None:
    host.install()
    for operation in ("start", "started", "stopped", "updated", "port-updated", "dance"):
        done = host.hook(SCRIPT, "lan", operation, "begin", "-", input="<hookData/>")
        assert done.stdout == ""
    assert "dance of lan" in wait_for(journal, "unknown operation")
    text = "<hookData>urn:vifplug:network:1"
    host.hook(SCRIPT, "lan", "port-deleted", "begin", "-", input=text)
    assert "port-deleted of lan: hookData is broken" in wait_for(journal, "broken")
    done = host.hook(SCRIPT, "lan", "port-created", "begin", "-", input=text, status=1)
    assert "hookData is broken" in done.stderr


def test_by_hand_on_a_terminal_it_says_why_not(host: Host) -> None:
    host.install()
    words = f"{SCRIPT} lan port-created begin -"
    done = host.libvirt.run("script", "-qec", words, "/dev/null", check=False)
    assert done.returncode == 2
    assert "XML on standard input: a network and its port" in done.stdout


def test_a_network_and_metadata_of_its_own_in_one_guest(host: Host) -> None:
    host.install()
    host.network(LAN)
    guest = host.guest("web1", vif(address=SECOND), devices=NIC)
    host.libvirt.virsh("start", "web1")
    taps = {each["tap"] for each in nics(guest).values()}
    assert {host.devices()[tap]["master"] for tap in taps} == {"br100"}
    host.libvirt.virsh("destroy", "web1")
    assert host.devices() == {}
