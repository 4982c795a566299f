# SPDX-License-Identifier: Apache-2.0
"""A host with a libvirtd, on which a person runs vifplug, and guests that are off at first."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from vifplug.testing import Guest, Libvirt, NetworkNamespace
from vifplug.testing.shell import COMMAND

ID = "0b6a9d0e-7a3c-4a6e-9d55-3f1f0a3c2b11"
OTHER = "1c7bae1f-8b4d-4b7f-8e66-4a2a1b4d3c22"
TAP = "tap0b6a9d0e-7a"
MAC = "fa:16:3e:11:22:33"
HOOKS = Path("etc/libvirt/hooks")


class Host:
    """A hypervisor. Everything below its /run and /etc/libvirt is the test's own."""

    def __init__(self, net: NetworkNamespace, libvirt: Libvirt, folder: Path) -> None:
        self.net, self.libvirt, self.folder = net, libvirt, folder
        self.config = folder / "vifplug.conf"
        self.options: dict[str, dict[str, object]] = {}
        self.configure("vifplug_bridge", create_tap="true", remove_unused="true")

    def configure(self, group: str, **options: object) -> None:
        """Set options of a group, for vifplug and for the hook."""
        self.options.setdefault(group, {}).update(options)
        sections = (
            f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in found.items())
            for group, found in self.options.items()
        )
        self.config.write_text("\n".join(sections))

    def vifplug(
        self, *words: str, status: int = 0, input: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run vifplug where libvirtd runs; it must end with a status."""
        done = self.libvirt.run(
            COMMAND, "--config-file", str(self.config), *words,
            check=False, input=input, timeout=120,
        )  # fmt: skip
        assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
        return done

    def file(self, *vifs: dict[str, Any], name: str = "vifs.json") -> str:
        """Write a file of VIFs; return its path."""
        path = self.folder / name
        path.write_text(json.dumps(list(vifs)))
        return str(path)

    def guest(self, name: str, *vifs: dict[str, Any], devices: str = "") -> Guest:
        """Define a guest that is off, and its VIFs with vifplug."""
        guest = self.libvirt.define_guest(devices, name=name)
        if vifs:
            self.vifplug("define", name, self.file(*vifs))
        return guest

    def network(self, template: str, *, name: str = "lan", more: str = "", **words: str) -> None:
        """Define and start a network whose metadata has this template of VIFs.

        ``mode`` and ``bridge`` say how it forwards.
        """
        version, mode = words.get("version", "1"), words.get("mode", "bridge")
        self.libvirt.virsh(
            "net-define", "/dev/stdin",
            input=f"""<network><name>{name}</name>
              <metadata><v:vif xmlns:v="urn:vifplug:network:{version}">{template}</v:vif></metadata>
              <forward mode="{mode}"/><bridge name="{words.get("bridge", "br100")}"/>{more}
            </network>""",
        )  # fmt: skip
        self.libvirt.virsh("net-start", name)

    def install(self) -> None:
        """Install the hook, and wait until libvirtd has seen it."""
        self.vifplug("libvirt-hook", "--install")
        seen = self.libvirt.root / "run/vifplug.hook.network"
        seen.unlink(missing_ok=True)
        self.libvirt.reload()
        self.until(seen.exists)

    def restart(self) -> None:
        """Restart libvirtd, and wait until it has found its guest again."""
        # It runs after ours, whatever becomes of ours.
        marks = self.libvirt.root / HOOKS / "qemu.d/60-marks"
        marks.write_text('#!/bin/sh\necho "$2" >>/run/operations\n')
        marks.chmod(0o755)
        told = self.libvirt.root / "run/operations"
        told.unlink(missing_ok=True)
        self.libvirt.restart()
        self.until(lambda: told.exists() and "reconnect" in told.read_text().split())

    def hook(
        self, script: str, *words: str, input: str, status: int = 0
    ) -> subprocess.CompletedProcess[str]:
        """Run an installed script as libvirt does; it must end with a status."""
        env = ("env", "-i", "LC_ALL=C", f"PATH={os.environ['PATH']}", "HOME=/")
        done = self.libvirt.run(*env, script, *words, check=False, input=input, timeout=700)
        assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
        return done

    @staticmethod
    def until(met: Callable[[], bool]) -> None:
        """Wait until a condition is met."""
        deadline = time.monotonic() + 60
        while not met():
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def devices(self) -> dict[str, Any]:
        """Return the host's devices but lo, by name."""
        found = self.net.ip_json("-d", "link", "show")
        return {link["ifname"]: link for link in found if link["ifname"] != "lo"}


def vif(vif_id: str = ID, address: str = MAC, **more: Any) -> dict[str, Any]:
    """Return a VIF on a bridge that a plug makes."""
    network = {"bridge": "br100", "should_create_bridge": True, **more.pop("network", {})}
    return {"id": vif_id, "vif_type": "bridge", "address": address, "network": network, **more}


@pytest.fixture(scope="module")
def libvirtd() -> Iterator[tuple[NetworkNamespace, Libvirt]]:
    with NetworkNamespace() as net, Libvirt(net) as libvirt:
        yield net, libvirt


@pytest.fixture
def host(libvirtd: tuple[NetworkNamespace, Libvirt], tmp_path: Path) -> Iterator[Host]:
    with tidied(*libvirtd, tmp_path) as found:
        yield found


@pytest.fixture
def journal(host: Host) -> Iterator[socket.socket]:
    """The journal's socket, where libvirtd and its hooks run."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as found:
        host.libvirt.run("mkdir", "-p", "/run/systemd/journal")
        path = host.libvirt.root / "run/systemd/journal/dev-log"
        path.unlink(missing_ok=True)
        found.bind(str(path))
        found.settimeout(60)
        yield found
        path.unlink()


def wait_for(found: socket.socket, words: str) -> str:
    """Return the journal's first line that has some words."""
    lines = []
    try:
        while words not in (line := found.recv(8192).decode()):
            lines.append(line)
    except TimeoutError:
        raise AssertionError(lines) from None
    return line


@contextmanager
def tidied(
    net: NetworkNamespace, libvirt: Libvirt, folder: Path, *, keep: tuple[str, ...] = ()
) -> Iterator[Host]:
    """Lend a host, and take away what a test has left there, but for some devices."""
    host = Host(net, libvirt, folder)
    yield host
    libvirt.run("rm", "-rf", "/etc/libvirt/hooks")
    for name in libvirt.virsh("list", "--name").split():
        libvirt.virsh("destroy", name)
    for name in libvirt.virsh("list", "--all", "--name").split():
        libvirt.virsh("undefine", "--managed-save", name)
    for name in libvirt.virsh("net-list", "--all", "--name").split():
        libvirt.virsh("net-destroy", name, check=False)
        libvirt.virsh("net-undefine", name)
    libvirt.run("rm", "-rf", "/run/vifplug", "/run/vifplug.hook", "/run/vifplug.hook.network")
    for name in host.devices():
        if name not in keep:
            net.run("ip", "link", "del", name, check=False)
