# SPDX-License-Identifier: Apache-2.0
"""A real host with one VIF of each sort, drawn by the command in all ways."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vifplug.testing import Libvirt, NetworkNamespace, OpenVSwitch, TapEnd, veth
from vifplug.testing.shell import Shell

MARKUP = "<script>document.title='taken'</script> \"]]>'&amp;\\"
"""A guest's name that no way to draw may take for more than a name."""

NAMES = ("web", "off", "switched", "filtered", "direct", "drifted", "markup")
IDS = {name: f"{n}b6a9d0e-7a3c-4a6e-9d55-3f1f0a3c2b11" for n, name in enumerate(NAMES)}
TAPS = {name: f"tap{IDS[name][:11]}" for name in NAMES}
WAYS = ("tree", "dot", "svg", "html")


@dataclass(frozen=True, kw_only=True)
class Scene:
    """The host's shell, the files that it has drawn, and what it says for programs."""

    shell: Shell
    drawn: dict[str, Path]
    data: dict[str, Any]

    @property
    def nodes(self) -> dict[str, dict[str, Any]]:
        """All that is drawn, by its name."""
        return {node["name"]: node for node in self.data["nodes"]}

    @property
    def edges(self) -> set[tuple[str, str]]:
        """What is connected, by the names of both ends."""
        names = {node["key"]: node["name"] for node in self.data["nodes"]}
        return {(names[left], names[right]) for left, right in self.data["edges"]}


def vif(name: str, vif_type: str = "bridge", *, guest: str | None = None,
        details: dict[str, Any] | None = None, **network: Any) -> dict[str, Any]:  # fmt: skip
    address = f"fa:16:3e:11:22:0{NAMES.index(name)}"
    found = {"id": IDS[name], "vif_type": vif_type, "address": address, "network": network}
    if guest:
        found["instance"] = {"name": guest}
    return {**found, "details": details} if details else found


VIFS = [
    vif("web", bridge="br100", should_create_bridge=True, interface="eth1"),
    vif("off", bridge="br100", should_create_bridge=True, interface="eth1"),
    vif("switched", "ovs", bridge="br-int", details={"ovs_create_tap": True}),
    vif("filtered", "ovs", bridge="br-int", details={"ovs_hybrid_plug": True}),
    vif("direct", "macvtap", interface="eth3"),
    vif("drifted", "ovs", bridge="br-int", details={"ovs_create_tap": True}, guest="lost"),
    vif("markup", "ovs", bridge="br-int", details={"ovs_create_tap": True}, guest=MARKUP),
]  # fmt: skip


@contextmanager
def scene(folder: Path) -> Iterator[Scene]:
    """A host with these VIFs, drawn into a folder."""
    with (
        NetworkNamespace() as host,
        NetworkNamespace() as wire,
        OpenVSwitch(host) as ovs,
        Libvirt(host) as libvirt,
    ):
        libvirt.virsh("capabilities")  # it looks at each QEMU first
        for number in (1, 2, 3):
            veth(host, f"eth{number}", wire, f"wire{number}")
        _switch(ovs)
        shell = Shell(host, folder)
        shell.configure("vifplug", libvirt_uri=libvirt.uri, virt_type="qemu")
        shell.configure("vifplug_ovs", ovsdb_connection=ovs.endpoint)
        done = shell("plug", shell.file(VIFS))
        assert done.returncode == 0, done.stderr
        # All but the last have a guest.
        *xmls, _ = shell("xml", shell.file(VIFS)).stdout.split("</interface>\n")[:-1]
        for name, xml in zip(NAMES, xmls, strict=False):
            libvirt.define_guest(f"{xml}</interface>", name=f"{name}-1")
        libvirt.virsh("start", "web-1")
        host.ip("link", "set", TAPS["drifted"], "down")
        with TapEnd(host, TAPS["switched"]):
            yield _drawn(shell, folder)


def _switch(ovs: OpenVSwitch) -> None:
    ovs.add_bridge("br-int")
    ovs.add_bridge("br-ex")
    ovs.vsctl("add-port", "br-ex", "eth4", "--", "set", "Interface", "eth4", "type=internal")
    for bridge, port, peer in (("br-int", "int-br-ex", "phy-br-ex"),
                               ("br-ex", "phy-br-ex", "int-br-ex")):  # fmt: skip
        ovs.vsctl("add-port", bridge, port, "--", "set", "Interface", port, "type=patch",
                  f"options:peer={peer}")  # fmt: skip
    ovs.vsctl("add-port", "br-ex", "gre0", "--", "set", "Interface", "gre0", "type=gre",
              "options:remote_ip=192.0.2.9")  # fmt: skip


def _drawn(shell: Shell, folder: Path) -> Scene:
    drawn = {}
    for way in WAYS:
        path = drawn[way] = folder / f"host.{way}"
        done = shell("topology", "-o", str(path), *(["--draw", "tree"] if way == "tree" else []))
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), (way, done)
    data = json.loads(shell("topology", "-f", "json").stdout)
    return Scene(shell=shell, drawn=drawn, data=data)
