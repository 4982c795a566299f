# SPDX-License-Identifier: Apache-2.0
"""A guest that boots Linux goes through all that an operator and bad luck do to it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.hosts import Hypervisor, answers, soon, wired
from tests.linux import BOOTS_WITHIN, Linux, console
from vifplug.testing import Guest, Libvirt, NetworkNamespace, OpenVSwitch

FIRST, SECOND = "0b6a9d0e-7a3c-4a6e-9d55-3f1f0a3c2b11", "8c1f22aa-0197-4f0e-9a52-1d1f0a3c2b11"
TAPS = {FIRST: "tap0b6a9d0e-7a", SECOND: "tap8c1f22aa-01"}
NETWORKS: dict[str, dict[str, Any]] = {
    "bridge": {"bridge": "br100", "interface": "eth1", "should_create_bridge": True},
    "ovs": {"bridge": "br-int"},
}
NUMBERS = {"bridge": (1, 2), "ovs": (3, 4)}
SAVED = "/var/lib/libvirt/web1.save"


class Site:
    """A host, and a machine far from it on the same networks."""

    def __init__(self, far: NetworkNamespace, host: Hypervisor, kind: str) -> None:
        self.far, self.host, self.kind = far, host, kind
        self.vifs = [
            {"id": vif_id, "vif_type": kind, "address": f"fa:16:3e:11:22:0{number}",
             "network": NETWORKS[kind]}
            for vif_id, number in zip(TAPS, NUMBERS[kind], strict=True)
        ]  # fmt: skip
        self.addresses = [f"10.7.{number}.53" for number in NUMBERS[kind]]

    def wire(self) -> None:
        """Lay the host's wires; the far end has an address in each of the guest's networks."""
        wired(self.host.net, self.far)
        for kind, name in (("bridge", "eth1"), ("ovs", "eth2")):
            for number in NUMBERS[kind]:
                self.far.ip("addr", "add", f"10.7.{number}.1/24", "dev", name)

    def part(self, vif_id: str) -> None:
        """Take a VIF's tap off its switch, as another program may."""
        if self.kind == "ovs":
            self.host.ovs.vsctl("del-port", "br-int", TAPS[vif_id])
        else:
            self.host.net.ip("link", "set", TAPS[vif_id], "nomaster")

    def joined(self, vif_id: str) -> bool:
        """Whether a VIF's tap is where the VIF asks for it, and nowhere else."""
        tap, devices = TAPS[vif_id], self.host.devices()
        is_port = tap in self.host.ovs.vsctl("list-ports", "br-int").split()
        if self.kind == "ovs":
            return is_port and tap in devices
        return devices.get(tap, {}).get("master") == "br100" and not is_port


@pytest.fixture(scope="module")
def linux(tmp_path_factory: pytest.TempPathFactory) -> Linux:
    return Linux.made(tmp_path_factory.mktemp("linux"), Path(__file__).with_name("guest.sh"))


@pytest.fixture(params=["bridge", "ovs"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    with (
        NetworkNamespace(name="far") as far,
        NetworkNamespace(name="host") as net,
        OpenVSwitch(net) as ovs,
        Libvirt(net, environment=ovs.environment) as libvirt,
    ):
        host = Hypervisor(net, libvirt, tmp_path, ovs)
        host.configure("vifplug_ovs", process="manual")
        found = Site(far, host, request.param)
        found.wire()
        ovs.add_bridge("br-int")
        ovs.vsctl("add-port", "br-int", "eth2")
        host.install()
        yield found


def test_a_guests_journey(site: Site, linux: Linux) -> None:
    host, far = site.host, site.far
    first, second = site.addresses
    unplugged = host.state()
    web1, eth1 = [host.file(vif, name=f"{vif['address'][-2:]}.json") for vif in site.vifs]

    host.libvirt.virsh("define", "--validate", "/dev/stdin", input=linux.domain("web1"))
    host.shell("vifplug", "define", "web1", web1)
    host.shell("virsh", "start", "web1")
    assert site.joined(FIRST)
    answers(far, first, within=BOOTS_WITHIN)
    guest = Guest(host.libvirt, "web1")
    pid = guest.pid
    plugged = host.state()

    host.shell("vifplug", "attach", "web1", eth1)
    assert site.joined(SECOND)
    answers(far, first, second)
    host.shell("vifplug", "list")
    host.shell("vifplug", "check", "--all")

    # The guest's kernel lets go: nothing else ends the wait with success.
    host.shell("vifplug", "detach", "web1", SECOND[:4])
    assert host.state() == plugged
    assert guest.pid == pid
    answers(far, first)

    host.shell("virsh", "save", "web1", SAVED)
    assert host.state() == unplugged
    host.shell("vifplug", "list")
    host.shell("virsh", "restore", SAVED)
    assert site.joined(FIRST)
    answers(far, first)
    host.shell("vifplug", "list")
    pid = guest.pid

    site.part(FIRST)
    assert not site.joined(FIRST)
    host.libvirt.restart()
    soon(lambda: site.joined(FIRST))
    assert guest.pid == pid
    answers(far, first)

    os.kill(pid, signal.SIGKILL)
    soon(lambda: "crashed" in host.libvirt.virsh("domstate", "--reason", "web1"))
    soon(lambda: host.state() == unplugged)
    host.shell("virsh", "domstate", "--reason", "web1")
    host.shell("vifplug", "list")

    host.shell("virsh", "autostart", "web1")
    host.shell("virsh", "start", "web1")
    pid = guest.pid
    with host.rebooted(site.wire):
        # Rows of before are what a boot finds, where nothing deletes transient ports.
        assert (TAPS[FIRST] in host.ovs.vsctl("list-ports", "br-int")) == (site.kind == "ovs")
        assert TAPS[FIRST] not in host.devices()
        (host.libvirt.root / str(console("web1")).lstrip("/")).unlink()
        assert not Path(f"/proc/{pid}").exists()
    soon(lambda: "running" in host.libvirt.virsh("domstate", "web1"))
    assert site.joined(FIRST)
    answers(far, first, within=BOOTS_WITHIN)
    host.shell("vifplug", "list")

    host.shell("virsh", "destroy", "web1")
    host.shell("vifplug", "attach", "web1", eth1)
    host.shell("virsh", "undefine", "web1")
    host.shell("vifplug", "list", "--orphaned")
    host.shell("vifplug", "gc", "--libvirt", "--all")
    assert host.state() == unplugged
