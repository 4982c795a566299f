# SPDX-License-Identifier: Apache-2.0
"""A libvirtd of a test's own, guests with or without KVM."""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vifplug.testing import netlink_port
from vifplug.testing.domain import domain_xml
from vifplug.testing.fixture import PlainFixture
from vifplug.testing.namespace import NetworkNamespace

_PACKAGES = "libvirt-daemon-system, qemu-system-x86, ipxe-qemu, tini"
_NEEDED = {
    "libvirtd": "libvirt-daemon-system",
    "virsh": "libvirt-clients",
    "qemu-system-x86_64": "qemu-system-x86",
    "tini": "tini",
    "unshare": "util-linux",
    "setpriv": "util-linux",
}
_ROMS = ("/usr/lib/ipxe/qemu", "/usr/share/qemu")
_STARTS_WITHIN = 30.0

# The pid comes from /proc before that is mounted anew, so it is the test's number for it.
# /dev stays the machine's: macvtap's /dev/tapN exists in no other. A read-only plain file makes
# libvirt find KVM unusable, where a missing one would be looked for again and again.
_HOLD = """
read -r pid rest </proc/self/stat
mount -t proc proc /proc
umount -l /sys
mount -t sysfs sysfs /sys
for at in /run /dev/shm /etc/libvirt /var/lib/libvirt /var/log/libvirt /var/cache/libvirt; do
    mount -t tmpfs tmpfs "$at"
done
mkdir /run/lock
printf %s "$1" >/etc/libvirt/qemu.conf
printf %s "$2" >/etc/libvirt/libvirtd.conf
if [ "$3" = qemu ] && [ -e /dev/kvm ]; then
    : >/run/no-kvm
    mount --bind /run/no-kvm /dev/kvm
    mount -o remount,bind,ro /dev/kvm
fi
[ -z "$4" ] || hostname "$4"
shift 4
echo "$pid"
# Again after a restart: the guests are tini's then, and go on.
exec tini -s -- sh -c 'while "$@"; do :; done' sh "$@" >&2
"""

_QEMU_CONF = """\
user = "root"
group = "root"
security_driver = "none"
stdio_handler = "file"
namespaces = []
cgroup_controllers = []
remember_owner = 0
"""

# The loop may start no libvirtd yet. Each process but it and the first ends, and /run is empty.
_CUT = """
read -r daemon </run/libvirtd.pid
read -r _ _ _ loop _ <"/proc/$daemon/stat"
kill -STOP "$loop"
kill "$daemon"
while read -r _ _ state _ <"/proc/$daemon/stat" && [ "$state" != Z ]; do sleep 0.02; done
for process in /proc/[0-9]*; do
    pid=${process#/proc/}
    case $pid in 1 | "$loop" | "$daemon" | $$) ;; *) kill -KILL "$pid" 2>/dev/null ;; esac
done
find /run -mindepth 1 -xdev ! -type d -delete
find /run -mindepth 1 -xdev ! -path /run/lock -delete
echo "$loop"
"""

_LIBVIRTD_CONF = """\
host_uuid = "{host_uuid}"
auth_unix_ro = "none"
auth_unix_rw = "none"
log_level = 3
log_outputs = "3:file:/var/log/libvirt/libvirtd.log 4:stderr"
"""


class LibvirtRefused(RuntimeError):
    """virsh ended with an error; the text is libvirt's own message."""


class Guest:
    """A running guest of a :class:`Libvirt`, with one interface and no disk."""

    def __init__(self, libvirt: Libvirt, name: str) -> None:
        self._libvirt = libvirt
        self.name = name

    @property
    def pid(self) -> int:
        """The pid of the guest's QEMU; LookupError if it does not run."""
        try:
            text = (self._libvirt.root / f"run/libvirt/qemu/{self.name}.pid").read_text()
        except FileNotFoundError:
            raise LookupError(f"{self.name} does not run") from None
        return self._libvirt.pid_outside(int(text))

    def domain_xml(self) -> str:
        """Return the domain as it runs, with what libvirt filled in (``<target dev=...>``)."""
        return self._libvirt.virsh("dumpxml", self.name)

    def destroy(self) -> None:
        """Stop the guest as a power failure would, and forget it; nothing if that was done."""
        if self.name in self._libvirt.virsh("list", "--name").split():
            self._libvirt.virsh("destroy", self.name)
        if self.name in self._libvirt.virsh("list", "--all", "--name").split():
            self._libvirt.virsh("undefine", self.name)


class Libvirt(PlainFixture):
    """A libvirtd in a network namespace, with mounts and pids of its own; needs root.

    Guests run without KVM (TCG), unless the test asks for it. All its files are in memory; it and
    its guests end with the fixture, or with the thread that set it up, also when that is killed.
    RuntimeError in setUp: a missing package, by its Debian name, or what kept libvirtd from
    starting.
    """

    def __init__(
        self,
        namespace: NetworkNamespace,
        *,
        environment: Mapping[str, str] | None = None,
        kvm: bool = False,
        hostname: str = "",
    ) -> None:
        """``environment`` is added to libvirtd's, and to that of what it starts.

        ``kvm``: guests run with it; the machine must have a usable /dev/kvm. ``hostname``: the
        host's name, if it is not the machine's; libvirt migrates between hosts of two names only.
        """
        super().__init__()
        self._hostname = hostname
        self._virt_type = "kvm" if kvm else "qemu"
        self._namespace = namespace
        self._environment = dict(environment or {})
        self._names = (f"guest{number}" for number in itertools.count(1))
        self._pid = 0

    def _setUp(self) -> None:  # noqa: N802 (fixtures' name)
        _check_packages()
        said = os.fdopen(os.memfd_create("libvirtd-stderr"), "w+b")
        self.addCleanup(said.close)
        argv = ["setpriv", "--pdeathsig", "KILL",
                "unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child",
                "--uts",
                "sh", "-euc", _HOLD, "sh",
                _QEMU_CONF, _LIBVIRTD_CONF.format(host_uuid=uuid.uuid4()), self._virt_type,
                self._hostname, sys.executable, "-IS", netlink_port.__file__,
                "libvirtd", "--pid-file", "/run/libvirtd.pid"]  # fmt: skip
        with self._namespace.entered():
            holder = subprocess.Popen(
                argv, cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said,
                env={**os.environ, **self._environment},
            )  # fmt: skip
        self.addCleanup(self._end, holder)
        assert holder.stdin is not None and holder.stdout is not None
        line = holder.stdout.readline()
        deadline = time.monotonic() + _STARTS_WITHIN
        if line:
            self._pid = int(line)
            self._init = os.pidfd_open(self._pid)
            while time.monotonic() < deadline and holder.poll() is None:
                if self._answers():
                    holder.stdin.close()  # netlink_port holds the ports until then
                    self.addCleanup(self._destroy_all)
                    return
                time.sleep(0.01)
        said.seek(0)
        raise RuntimeError(f"libvirtd did not start: {said.read().decode(errors='replace')}")

    def _answers(self) -> bool:
        # The socket is there a moment before libvirtd listens on it.
        with contextlib.suppress(LibvirtRefused):
            return self._socket.exists() and bool(self.virsh("uri", timeout=_STARTS_WITHIN))
        return False

    def _destroy_all(self) -> None:
        # The mounts and processes end in any case; this takes away what is in the namespace, which
        # the test may have entered for longer.
        with contextlib.suppress(LibvirtRefused, subprocess.TimeoutExpired):
            for name in self.virsh("list", "--name", timeout=10).split():
                self.virsh("destroy", name, check=False, timeout=10)

    def _end(self, holder: subprocess.Popen[bytes]) -> None:
        if self._pid:
            # The kernel ends all of the pid namespace with its first process, before that is gone.
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._init, signal.SIGKILL)
            select.select([self._init], [], [], 10)
            os.close(self._init)
            self._pid = 0
        else:
            holder.kill()
        with holder:  # closes its pipes
            holder.wait(timeout=10)

    @property
    def pid(self) -> int:
        """The first process of libvirtd's mounts and pids, by the test's number for it."""
        return self._pid

    @property
    def root(self) -> Path:
        """The root directory as libvirtd sees it: its /run, /var/log/libvirt and so on."""
        return Path(f"/proc/{self._pid}/root")

    @property
    def _socket(self) -> Path:
        return self.root / "run/libvirt/libvirt-sock"

    @property
    def uri(self) -> str:
        """The URI for libvirt's clients (virsh, libvirt-python) in the test process."""
        return f"qemu:///system?socket={self._socket}"

    @property
    def log(self) -> str:
        """What libvirtd wrote to its log: warnings and errors."""
        return (self.root / "var/log/libvirt/libvirtd.log").read_text()

    def run(
        self, *argv: str, check: bool = True, input: str | None = None, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a command with libvirtd's network, mounts and pids; see NetworkNamespace.run."""
        enter = ("nsenter", "--target", str(self._pid), "--mount", "--pid", "--")
        return self._namespace.run(*enter, *argv, check=check, input=input, timeout=timeout)

    def virsh(
        self, *args: str, check: bool = True, input: str | None = None, timeout: float = 60
    ) -> str:
        """Run ``virsh`` with args and return what it printed.

        ``input`` is what it reads from /dev/stdin. LibvirtRefused with libvirt's message if it
        fails and ``check`` is true; subprocess.TimeoutExpired after ``timeout`` seconds.
        """
        done = subprocess.run(
            ("virsh", "--quiet", "--connect", self.uri, *args),
            input=input, capture_output=True, text=True, timeout=timeout, check=False,
            # SIGPIPE stays ignored: it ends virsh after some migrations that have gone well.
            restore_signals=False,
        )  # fmt: skip
        if check and done.returncode:
            silent = f"virsh ended with status {done.returncode}"
            lines = (done.stderr.strip() or done.stdout.strip() or silent).splitlines()
            raise LibvirtRefused("\n".join(line.removeprefix("error: ") for line in lines))
        return done.stdout

    def start_guest(
        self,
        interface_xml: str,
        *,
        name: str | None = None,
        memory_mib: int = 64,
        lying_mac: str | None = None,
        shared_memory: bool = False,
    ) -> Guest:
        """Define, with validation, and start a guest that has one ``<interface>``.

        It boots from the network: the NIC's ROM sends DHCP discovers, the first some seconds after
        the start. ``lying_mac`` is an address that the guest uses though libvirt knows of another;
        with ``shared_memory`` another process may read the guest's, as vhost-user needs it.
        LibvirtRefused with libvirt's message; then nothing is left defined.
        """
        name = name or next(self._names)
        domain = domain_xml(
            interface_xml, name, memory_mib, lying_mac,
            shared_memory=shared_memory, virt_type=self._virt_type,
        )  # fmt: skip
        self.virsh("define", "--validate", "/dev/stdin", input=domain)
        try:
            self.virsh("start", name)
        except BaseException:
            self.virsh("undefine", name, check=False)
            raise
        return Guest(self, name)

    def define_guest(
        self, devices_xml: str = "", *, name: str | None = None, machine: str = "pc"
    ) -> Guest:
        """Define a guest, with validation, and leave it off. LibvirtRefused if it is refused."""
        name = name or next(self._names)
        domain = domain_xml(devices_xml, name, 64, virt_type=self._virt_type, machine=machine)
        self.virsh("define", "--validate", "/dev/stdin", input=domain)
        return Guest(self, name)

    def restart(self) -> None:
        """End libvirtd and start it again, while the guests run on."""
        before = self._daemon()
        self.run("kill", before)
        self._wait_for_another(before)

    def _wait_for_another(self, before: str) -> None:
        """Wait until a libvirtd answers that is not the one of before."""
        deadline = time.monotonic() + _STARTS_WITHIN
        while time.monotonic() < deadline:
            if self._daemon() not in ("", before) and self._answers():
                return
            time.sleep(0.05)
        raise RuntimeError(f"libvirtd did not start again: {self.log}")

    @contextlib.contextmanager
    def powered_off(self) -> Iterator[None]:
        """Have the guests and libvirtd gone and /run empty, as after a power cut, for a block.

        No hook is called. libvirtd starts anew at the end of the block, as at a host's boot.
        """
        loop = self.run("sh", "-c", _CUT).stdout.strip()
        yield
        self.run("kill", "-CONT", loop)
        self._wait_for_another("")

    def reload(self) -> None:
        """Have libvirtd read its configuration and its hooks again."""
        self.run("kill", "-HUP", self._daemon())

    def _daemon(self) -> str:
        """Return the pid of libvirtd as its own namespace has it; empty where it has none."""
        try:
            return (self.root / "run/libvirtd.pid").read_text().strip()
        except FileNotFoundError:
            return ""

    def define(self, interface_xml: str) -> str:
        """Define a guest that has one ``<interface>``, with validation, and undefine it again.

        With a vhost-user interface it has shared memory, which libvirt 11 asks for.

        Returns the domain as libvirt read it; LibvirtRefused with libvirt's message.
        """
        name = next(self._names)
        shared = "vhostuser" in interface_xml
        domain = domain_xml(
            interface_xml, name, 64, shared_memory=shared, virt_type=self._virt_type
        )
        self.virsh("define", "--validate", "/dev/stdin", input=domain)
        try:
            return self.virsh("dumpxml", "--inactive", name)
        finally:
            self.virsh("undefine", name)

    def nwfilter_define(self, xml: str) -> None:
        """Define a ``<filter>``; there is none from the start. LibvirtRefused if it is refused."""
        self.virsh("nwfilter-define", "/dev/stdin", input=xml)

    def pid_outside(self, inside: int) -> int:
        """Return the test's number for a pid of libvirtd's pid namespace, or LookupError."""
        namespace = Path(f"/proc/{self._pid}/ns/pid").readlink()
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                if (entry / "ns/pid").readlink() != namespace:
                    continue
                fields: dict[str, Any] = dict(
                    line.split(":", 1) for line in (entry / "status").read_text().splitlines()
                )
                if fields["NSpid"].split()[-1] == str(inside):
                    return int(entry.name)
        raise LookupError(f"no process {inside} in libvirtd's pid namespace")


def _check_packages() -> None:
    missing = {package for command, package in _NEEDED.items() if not shutil.which(command)}
    if not any(list(Path(at).glob("*.rom")) for at in _ROMS):
        missing.add("ipxe-qemu")
    if missing:
        raise RuntimeError(
            f"missing Debian packages: {', '.join(sorted(missing))} (a guest needs {_PACKAGES})"
        )
