# SPDX-License-Identifier: Apache-2.0
"""An OVN of a test's own: its databases, northd, and hosts in namespaces with their controllers."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from vifplug.testing import Capture, NetworkNamespace, OpenVSwitch, TapEnd, veth

_SCHEMAS = Path("/usr/share/ovn")
_QUIET = ("-vconsole:warn", "-vsyslog:off", "--no-chdir")
_BOUND = ("setpriv", "--pdeathsig", "KILL", "--")
NB, SB = "nb", "sb"


class Daemons:
    """Processes that end with their fixture, or with the thread that started them."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self.folder = folder
        self._stack = stack

    def start(
        self, *argv: str, env: dict[str, str] | None = None, at: NetworkNamespace | None = None
    ) -> subprocess.Popen[bytes]:
        said = self._stack.enter_context((self.folder / f"{argv[0]}.said").open("ab"))
        with at.entered() if at else contextlib.nullcontext():
            process = subprocess.Popen(
                [*_BOUND, *argv],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                env={**os.environ, **(env or {})},
            )
        self._stack.callback(end, process)
        return process


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process, if it has not ended yet."""
    if process.poll() is None:
        process.kill()
    process.wait(timeout=10)


class Central:
    """The two databases and northd; a logical switch with ports."""

    def __init__(self, daemons: Daemons) -> None:
        self._folder = daemons.folder
        for name in (NB, SB):
            database = str(self._folder / f"{name}.db")
            schema = str(_SCHEMAS / f"ovn-{name}.ovsschema")
            subprocess.run(["ovsdb-tool", "create", database, schema], check=True, timeout=20)
            control = f"--unixctl={self._folder / name}.ctl"
            remote = f"--remote=punix:{self._folder / name}.sock"
            daemons.start("ovsdb-server", *_QUIET, control, remote, database)
        self._wait_for_databases()
        self.nbctl("--wait=none", "init")
        self.sbctl("init")
        control = f"--unixctl={self._folder / 'northd'}.ctl"
        databases = (f"--ovnnb-db={self.remote(NB)}", f"--ovnsb-db={self.remote(SB)}")
        daemons.start("ovn-northd", *_QUIET, control, *databases)

    def _wait_for_databases(self) -> None:
        sockets, until = [self._folder / f"{name}.sock" for name in (NB, SB)], time.monotonic() + 20
        while not all(socket.exists() for socket in sockets) and time.monotonic() < until:
            time.sleep(0.01)

    def remote(self, name: str) -> str:
        """Where one of the databases listens."""
        return f"unix:{self._folder / name}.sock"

    def nbctl(self, *words: str) -> str:
        return self._ctl("ovn-nbctl", NB, *words)

    def sbctl(self, *words: str) -> str:
        return self._ctl("ovn-sbctl", SB, *words)

    def _ctl(self, command: str, name: str, *words: str) -> str:
        argv = [command, "--timeout=20", f"--db={self.remote(name)}", *words]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, f"{argv}: {done.stderr}"
        return done.stdout

    def binding(self, port: str) -> tuple[bool, str]:
        """Whether a logical port is up, and the name of the host that it is bound to."""
        columns = ("--bare", "--columns=up,chassis", "find", "Port_Binding")
        up, chassis = self.sbctl(*columns, f"logical_port={port}").splitlines()[:2]
        name = self.sbctl("--bare", "--columns=name", "list", "Chassis", chassis) if chassis else ""
        return up == "true", name.strip()

    def wait_for(self, port: str, *, up: bool) -> None:
        """Wait until a logical port is up or down."""
        self.sbctl("wait-until", "Port_Binding", port, f"up={str(up).lower()}")


class OvnHost:
    """A host: its own Open vSwitch, and an ovn-controller; tunnels to the others are geneve's."""

    def __init__(
        self, number: int, central: Central, underlay: NetworkNamespace, daemons: Daemons,
        stack: contextlib.ExitStack,
    ) -> None:  # fmt: skip
        self.name = f"host{number}"
        self.namespace = stack.enter_context(NetworkNamespace(name=self.name))
        self.ovs = stack.enter_context(OpenVSwitch(self.namespace))
        self._daemons = daemons
        veth(self.namespace, "eth0", underlay, f"up{number}")
        underlay.ip("link", "set", f"up{number}", "master", "underlay")
        # The userspace datapath's tunnels leave by a bridge of its own that has the address.
        self.ovs.vsctl("add-br", "br-ul", "--", "set", "Bridge", "br-ul", "datapath_type=netdev",
                       f"other_config:hwaddr=02:00:00:00:00:{number:02x}")  # fmt: skip
        self.ovs.vsctl("add-port", "br-ul", "eth0")
        address = f"172.31.0.{10 + number}"
        self.namespace.ip("addr", "add", f"{address}/24", "dev", "br-ul")
        self.namespace.ip("link", "set", "br-ul", "up")
        settings = {
            "system-id": self.name,
            "hostname": self.name,
            "ovn-remote": central.remote(SB),
            "ovn-encap-type": "geneve",
            "ovn-encap-ip": address,
            "ovn-bridge-datapath-type": "netdev",
        }
        ids = [f'external_ids:{name}="{value}"' for name, value in settings.items()]
        self.ovs.vsctl("set", "Open_vSwitch", ".", *ids)
        self.start_controller()
        central.sbctl("wait-until", "Chassis", self.name, f"hostname={self.name}")

    def start_controller(self) -> None:
        """Start ovn-controller."""
        rundir = str(self.ovs.rundir)
        env = {**self.ovs.environment, "OVN_RUNDIR": rundir, "OVN_LOGDIR": rundir}
        pid = f"--pidfile={rundir}/ovn-controller.pid"
        self.controller = self._daemons.start(
            "ovn-controller", *_QUIET, pid, self.ovs.endpoint, env=env, at=self.namespace
        )

    def stop_controller(self) -> None:
        """Stop ovn-controller as a service manager does: what it wired goes on."""
        self.controller.terminate()
        self.controller.wait(timeout=20)


@contextlib.contextmanager
def two_hosts() -> Iterator[tuple[Central, OvnHost, OvnHost]]:
    """An OVN with two hosts, and a logical switch ``ls0``."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ovn-")))
        underlay = stack.enter_context(NetworkNamespace(name="underlay"))
        underlay.ip("link", "add", "underlay", "up", "type", "bridge")
        daemons = Daemons(folder, stack)
        central = Central(daemons)
        hosts = [OvnHost(number, central, underlay, daemons, stack) for number in (1, 2)]
        central.nbctl("ls-add", "ls0")
        yield central, hosts[0], hosts[1]


class Guest:
    """A guest's end of a tap: a network stack with an address, as a VM has one."""

    def __init__(
        self, host: NetworkNamespace, tap: str, address: str, ip: str, stack: contextlib.ExitStack
    ) -> None:
        self.namespace = stack.enter_context(NetworkNamespace(name=f"guest {ip}"))
        outer = stack.enter_context(NetworkNamespace(name=f"wire {ip}"))
        veth(self.namespace, "eth0", outer, "wire")
        self.namespace.ip("link", "set", "eth0", "address", address)
        self.namespace.ip("addr", "add", f"{ip}/24", "dev", "eth0")
        self._tap = stack.enter_context(TapEnd(host, tap))
        self._wire = stack.enter_context(Capture(outer, "wire"))
        self._ends = threading.Event()
        relays = [threading.Thread(target=one) for one in (self._inward, self._outward)]
        for relay in relays:
            relay.start()
        stack.callback(self._end, relays)

    def _end(self, relays: list[threading.Thread]) -> None:
        self._ends.set()
        for relay in relays:
            relay.join(timeout=10)

    def _inward(self) -> None:
        while not self._ends.is_set():
            with contextlib.suppress(TimeoutError, BlockingIOError):
                self._wire.send(self._tap.receive(0.1))

    def _outward(self) -> None:
        while not self._ends.is_set():
            for frame in self._wire.frames(0.002):
                self._tap.send(frame)

    def pings(self, ip: str, *, within: float = 10.0) -> bool:
        """Whether another guest answers; ping(8) is sent until it does."""
        until = time.monotonic() + within
        while time.monotonic() < until:
            words = ("ping", "-c1", "-W1", "-q", ip)
            if self.namespace.run(*words, check=False).returncode == 0:
                return True
        return False
