# SPDX-License-Identifier: Apache-2.0
"""A hypervisor with an Open vSwitch, an operator at its shell, and the network around it."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.domains.conftest import Host
from vifplug.testing import Libvirt, NetworkNamespace, OpenVSwitch, veth
from vifplug.testing.claims import every_claim, without_tokens
from vifplug.testing.openvswitch import SERVER, SWITCH
from vifplug.testing.shell import COMMAND

ENOUGH = 90.0
"""Seconds within which a busy machine surely has done anything but boot a guest."""

ROUNDS = int(os.environ.get("VIFPLUG_ROUNDS", "1"))
"""How often a guest moves and comes back."""

KINDS: dict[str, dict[str, Any]] = {
    "bridge": {
        "vif_type": "bridge",
        "network": {"bridge": "br100", "interface": "eth1", "should_create_bridge": True},
    },
    "manual": {
        "vif_type": "ovs",
        "network": {"bridge": "br-int"},
        "details": {"ovs_create_tap": True},
    },
    "automatic": {"vif_type": "ovs", "network": {"bridge": "br-int"}},
    "hybrid": {
        "vif_type": "ovs",
        "network": {"bridge": "br-int"},
        "details": {"ovs_hybrid_plug": True},
    },
}
"""What a VIF of each kind has, but for its id and its address."""

# A device that is made again has others.
_OF_THE_DEVICE = ("ifindex", "link_index", "link_netnsid", "address", "permaddr")


class Hypervisor(Host):
    """A host whose eth1 is the uplink of a bridge, and whose eth2 is a port of br-int."""

    def __init__(
        self, net: NetworkNamespace, libvirt: Libvirt, folder: Path, ovs: OpenVSwitch
    ) -> None:
        super().__init__(net, libvirt, folder)
        self.ovs = ovs
        self.configure("vifplug_ovs", ovsdb_connection=ovs.endpoint, datapath_type="netdev")
        self.configure("vifplug", timeout=60)

    def shell(self, *words: str) -> str:
        """Run a command as the operator, print both, and return what it printed."""
        command = words
        if words[0] == "vifplug":
            command = (COMMAND, "--config-file", str(self.config), *words[1:])
        done = self.libvirt.run(*command, check=False, timeout=300)
        said = done.stdout + done.stderr
        print(f"# {' '.join(words)}\n{said.strip()}".replace(f"{self.folder}/", ""))
        assert done.returncode == 0, said
        return said

    def state(self) -> dict[str, Any]:
        """Return all that is set in the kernel and in Open vSwitch, and all claims."""
        dump = without_tokens(self.net.everything())
        links = {
            name: {key: value for key, value in link.items() if key not in _OF_THE_DEVICE}
            for name, link in dump["links"].items()
        }
        with self.net.entered():
            claims = every_claim(self.libvirt.root / "run/vifplug")
        return {**dump, "links": links, "claims": claims, "ovs": self.ovs.everything()}

    @contextlib.contextmanager
    def rebooted(self, wire: Callable[[], None]) -> Iterator[None]:
        """Have the host without guests, devices and /run for a block, as a boot finds it.

        ``wire`` lays the host's wires again. libvirtd starts at the end of the block.
        """
        with self.libvirt.powered_off():
            for name in (SWITCH, SERVER):
                self.ovs.kill(name)
            for name in self.devices():
                self.net.run("ip", "link", "del", name, check=False)
            wire()
            for name in (SERVER, SWITCH):
                self.ovs.start(name)
            yield


class Vifs:
    """A guest's VIFs, one of each kind. Their numbers are those of their networks."""

    def __init__(self, kinds: Iterable[str], start: str, first: int) -> None:
        """``start`` is that of the ids, all but a digit; ``first`` is the first number."""
        self.numbers = {kind: first + place for place, kind in enumerate(kinds)}
        self.ids = {
            kind: f"{start}{number}-7a3c-4a6e-9d55-3f1f0a3c2b11"
            for kind, number in self.numbers.items()
        }
        self.taps = {kind: f"tap{vif_id[:11]}" for kind, vif_id in self.ids.items()}
        self.addresses = [f"10.7.{number}.53" for number in self.numbers.values()]
        self.data = [
            {"id": self.ids[kind], "address": f"fa:16:3e:11:22:0{number}", **KINDS[kind]}
            for kind, number in self.numbers.items()
        ]
        switches = {"bridge": "br100", "hybrid": "qbr"}
        self.joined = {kind: switches.get(kind, "br-int") for kind in self.numbers}

    def on(self, host: Hypervisor) -> dict[str, str | None]:
        """Return the switch that each tap is on: its bridge's name, or qbr for a bridge of its own.

        A tap that has the row of a port, and is no device, is on none.
        """
        devices, ports = host.devices(), self.ports(host)
        found = {}
        for kind, tap in self.taps.items():
            master = devices.get(tap, {}).get("master")
            own = f"qbr{self.ids[kind][:11]}"
            if master == own and f"qvo{own[3:]}" in ports and f"qvb{own[3:]}" in devices:
                master = "qbr"
            found[kind] = "br-int" if tap in ports and tap in devices and not master else master
        return found

    def ports(self, host: Hypervisor) -> set[str]:
        """Return the ports that the rows of br-int name, but for the uplink."""
        return {*host.ovs.vsctl("list-ports", "br-int").split()} - {"eth2"}

    def cut_off(self, host: Hypervisor) -> None:
        """Take each tap off its switch, as another program may."""
        for kind, tap in self.taps.items():
            if self.joined[kind] == "br-int":
                host.ovs.vsctl("del-port", "br-int", tap)
            else:
                host.net.ip("link", "set", tap, "nomaster")


def wired(host: NetworkNamespace, far: NetworkNamespace, *, suffix: str = "") -> None:
    """Lay the wires of a host's eth1 and eth2."""
    for name in ("eth1", "eth2"):
        veth(host, name, far, f"{name}{suffix}")


def soon(true: Callable[[], object], within: float = ENOUGH) -> None:
    """Wait until something is true."""
    end = time.monotonic() + within
    while not true():
        assert time.monotonic() < end, true
        time.sleep(0.1)


def answers(far: NetworkNamespace, *addresses: str, within: float = ENOUGH) -> None:
    """Wait until each address answers a ping."""
    for address in addresses:
        soon(functools.partial(_answers, far, address), within)


def _answers(far: NetworkNamespace, address: str) -> bool:
    done = far.run("ping", "-n", "-c", "1", "-W", "1", address, check=False)
    return done.returncode == 0


@contextlib.contextmanager
def counted(far: NetworkNamespace, addresses: Sequence[str]) -> Iterator[dict[str, str]]:
    """Ping addresses five times a second; after the block, the pings sent and lost by address."""
    found: dict[str, str] = {}
    with far.entered():
        pings = {
            address: subprocess.Popen(("ping", "-n", "-i", "0.2", "-q", address),
                                      stdout=subprocess.PIPE, text=True)
            for address in addresses
        }  # fmt: skip
    try:
        yield found
    finally:
        for address, ping in pings.items():
            ping.send_signal(signal.SIGINT)
            said, _ = ping.communicate(timeout=30)
            sent, received = (int(said.split(word)[0].split()[-1])
                              for word in (" packets transmitted", " received"))  # fmt: skip
            found[address] = f"{sent - received} of {sent} pings lost"
