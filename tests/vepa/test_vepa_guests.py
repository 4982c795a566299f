# SPDX-License-Identifier: Apache-2.0
"""QEMU guests on macvtaps, in the four modes, with real traffic; and what VEPA is by the frame."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guests import DISCOVERED
from tests.planning import VEPA
from tests.vepa.vifs import claims, direct_vif, macvtap
from vifplug import Conflict, GenericVIFDriver
from vifplug.testing import (
    Capture,
    IndexRange,
    Libvirt,
    LibvirtRefused,
    NetworkNamespace,
    dhcp_discover_from,
    veth,
)
from vifplug.testing.cases import Case, distinct_interfaces
from vifplug.testing.configured import configured, emptied
from vifplug_vepa.macvtap import MacvtapPlugin

MODES = ("vepa", "private", "bridge", "passthrough")


class Hypervisor:
    """A host with a libvirtd and a wire to the far side."""

    def __init__(self, host: NetworkNamespace, far: NetworkNamespace, libvirt: Libvirt) -> None:
        self.host, self.far, self.libvirt = host, far, libvirt

    def address(self) -> str:
        return str(self.host.ip_json("link", "show", "eth1")[0]["address"])

    def macvtaps(self) -> dict[str, str]:
        found = self.host.ip_json("-d", "link", "show", "type", "macvtap")
        return {one["ifname"]: one["linkinfo"]["info_data"]["mode"] for one in found}


@pytest.fixture(scope="module")
def hypervisor(indexes: IndexRange) -> Iterator[Hypervisor]:
    with (
        NetworkNamespace(enter=True, ifindex_from=indexes.first) as host,
        NetworkNamespace() as far,
    ):
        veth(host, "eth1", far, "far")
        with Libvirt(host) as libvirt:
            yield Hypervisor(host, far, libvirt)


@pytest.fixture
def driver(hypervisor: Hypervisor, tmp_path: Path) -> Iterator[GenericVIFDriver]:
    with configured(tmp_path, MacvtapPlugin) as config:
        config.config(group="vifplug", libvirt_uri=hypervisor.libvirt.uri)
        with emptied(MacvtapPlugin) as found:
            yield found


@pytest.mark.parametrize("mode", MODES)
def test_a_guest_asks_for_an_address_through_its_macvtap(
    mode: str, hypervisor: Hypervisor, driver: GenericVIFDriver
) -> None:
    hypervisor.host.ip("link", "set", "eth1", "down")
    asked = {"devname": "vsi0"} if mode == "private" else {}
    vif = direct_vif(details={"macvtap_mode": mode}, **asked)
    address = hypervisor.address()
    driver.plug(None, vif)
    with Capture(hypervisor.far, "far") as wire:
        guest = hypervisor.libvirt.start_guest(driver.get_config(None, vif).to_xml())
        frame = wire.wait_for(dhcp_discover_from(vif.address), DISCOVERED)
        assert frame[6:12].hex(":") == vif.address
    kernels = {"passthrough": "passthru"}.get(mode, mode)
    ((name, found),) = hypervisor.macvtaps().items()
    assert (found, name) == (kernels, vif.devname or name)
    assert not driver.check(None, vif)
    assert not driver.plug(None, vif).changed, "a live guest is left alone"
    (one,) = driver.list()
    assert (one.in_use, one.devices) == (True, (name,))
    guest.destroy()
    assert hypervisor.macvtaps() == {}
    assert not driver.check(None, vif)
    driver.unplug(None, vif)
    assert claims(hypervisor.host) in ([], ["vifplug:shared::woken:eth1"])
    assert hypervisor.address() == address, "passthrough gave the device its own back"


def test_a_second_passthrough_guest_is_refused_and_the_device_keeps_its_own_address(
    hypervisor: Hypervisor, driver: GenericVIFDriver
) -> None:
    # Without us libvirt tries, fails, and forgets the address that it had saved.
    details = {"macvtap_mode": "passthrough"}
    one, two = direct_vif(details=details), direct_vif(number=1, details=details)
    address = hypervisor.address()
    driver.plug(None, one)
    guest = hypervisor.libvirt.start_guest(driver.get_config(None, one).to_xml())
    assert hypervisor.address() == one.address
    for mode in MODES:
        late = direct_vif(number=1, details={"macvtap_mode": mode})
        with pytest.raises(Conflict, match=r"eth1 .*passthrough"):
            driver.plug(None, late)
    guest.destroy()
    assert hypervisor.address() == address
    driver.unplug(None, one)
    driver.plug(None, two)


def test_what_a_killed_guest_leaves_would_stop_the_next_and_goes_at_the_plug(
    hypervisor: Hypervisor, driver: GenericVIFDriver
) -> None:
    vif = direct_vif()
    driver.plug(None, vif)
    xml = driver.get_config(None, vif).to_xml()
    macvtap(hypervisor.host, vif)  # as after a crash of QEMU, libvirtd and its state
    with pytest.raises(LibvirtRefused, match="Address already in use"):
        hypervisor.libvirt.start_guest(xml)
    hypervisor.host.run("sh", "-c", "ip link del macvtap0; true")
    macvtap(hypervisor.host, vif)
    assert driver.plug(None, vif).changed
    guest = hypervisor.libvirt.start_guest(xml)
    assert not driver.plug(None, vif).changed
    assert len(hypervisor.macvtaps()) == 1

    # A guest whose QEMU is killed: libvirtd cleans up by itself, or we do.
    os.kill(guest.pid, signal.SIGKILL)
    until = time.monotonic() + 10
    while "guest" in hypervisor.libvirt.virsh("list", "--name") and time.monotonic() < until:
        time.sleep(0.05)
    driver.unplug(None, vif)
    assert hypervisor.macvtaps() == {}


TRUTH = {
    # What a neighbour on the same device gets of 3 frames to it and of 3 to all, by the mode and
    # whether the switch sends them back. That private lets frames to it pass is the kernel's way.
    ("vepa", False): (0, 0),
    ("vepa", True): (3, 3),
    ("private", False): (0, 0),
    ("private", True): (3, 0),
    ("bridge", False): (3, 3),
    ("bridge", True): (3, 3),
}


@pytest.mark.parametrize(("mode", "relay"), TRUTH)
def test_reflective_relay_is_what_lets_neighbours_on_a_vepa_meet(mode: str, relay: bool) -> None:
    # macvlans stand for the macvtaps: the modes are the same code, and a namespace is their guest.
    with (
        NetworkNamespace() as host,
        NetworkNamespace() as switch,
        NetworkNamespace() as one,
        NetworkNamespace() as two,
    ):
        veth(host, "eth1", switch, "port")
        switch.ip("link", "add", "sw0", "type", "bridge", "forward_delay", "0")
        switch.ip("link", "set", "sw0", "up")
        switch.ip("link", "set", "port", "master", "sw0")
        switch.run("bridge", "link", "set", "dev", "port", "hairpin", "on" if relay else "off")
        for number, guest in enumerate((one, two), 1):
            address = f"fa:16:3e:00:00:0{number}"
            host.ip("link", "add", "link", "eth1", "name", "eth0", "netns", guest.path, "address",
                    address, "type", "macvlan", "mode", mode)  # fmt: skip
            guest.ip("link", "set", "eth0", "up")
        state = ""
        while state != "forwarding":  # the switch's port
            (port,) = json.loads(switch.run("bridge", "-j", "link", "show", "dev", "port").stdout)
            state = port["state"]
        targets = ("fa163e000002", "ffffffffffff")
        sent = [bytes.fromhex(to + "fa163e000001" + "88b5") + bytes(50) for to in targets]
        with Capture(two, "eth0") as heard, Capture(switch, "port") as wire:
            with one.entered(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as end:
                end.bind(("eth0", 0))
                for frame in sent * 3:
                    end.send(frame)
            assert wire.wait_for(lambda frame: frame == sent[1], 5)
            frames = heard.frames(0.5)
            assert tuple(frames.count(frame) for frame in sent) == TRUTH[mode, relay]


@pytest.mark.parametrize("case", distinct_interfaces(VEPA), ids=lambda case: case.name)
def test_libvirt_takes_every_interface_that_we_can_make(case: Case, hypervisor: Hypervisor) -> None:
    hypervisor.libvirt.define(case.wiring.interface.to_xml())
