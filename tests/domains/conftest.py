# SPDX-License-Identifier: Apache-2.0
"""A host with a libvirtd, on which a person runs vifplug, and guests that are off at first."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
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

    def install(self) -> None:
        """Install the hook, and have libvirtd see it."""
        self.vifplug("libvirt-hook", "--install")
        self.libvirt.reload()

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
    libvirt.run("rm", "-rf", "/run/vifplug", "/run/vifplug.hook")
    for name in host.devices():
        if name not in keep:
            net.run("ip", "link", "del", name, check=False)
