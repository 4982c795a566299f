# SPDX-License-Identifier: Apache-2.0
"""lldpad on either side of a wire: 802.1Qbg between a host and its switch, as on real machines."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Literal

from vifplug.testing.fixture import PlainFixture
from vifplug.testing.libvirt import Libvirt
from vifplug.testing.namespace import NetworkNamespace, veth

_WITHIN = 30.0
_CONFIGURATION = """\
dcbx : {{ version = "1.0"; dcbx_version = 2; }};
nearest_customer_bridge : {{ {device} : {{
    adminStatus = 3;
    tlvid0080c20d : {{
        enableTx = true; evbmode = "{role}"; evbrrcap = true; evbrrreq = true; evbgpid = false;
        ecpretries = 3; ecprte = 14; vdprwd = 20; vdprka = 20;
    }};
}}; }};
"""
# lldpad notes its pid in shared memory too: with the machine's, a second one would not start.
_ALONE = 'mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /dev/shm && exec "$@"'
_AGAIN = 'rm -f /dev/shm/lldpad.state && exec "$@"'


class Lldpad(PlainFixture):
    """An lldpad that speaks EVB and VDP on one device; needs root and lldpad (Debian).

    A ``station`` belongs to the :class:`Libvirt` that is to find it: it has that one's mounts and
    process ids. A ``bridge``, the switch's side, has mounts of its own. It ends with the fixture,
    or with the thread that set it up. RuntimeError in setUp: what is missing, or what it said.
    """

    def __init__(
        self,
        namespace: NetworkNamespace,
        device: str,
        *,
        role: Literal["station", "bridge"],
        libvirt: Libvirt | None = None,
    ) -> None:
        super().__init__()
        self._namespace, self._device, self._role = namespace, device, role
        self._libvirt = libvirt
        self._process: subprocess.Popen[bytes] | None = None

    def _setUp(self) -> None:  # noqa: N802 (fixtures' name)
        if not shutil.which("lldpad"):
            raise RuntimeError("missing Debian package: lldpad")
        folder = tempfile.TemporaryDirectory(prefix="lldpad-")
        self.addCleanup(folder.cleanup)
        self._folder = Path(folder.name)
        settings = _CONFIGURATION.format(device=self._device, role=self._role)
        (self._folder / "lldpad.conf").write_text(settings)
        self.addCleanup(self.kill)
        self.start()

    def start(self) -> None:
        """Start it, as setUp does, after :meth:`kill`."""
        lldpad = ("lldpad", "-V7", "-f", str(self._folder / "lldpad.conf"))
        bound = ("setpriv", "--pdeathsig", "KILL")
        if self._libvirt:
            within = [
                "nsenter",
                "--target",
                str(self._libvirt.pid),
                "--mount",
                "--pid",
                "--",
                *bound,
            ]
        else:
            within = ["unshare", "--mount", "--propagation", "private", "--"]
        prepared = _AGAIN if self._libvirt else _ALONE
        command = [*bound, *within, "sh", "-c", prepared, "sh", *lldpad]
        with (self._folder / "log").open("wb") as log, self._namespace.entered():
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                             stderr=log, cwd="/")  # fmt: skip
        self._wait_for("is not ready", self._runs)

    def _runs(self) -> bool:
        with contextlib.suppress(OSError, IndexError):
            runs = Path(f"/proc/{self.pid}/comm").read_text() == "lldpad\n"
            return runs and (self._libvirt is None or bool(self.pid_file.read_text()))
        return False

    @property
    def pid_file(self) -> Path:
        """Where this test finds the file that libvirt reads, of a station."""
        assert self._libvirt is not None
        return self._libvirt.root / "run/lldpad.pid"

    @property
    def log(self) -> str:
        """What it has said since it was started last."""
        return (self._folder / "log").read_text(errors="replace")

    def wait_for_evb(self) -> None:
        """Wait until the other side has announced EVB, and the station's VDP knows it."""
        self._wait_for("has no EVB", self._has_evb)

    def _has_evb(self) -> bool:
        ready = f" data_from_evb:{self._device} " in self.log and "evb:1" in self.log
        return ready and "bridge:rrcap,rrctr" in self.evb()

    def evb(self) -> str:
        """Return what ``lldptool -V evb`` says of the device."""
        argv = ("lldptool", "-t", "-i", self._device, "-g", "ncb", "-V", "evb")
        return self._namespace.run(*argv, check=False).stdout

    def associations(self) -> str:
        """Return what ``vdptool -V assoc`` says of the device: the guests that are associated."""
        return self._namespace.run("vdptool", "-t", "-i", self._device, "-V", "assoc").stdout

    def _wait_for(self, failure: str, condition: object) -> None:
        assert callable(condition) and self._process is not None
        until = time.monotonic() + _WITHIN
        while not condition():
            if self._process.poll() is not None or time.monotonic() > until:
                said = self.log[-2000:]
                raise RuntimeError(f"lldpad on {self._device} {failure}: {said}")
            time.sleep(0.05)

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        pid = self._process.pid
        if self._libvirt:  # nsenter waits for it as its child
            return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
        return pid

    def pause(self) -> None:
        """Have it hang (SIGSTOP), as a frozen switch does."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Have it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """Kill it; its pid file stays, as after a crash."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError, IndexError, FileNotFoundError):
            ends = os.pidfd_open(self.pid)
            signal.pidfd_send_signal(ends, signal.SIGKILL)
            select.select([ends], [], [], 10)
            os.close(ends)
        self._process.kill()
        self._process.wait(timeout=10)
        self._process = None


def edge_wire(host: NetworkNamespace, device: str, switch: NetworkNamespace, port: str) -> None:
    """Lay a wire from a host's device to a switch's port on which 802.1Qbg works.

    libvirt and lldpad want a device that lies on no other one, as a network card, and its state up:
    this is a vxlan each, with a wire of ``veth`` below.
    """
    below = f"{device}-u"[:15]
    veth(host, below, switch, below)
    ends = ((host, device, "10.99.0.1", "10.99.0.2"), (switch, port, "10.99.0.2", "10.99.0.1"))
    for namespace, name, local, remote in ends:
        namespace.ip("link", "set", below, "mtu", "1600")
        namespace.ip("address", "add", f"{local}/30", "dev", below)
        tunnel = ("type", "vxlan", "id", "7", "local", local, "remote", remote, "dstport", "4789")
        namespace.ip("link", "add", name, *tunnel)
        with namespace.entered():
            Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("1")
        namespace.ip("link", "set", name, "mtu", "1500", "up")
        namespace.ip("link", "set", name, "state", "up")
