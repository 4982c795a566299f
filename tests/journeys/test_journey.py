# SPDX-License-Identifier: Apache-2.0
"""A guest that boots Linux goes through all that an operator and bad luck do to it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.hosts import ROUNDS, Hypervisor, answers, soon, wired
from tests.linux import BOOTS_WITHIN, Linux
from vifplug.testing import Guest, Libvirt, NetworkNamespace, OpenVSwitch

Numbered = Mapping[str, tuple[int, str]]

NETWORKS: dict[str, dict[str, Any]] = {
    "bridge": {"bridge": "br100", "interface": "eth1", "should_create_bridge": True},
    "ovs": {"bridge": "br-int"},
}
WIRES = {"bridge": "eth1", "ovs": "eth2"}
FIRST = {
    "bridge": (1, "0b6a9d0e-7a3c-4a6e-9d55-3f1f0a3c2b11"),
    "ovs": (2, "1c7bae1f-8b4d-4b7f-8e66-4a2a1b4d3c22"),
}
"""The VIFs that a guest starts with: the number of its network, and its id."""

LATER = {
    "bridge": (3, "8c1f22aa-0197-4f0e-9a52-1d1f0a3c2b11"),
    "ovs": (4, "9d2a33bb-1208-4a1f-8b63-2e2a1b4d3c22"),
}
"""The VIFs that it gets while it runs."""

SAVED = "/var/lib/libvirt/web1.save"
ALONE = [("bridge",), ("ovs",)] if ROUNDS > 1 else []


class Some:
    """Some VIFs of a guest, one of each kind."""

    def __init__(self, host: Hypervisor, kinds: Sequence[str], numbered: Numbered) -> None:
        self._host = host
        self._taps = {kind: f"tap{numbered[kind][1][:11]}" for kind in kinds}
        self.ids = [numbered[kind][1] for kind in kinds]
        self.addresses = [f"10.7.{numbered[kind][0]}.53" for kind in kinds]
        self.vifs = [
            {"id": vif_id, "vif_type": kind, "address": f"fa:16:3e:11:22:0{number}",
             "network": NETWORKS[kind]}
            for kind in kinds
            for number, vif_id in [numbered[kind]]
        ]  # fmt: skip

    def cut_off(self) -> None:
        """Take the taps off their switches, as another program may."""
        for kind, tap in self._taps.items():
            if kind == "ovs":
                self._host.ovs.vsctl("del-port", "br-int", tap)
            else:
                self._host.net.ip("link", "set", tap, "nomaster")

    def rows(self) -> set[str]:
        """Return which of the taps are ports in the database."""
        return {*self._host.ovs.vsctl("list-ports", "br-int").split()} & {*self._taps.values()}

    def joined(self) -> bool:
        """Whether each tap is where its VIF asks for it, and nowhere else."""
        devices, rows = self._host.devices(), self.rows()
        masters = {"bridge": "br100", "ovs": None}
        return all(
            tap in devices
            and devices[tap].get("master") == masters[kind]
            and (tap in rows) == (kind == "ovs")
            for kind, tap in self._taps.items()
        )


class Site:
    """A host, a machine far from it on the same networks, and a guest's VIFs."""

    def __init__(self, far: NetworkNamespace, host: Hypervisor, kinds: Sequence[str]) -> None:
        self.far, self.host = far, host
        self.first, self.later = Some(host, kinds, FIRST), Some(host, kinds, LATER)

    def wire(self) -> None:
        """Lay the host's wires; the far end has an address in each of the guest's networks."""
        wired(self.host.net, self.far)
        for numbered in (FIRST, LATER):
            for kind, (number, _) in numbered.items():
                self.far.ip("addr", "add", f"10.7.{number}.1/24", "dev", WIRES[kind])


@pytest.fixture(scope="module")
def linux(tmp_path_factory: pytest.TempPathFactory) -> Linux:
    return Linux.made(tmp_path_factory.mktemp("linux"), Path(__file__).with_name("guest.sh"))


@pytest.fixture(params=[("bridge", "ovs"), *ALONE], ids="-".join)
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
    host, far, first, later = site.host, site.far, site.first, site.later
    unplugged = host.state()
    web1, more = host.file(*first.vifs, name="web1.json"), host.file(*later.vifs, name="more.json")

    host.libvirt.virsh("define", "--validate", "/dev/stdin", input=linux.domain("web1"))
    host.shell("vifplug", "define", "web1", web1)
    host.shell("virsh", "start", "web1")
    assert first.joined()
    answers(far, *first.addresses, within=BOOTS_WITHIN)
    guest = Guest(host.libvirt, "web1")
    pid = guest.pid
    plugged = host.state()

    host.shell("vifplug", "attach", "web1", more)
    assert later.joined()
    answers(far, *first.addresses, *later.addresses)
    host.shell("vifplug", "list")
    host.shell("vifplug", "check", "--all")

    # The guest's kernel lets go: nothing else ends the wait with success.
    host.shell("vifplug", "detach", "web1", *(vif_id[:4] for vif_id in later.ids))
    assert host.state() == plugged
    assert guest.pid == pid
    answers(far, *first.addresses)

    host.shell("virsh", "save", "web1", SAVED)
    assert host.state() == unplugged
    host.shell("vifplug", "list")
    host.shell("virsh", "restore", SAVED)
    assert first.joined()
    answers(far, *first.addresses)
    pid = guest.pid

    first.cut_off()
    assert not first.joined()
    host.libvirt.restart()
    soon(first.joined)
    assert guest.pid == pid
    answers(far, *first.addresses)

    os.kill(pid, signal.SIGKILL)
    soon(lambda: "crashed" in host.libvirt.virsh("domstate", "--reason", "web1"))
    soon(lambda: host.state() == unplugged)
    host.shell("virsh", "domstate", "--reason", "web1")

    host.shell("virsh", "autostart", "web1")
    host.shell("virsh", "start", "web1")
    rows, pid = first.rows(), guest.pid
    with host.rebooted(site.wire):
        # A boot finds the rows of before where no service deletes transient ports.
        assert first.rows() == rows
        assert not first.joined()
        assert not Path(f"/proc/{pid}").exists()
    soon(lambda: "running" in host.libvirt.virsh("domstate", "web1"))
    assert first.joined()
    answers(far, *first.addresses, within=BOOTS_WITHIN)
    host.shell("vifplug", "list")

    host.shell("virsh", "destroy", "web1")
    assert host.state() == unplugged
    host.shell("vifplug", "attach", "web1", more)
    host.shell("virsh", "undefine", "web1")
    host.shell("vifplug", "list", "--orphaned")
    host.shell("vifplug", "gc", "--libvirt", "--all")
    assert host.state() == unplugged
