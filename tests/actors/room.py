# SPDX-License-Identifier: Apache-2.0
"""A room of a host for programs that want /run, /etc and a bus of their own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

from vifplug.testing import NetworkNamespace
from vifplug.testing.fixture import PlainFixture

WITHIN = 30.0
"""Seconds in which a busy machine has started any of these programs."""

_EMPTY = (
    "/run",
    "/etc/sysctl.d",
    "/usr/lib/sysctl.d",
    "/usr/local/lib",
    "/etc/systemd/network",
    "/etc/NetworkManager",
    "/var/lib/NetworkManager",
    "/etc/firewalld",
    "/etc/docker",
)
"""Folders that are empty in a room, where the machine has them."""

# The machine's /dev stays as it is: udev writes there.
# The pid comes from /proc before that is mounted anew, so it is the test's number for it. A
# manager of devices that finds /sys read-only takes each device as it is: as in a container.
_HOLD = """
read -r pid rest </proc/self/stat
mount -t proc proc /proc
umount -l /sys
mount -t sysfs -o "$1" sysfs /sys
shift
for at in "$@"; do
    [ -d "$at" ] && mount -t tmpfs tmpfs "$at"
done
mkdir -p /run/lock /run/dbus /run/dev /run/systemd
: >/run/empty
mount -t tmpfs tmpfs /run/dev
mkdir /run/dev/net /run/dev/shm
for name in null zero full random urandom kmsg net/tun; do
    : >"/run/dev/$name"
    mount --bind "/dev/$name" "/run/dev/$name"
done
mount --rbind /run/dev /dev
[ -e /etc/sysctl.conf ] && mount --bind /run/empty /etc/sysctl.conf
echo "$pid"
exec sleep infinity
"""


class Room(PlainFixture):
    """Mounts and pids of its own in a host's network, without a service manager.

    All that runs in it ends with it, or with the thread that set it up.
    """

    def __init__(self, namespace: NetworkNamespace, *, udev: bool = False) -> None:
        """``udev``: it may write to /sys, which udev does, and others then wait for udev."""
        super().__init__()
        self._namespace, self._sys = namespace, "rw" if udev else "ro"

    def _setUp(self) -> None:  # noqa: N802 (fixtures' name)
        argv = ["setpriv", "--pdeathsig", "KILL",
                "unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child",
                "sh", "-euc", _HOLD, "sh", self._sys, *_EMPTY]  # fmt: skip
        with self._namespace.entered():
            holder = subprocess.Popen(
                argv,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        self.addCleanup(self._end, holder)
        assert holder.stdout is not None
        self._pid = int(holder.stdout.readline())

    def _end(self, holder: subprocess.Popen[str]) -> None:
        with contextlib.suppress(ProcessLookupError, AttributeError):
            os.kill(self._pid, signal.SIGKILL)
        with holder:
            holder.wait(timeout=10)

    def _enter(self) -> tuple[str, ...]:
        return "nsenter", "--target", str(self._pid), "--mount", "--pid", "--"

    def run(self, *argv: str, check: bool = True) -> str:
        """Run a command in the room; return what it printed."""
        return self._namespace.run(*self._enter(), *argv, check=check).stdout

    def write(self, path: str, text: str, *, mode: int = 0o644) -> None:
        """Write a file of the room."""
        file = Path(f"/proc/{self._pid}/root{path}")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def start(self, name: str, *argv: str, env: Iterable[str] = ()) -> None:
        """Start a program that stays in the foreground; end the one that has its name."""
        self.stop(name)
        # Its pid is that which it has in the room, where it is looked for.
        script = 'log=$1; shift; "$@" >>"$log" 2>&1 & echo $!'
        words = ("env", *env, "sh", "-c", script, "sh", f"/run/{name}.log", *argv)
        self.write(f"/run/{name}.test-pid", self.run(*words))

    def stop(self, name: str) -> None:
        """End a program that was started, as a service manager does; nothing if none was."""
        file = Path(f"/proc/{self._pid}/root/run/{name}.test-pid")
        if not file.exists():
            return
        pid = file.read_text().strip()
        file.unlink()
        self.run("kill", pid, check=False)
        until = time.monotonic() + WITHIN
        while self.run("sh", "-c", f"kill -0 {pid} 2>/dev/null && grep -v ') Z ' /proc/{pid}/stat "
                       "|| true").strip():  # fmt: skip
            assert time.monotonic() < until, self.log(name)
            time.sleep(0.02)

    def log(self, name: str) -> str:
        """Return what a program has said."""
        return Path(f"/proc/{self._pid}/root/run/{name}.log").read_text()

    def becomes(self, words: str, *argv: str) -> str:
        """Wait until a command's output has some words; return the output."""
        until = time.monotonic() + WITHIN
        while words not in (said := self.run(*argv, check=False)):
            assert time.monotonic() < until, f"{argv}: {said}"
            time.sleep(0.05)
        return said

    def start_bus(self) -> None:
        """Start the system bus, which programs find in /run."""
        self.start("bus", "dbus-daemon", "--system", "--nofork", "--nopidfile")
        words = ("--system", "--print-reply", "--dest=org.freedesktop.DBus", "/")
        self.becomes("DBus", "dbus-send", *words, "org.freedesktop.DBus.ListNames")
