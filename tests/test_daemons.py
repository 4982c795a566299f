# SPDX-License-Identifier: Apache-2.0
"""What a daemon is and may, however it is started: read in /proc, and tried by a program of it."""

from __future__ import annotations

import dataclasses
import fcntl
import os
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.users import NOBODY, User, user_of
from tests.vepa.vifs import card, qbg_vif
from vifplug.testing import NetworkNamespace

NEEDS = ("net_admin", "dac_read_search", "sys_ptrace")
MASK = 1 << 12 | 1 << 2 | 1 << 19
WAYS = ("fork", "fresh", "sudo", "wrapper", "ambient", "user")
"""The last is sudo, and the options user and group."""

USERS = {"ambient": NOBODY, "user": 2}
"""The ways whose daemons don't belong to root."""

# A caller with a locked file, signal handlers and limits of its own, as a hostile one has.
CALLER = """
import fcntl, json, os, pathlib, resource, signal, sys, threading
from oslo_config import cfg
import vifplug
config, file, way, locked = sys.argv[1:]
cfg.CONF([], project="vifplug", default_config_files=[config])
wait = threading.Event()
if way == "fresh":
    threading.Thread(target=wait.wait).start()
held = os.open(locked, os.O_RDONLY)
fcntl.flock(held, fcntl.LOCK_EX)
os.set_inheritable(held, True)
os.set_inheritable(os.pipe()[1], True)
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2)
os.umask(0)
driver = vifplug.GenericVIFDriver()
driver.plug(None, vifplug.VIF.from_dict(json.loads(pathlib.Path(file).read_text())))
os.close(held)
print(os.getpid(), flush=True)
sys.stdin.readline()
wait.set()
"""

# Stands in for lldptool: says what it may, and tries to get more.
PROGRAM = """#!/bin/sh
exec 3>&1 >"{said}/$$" 2>&1
cat /proc/$$/status
touch "{said}/mine.$$"
chown 1:1 "{said}/mine.$$" && echo "got: another's file"
mknod "{said}/device.$$" c 1 3 && echo "got: a device"
setpriv --reuid 1 true && echo "got: another user"
unshare --mount true && echo "got: a mount namespace"
sudo -n true && echo "got: sudo"
echo "bridge:rrcap,rrctr" >&3
"""


@dataclass
class Started:
    """A daemon that a caller has started, and what the program said that the daemon ran."""

    way: str
    pid: int
    caller: int
    program: str
    locked: Path

    def read(self, name: str) -> str:
        """Return a file of the daemon's in /proc."""
        return Path(f"/proc/{self.pid}/{name}").read_text()

    @property
    def descriptors(self) -> dict[int, str]:
        """Return what the daemon has open."""
        folder = Path(f"/proc/{self.pid}/fd")
        return {int(path.name): str(path.readlink()) for path in folder.iterdir()}


def status_of(text: str) -> dict[str, str]:
    """Return the lines of a /proc/PID/status, by name."""
    lines = (line.partition(":") for line in text.splitlines())
    return {name: value.strip() for name, _, value in lines}


def user_on(way: str, host: NetworkNamespace, folder: Path) -> User:
    """Return a user, or root, whose VIF needs an lldpad; a stand-in answers for it."""
    card(host, "ep0")
    said = folder / "said"
    said.mkdir()
    said.chmod(0o777)
    (folder / "lldptool").write_text(PROGRAM.format(said=said))
    (folder / "lldptool").chmod(0o755)
    found = Path(shutil.which("lldptool", path="/usr/sbin:/usr/bin") or "").resolve()
    pid_file = f"[vifplug_vepa]\nlldpad_pid_file = {folder}/lldpad.pid"
    root = way in ("fork", "fresh")
    documented = {"fork": "ambient", "fresh": "ambient", "user": "sudo"}.get(way, way)
    vif = qbg_vif().to_dict()
    user = user_of("vifplug_vepa", documented, host, folder, vif, pid_file, capabilities=NEEDS)
    owner, conf = USERS.get(way, 0), folder / "conf"
    os.chown(folder / "locks", owner, owner)
    if way == "user":
        conf.write_text(f"{conf.read_text()}user = {owner}\ngroup = {owner}\n")
    if root:
        conf.write_text(conf.read_text().partition("[vifplug_vepa_privileged]")[0])
        user = dataclasses.replace(user, how="")
    mounts = f"mount --bind {shlex.quote(str(folder / 'lldptool'))} {found}"
    return dataclasses.replace(user, mounts=mounts)


@pytest.fixture(scope="module", params=WAYS)
def started(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Started]:
    way, tmp_path = request.param, tmp_path_factory.mktemp("daemon")
    locked = tmp_path / "locked"
    locked.touch()
    with (
        NetworkNamespace(enter=True) as host,
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as lldpad,
    ):
        user = user_on(way, host, tmp_path)
        lldpad.bind((0, 0))
        (tmp_path / "lldpad.pid").write_text(f"{lldpad.getsockname()[0]}\n")
        words = (str(tmp_path / "conf"), str(tmp_path / "vif.json"), way, str(locked))
        command = user.command(sys.executable, "-c", CALLER, *words)
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
            assert process.stdin and process.stdout
            caller = process.stdout.readline()
            assert caller.strip(), "the caller has ended"
            programs = [path.read_text() for path in (tmp_path / "said").glob("[0-9]*")]
            parents = {int(status_of(text)["PPid"]): text for text in programs}
            parents.pop(int(caller), None)  # a plan asks too
            ((pid, program),) = parents.items()
            yield Started(way, pid, int(caller), program, locked)
            process.stdin.close()


def test_a_daemon_is_no_more_than_its_capabilities(started: Started) -> None:
    status = status_of(started.read("status"))
    own = {"CapInh": 0, "CapPrm": MASK, "CapEff": MASK, "CapBnd": MASK, "CapAmb": 0}
    assert {name: int(status[name], 16) for name in own} == own
    assert status["NoNewPrivs"] == "1"
    assert status["Umask"] == "0077"
    user = str(USERS.get(started.way, 0))
    assert set(status["Uid"].split()) == set(status["Gid"].split()) == {user}


def test_a_program_of_a_daemon_gets_no_more_and_can_take_no_more(started: Started) -> None:
    status = status_of(started.program)
    # A program of a user other than root keeps nothing.
    mask = 0 if started.way in USERS else MASK
    assert (int(status["CapEff"], 16), int(status["CapPrm"], 16)) == (mask, mask)
    assert int(status["CapBnd"], 16) == MASK
    assert (status["NoNewPrivs"], status["Umask"]) == ("1", "0077")
    assert "got:" not in started.program, started.program
    assert int(status["SigIgn"], 16) & 1 << 9 == 0, "what its caller ignored"


def test_full_root_gets_what_the_program_tries(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text(PROGRAM.format(said=tmp_path))
    program.chmod(0o755)
    done = subprocess.run([program], capture_output=True, text=True, check=True)
    assert "bridge:" in done.stdout
    (said,) = tmp_path.glob("[0-9]*")
    assert said.read_text().count("got: ") >= 4, "so the test above can fail"


def test_a_daemon_keeps_nothing_of_its_caller(started: Started) -> None:
    found = started.descriptors
    assert {found[number] for number in (0, 1, 2)} == {"/dev/null"}
    others = sorted(name.partition(":")[0] for name in found.values() if name != "/dev/null")
    assert others == ["socket"], found
    descriptor = os.open(started.locked, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(descriptor)
    status = status_of(started.read("status"))
    assert int(status["SigBlk"], 16) == int(status["SigCgt"], 16) & ~(1 << 32) == 0
    # Ctrl-C, a pipe that nobody reads, a file that is too large.
    assert int(status["SigIgn"], 16) & 0x7FFFFFFF == 1 << 1 | 1 << 12 | 1 << 24
    assert os.getsid(started.pid) == started.pid != os.getsid(started.caller)
    (core,) = (line for line in started.read("limits").splitlines() if "core file" in line)
    assert core.split()[4:6] == ["0", "0"]


def test_another_user_cannot_look_into_a_daemons_memory(started: Started) -> None:
    memory = Path(f"/proc/{started.pid}/mem")
    done = subprocess.run(["cat", memory], user=NOBODY, capture_output=True, check=False)
    assert b"Permission denied" in done.stderr
    assert memory.stat().st_uid == 0, "the kernel gives it to root: no core dump either"


def test_another_user_cannot_stop_a_daemon(started: Started) -> None:
    other = 3  # of no way
    stop = ["kill", "-STOP", str(started.pid)]
    done = subprocess.run(stop, user=other, capture_output=True, check=False)
    assert b"Operation not permitted" in done.stderr
    assert status_of(started.read("status"))["State"][0] in "SR"


def test_other_users_may_read_what_a_daemon_has_made(started: Started) -> None:
    (above,) = (started.locked.parent / "locks").iterdir()
    assert above.stat().st_mode & 0o777 == 0o711
    claims = above / "claims"
    (token,) = claims.iterdir()
    (claim,) = token.iterdir()
    modes = [path.stat().st_mode & 0o777 for path in (claims, token, claim)]
    assert modes == [0o755, 0o755, 0o644]
