# SPDX-License-Identifier: Apache-2.0
"""A guest that boots Linux goes through all that an operator and bad luck do to it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.journeys.hosts import KINDS, ROUNDS, Hypervisor, Vifs, answers, soon, wired
from tests.linux import BOOTS_WITHIN, Linux
from vifplug.testing import Guest, Libvirt, NetworkNamespace, OpenVSwitch

SAVED = "/var/lib/libvirt/web1.save"
ALONE = [(kind,) for kind in KINDS] if ROUNDS > 1 else []


class Site:
    """A host, a machine far from it on the same networks, and a guest's VIFs.

    The guest starts with the first, and gets the others while it runs.
    """

    def __init__(self, far: NetworkNamespace, host: Hypervisor, kinds: Sequence[str]) -> None:
        self.far, self.host = far, host
        self.first, self.later = Vifs(kinds, "0b6a9d0", 1), Vifs(kinds, "8c1f22a", 5)

    def wire(self) -> None:
        """Lay the host's wires; the far end has an address in each of the guest's networks."""
        wired(self.host.net, self.far)
        for vifs in (self.first, self.later):
            for kind, number in vifs.numbers.items():
                name = "eth1" if kind == "bridge" else "eth2"
                self.far.ip("addr", "add", f"10.7.{number}.1/24", "dev", name)


@pytest.fixture(scope="module")
def linux(tmp_path_factory: pytest.TempPathFactory) -> Linux:
    return Linux.made(tmp_path_factory.mktemp("linux"), Path(__file__).with_name("guest.sh"))


@pytest.fixture(params=[tuple(KINDS), *ALONE], ids="-".join)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    with (
        NetworkNamespace(name="far") as far,
        NetworkNamespace(name="host") as net,
        OpenVSwitch(net) as ovs,
        Libvirt(net, environment=ovs.environment) as libvirt,
    ):
        host = Hypervisor(net, libvirt, tmp_path, ovs)
        found = Site(far, host, request.param)
        found.wire()
        ovs.add_bridge("br-int")
        ovs.vsctl("add-port", "br-int", "eth2")
        host.install()
        yield found


def test_a_guests_journey(site: Site, linux: Linux) -> None:
    host, far, first, later = site.host, site.far, site.first, site.later
    unplugged = host.state()
    web1, more = host.file(*first.data, name="web1.json"), host.file(*later.data, name="more.json")

    host.libvirt.virsh("define", "--validate", "/dev/stdin", input=linux.domain("web1"))
    host.shell("vifplug", "define", "web1", web1)
    host.shell("virsh", "start", "web1")
    assert first.on(host) == first.joined
    answers(far, *first.addresses, within=BOOTS_WITHIN)
    guest = Guest(host.libvirt, "web1")
    pid = guest.pid
    plugged = host.state()

    host.shell("vifplug", "attach", "web1", more)
    assert later.on(host) == later.joined
    answers(far, *first.addresses, *later.addresses)
    host.shell("vifplug", "list")
    host.shell("vifplug", "check", "--all")

    # The guest's kernel lets go: nothing else ends the wait with success.
    host.shell("vifplug", "detach", "web1", *(vif_id[:8] for vif_id in later.ids.values()))
    assert host.state() == plugged
    assert guest.pid == pid
    answers(far, *first.addresses)

    host.shell("virsh", "save", "web1", SAVED)
    assert host.state() == unplugged
    host.shell("vifplug", "list")
    host.shell("virsh", "restore", SAVED)
    assert first.on(host) == first.joined
    answers(far, *first.addresses)
    pid = guest.pid

    first.cut_off(host)
    assert set(first.on(host).values()) == {None}
    host.libvirt.restart()
    soon(lambda: first.on(host) == first.joined)
    assert guest.pid == pid
    answers(far, *first.addresses)

    os.kill(pid, signal.SIGKILL)
    soon(lambda: "crashed" in host.libvirt.virsh("domstate", "--reason", "web1"))
    soon(lambda: host.state() == unplugged)
    host.shell("virsh", "domstate", "--reason", "web1")

    host.shell("virsh", "autostart", "web1")
    host.shell("virsh", "start", "web1")
    ports, pid = first.ports(host), guest.pid
    with host.rebooted(site.wire):
        # A boot finds the rows of before where no service deletes transient ports.
        assert first.ports(host) == ports
        assert set(first.on(host).values()) == {None}
        assert not Path(f"/proc/{pid}").exists()
    soon(lambda: "running" in host.libvirt.virsh("domstate", "web1"))
    assert first.on(host) == first.joined
    answers(far, *first.addresses, within=BOOTS_WITHIN)
    host.shell("vifplug", "list")

    host.shell("virsh", "destroy", "web1")
    assert host.state() == unplugged
    host.shell("vifplug", "attach", "web1", more)
    host.shell("virsh", "undefine", "web1")
    host.shell("vifplug", "list", "--orphaned")
    host.shell("vifplug", "gc", "--libvirt", "--all")
    assert host.state() == unplugged
