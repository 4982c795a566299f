# SPDX-License-Identifier: Apache-2.0
"""Roots with the programs of another Debian: its libvirt, QEMU, Open vSwitch, OVN and Python.

A root is made once on a machine. It lies in ``$VIFPLUG_STACKS_CACHE``, or in
~/.cache/vifplug-tests/stacks, named for its suite and its packages, and takes 450 MB. Remove the
folder to have newer packages. The machine's own packages, lists, daemons and network stay as they
are.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

SUITES = ("trixie", "sid")
VENV = "/opt/venv"

_ENTER = Path(__file__).with_name("enter.sh")
_KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
# tools/needs has the same, with what builds a kernel, and a compiler instead of python3-libvirt.
_PROGRAMS = (
    "busybox-static", "ca-certificates", "debian-archive-keyring", "iproute2", "iptables",
    "iputils-ping", "ipxe", "ipxe-qemu", "kmod", "libvirt-clients", "libvirt-daemon-driver-qemu",
    "libvirt-daemon-system", "librte-meta-mempool", "lldpad", "nftables", "openssl",
    "openvswitch-switch", "openvswitch-switch-dpdk", "ovn-central", "ovn-host", "procps",
    "qemu-system-x86", "qemu-utils", "strace", "sudo", "tini", "util-linux",
)  # fmt: skip
# Debian's own of each distribution that setup.cfg asks for.
_LIBRARIES = (
    "cliff", "fixtures", "hypothesis", "jinja2", "jsonschema", "libvirt", "lxml", "msgpack",
    "oslo.config", "oslo.privsep", "pip", "prometheus-client", "pytest", "pytest-xdist", "rich",
    "setuptools", "stevedore", "venv", "yaml",
)  # fmt: skip
_PACKAGES = (*_PROGRAMS, *(f"python3-{name}" for name in _LIBRARIES))
_APT = (
    'Apt::Install-Recommends "false"',
    'Acquire::Languages "none"',
    'APT::Sandbox::User "root"',
    # A mirror that stands still for some days is good enough.
    'Acquire::Check-Valid-Until "false"',
)
_DPKG = ("force-unsafe-io", *(f"path-exclude=/usr/share/{n}/*" for n in ("doc", "man", "locale")))
_PATH = f"{VENV}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What is started ends with its parent, in whichever way that ends.
_BOUND = ("setpriv", "--pdeathsig", "TERM", "--")


class NoRoot(Exception):
    """The root can't be made here; the text says what was tried and what came of it."""


def cache() -> Path:
    """Return the folder of all roots."""
    default = Path.home() / ".cache/vifplug-tests/stacks"
    return Path(os.environ.get("VIFPLUG_STACKS_CACHE") or default).absolute()


def root(suite: str) -> Path:
    """Return the root of a suite, made before if it was not there. Raises NoRoot."""
    said = hashlib.sha256("\n".join((*_PACKAGES, *_APT, *_DPKG)).encode()).hexdigest()[:12]
    with _whole(f"{suite}-{said}") as (folder, is_whole):
        if not is_whole:
            _bootstrap(suite, folder)
    return folder


def venv(suite: str, requirements: Sequence[str]) -> Path:
    """Return a folder to bind at VENV: an environment that pip has filled with these."""
    at = root(suite)
    said = hashlib.sha256("\n".join((at.name, *requirements)).encode()).hexdigest()[:12]
    with _whole(f"{suite}-venv-{said}") as (folder, is_whole):
        if not is_whole:
            folder.mkdir()
            certificates = "/etc/ssl/certs/ca-certificates.crt"
            binds = {folder: VENV, Path("/etc/ssl/certs"): "/mnt/certs"}
            env = {name: os.environ[name] for name in os.environ if name.startswith("PIP_")}
            env.pop("PIP_FIND_LINKS", None)
            if "PIP_CERT" in env:
                env["PIP_CERT"] = certificates.replace("/etc/ssl/certs", "/mnt/certs")
            # libvirt-python is Debian's: it must be of its libvirt's version.
            make = ["/usr/bin/python3", "-m", "venv", "--system-site-packages", VENV]
            fill = [f"{VENV}/bin/pip", "install", "-q", "--upgrade", *requirements]
            for argv in (make, fill):
                with entered(at, argv, binds=binds, env=env, network=True) as process:
                    output, _ = process.communicate(timeout=1200)
                if process.returncode:
                    raise NoRoot(f"{' '.join(argv)}: {output[-3000:]}")
    return folder


@contextlib.contextmanager
def entered(
    at: Path,
    argv: Sequence[str],
    *,
    binds: Mapping[Path, str],
    env: Mapping[str, str],
    network: bool = False,
    output: int | None = subprocess.PIPE,
) -> Iterator[subprocess.Popen[str]]:
    """Start a command with a root as /, over a layer of memory, and end it with the block.

    The command has mounts, IPC and a host's name of its own, and a network unless it has the
    host's. ``binds`` are folders of the host, with their places inside.
    """
    namespaces = ["--mount", "--propagation", "private", "--ipc", "--uts"]
    namespaces += [] if network else ["--net"]
    with tempfile.TemporaryDirectory(prefix="stack.") as mounted:
        settings = {
            "ROOT": str(at),
            "AT": mounted,
            "NETWORK": str(int(network)),
            "BINDS": " ".join(f"{here}:{there}" for here, there in binds.items()),
            "PATH": os.environ["PATH"],
        }
        inside = {"PATH": _PATH, "HOME": "/root", "LANG": "C.UTF-8", "TERM": "dumb", **env}
        words = [f"{name}={value}" for name, value in inside.items()]
        command = [*_BOUND, "unshare", *namespaces, "--", "sh", str(_ENTER)]
        command += ["env", "-i", *words, "tini", "-s", "-p", "SIGTERM", "--", *argv]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
            env=settings,
            text=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()
            process.wait()


def _bootstrap(suite: str, folder: Path) -> None:
    mirror = _mirror()
    command = ["unshare", "--mount", "--propagation", "private", "eatmydata", "mmdebstrap"]
    command += ["--quiet", "--mode=root", "--variant=essential"]
    command += [f"--include={','.join(_PACKAGES)}"]
    command += [f"--aptopt={one}" for one in _APT] + [f"--dpkgopt={one}" for one in _DPKG]
    command += [suite, str(folder), f"deb [signed-by={_KEYS}] {mirror} {suite} main"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)
    if done.returncode:
        raise NoRoot(f"Debian {suite} of {mirror}:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")


def _mirror() -> str:
    """Return the archive of Debian that this machine's apt has."""
    words = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    found = [line for line in done.stdout.splitlines() if line.rstrip("/").endswith("/debian")]
    if not found:
        raise NoRoot(f"apt has no archive of Debian, but {done.stdout.split()}")
    return found[0]


@contextlib.contextmanager
def _whole(name: str) -> Iterator[tuple[Path, bool]]:
    """Give the folder of a name and if it is whole; one process at a time fills it.

    It is whole once the block has ended, so a fill that was cut off is begun anew.
    """
    at = cache()
    at.mkdir(parents=True, exist_ok=True)
    folder, mark = at / name, at / f"{name}.whole"
    with (at / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if mark.exists():
            yield folder, True
            return
        shutil.rmtree(folder, ignore_errors=True)
        yield folder, False
        mark.touch()
