# SPDX-License-Identifier: Apache-2.0
"""A real host on which a history can happen: the kernel, an Open vSwitch, and forked daemons."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import shutil
import struct
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg

from tests.histories.acts import LINUX_BRIDGES
from tests.ovs.races import racing
from vifplug import GenericVIFDriver
from vifplug.guest.interface import Interface
from vifplug.kernel import namespace as namespaces
from vifplug.model.host import Host
from vifplug.plugin import VIFPlugin
from vifplug.testing import CommandFailed, NetworkNamespace, OpenVSwitch
from vifplug.testing.configured import configured, context_of, fork
from vifplug.testing.faults.saboteur import BEFORE, Saboteur
from vifplug.testing.openvswitch import SWITCH
from vifplug_bridge.plugin import BridgePlugin
from vifplug_ovs.plugin import OvsPlugin
from vifplug_ovs.vswitchd import OpenSwitch
from vifplug_vepa.macvtap import MacvtapPlugin

PLUGINS: tuple[type[VIFPlugin], ...] = (BridgePlugin, OvsPlugin, MacvtapPlugin)
WIRES = ("eth9", "eth8", "eth7")
_TUNSETIFF, _TAP, _EXCLUSIVE = 0x400454CA, 0x0002 | 0x1000 | 0x4000, 0x8000
_DEVICES = "".join(
    f"link add {name} address f2:00:00:00:00:{2 * n:02x} type veth "
    f"peer name {name.replace('eth', 'wire')}\n"
    f"link set {name} up\nlink set {name.replace('eth', 'wire')} up\n"
    for n, name in enumerate(WIRES)
)
_FREE = """
link add brfree address 02:00:00:00:0b:02 type bridge forward_delay 0
link set brfree up
"""


@dataclass
class _Guest:
    descriptor: int
    port: str = ""


class RealMachine:
    """The real host. Use :func:`real_machine`."""

    def __init__(
        self, namespace: NetworkNamespace, ovs: OpenVSwitch, saboteur: Saboteur, config: Any
    ) -> None:
        self.namespace, self.ovs, self._saboteur, self._config = namespace, ovs, saboteur, config
        self._guests: dict[str, _Guest] = {}
        self.driver = GenericVIFDriver()
        self._batch(_DEVICES + _FREE)
        ovs.add_bridge("br-int")

    @functools.cached_property
    def has_vlans(self) -> bool:
        """Whether this kernel has VLAN devices."""
        with contextlib.suppress(CommandFailed):
            vlan = ("name", "try", "type", "vlan", "id", "9")
            self.namespace.ip("link", "add", "link", "eth9", *vlan)
            self.namespace.ip("link", "del", "try")
            return True
        return False

    def begin(self, *, create_tap: bool) -> None:
        """Make the host what it is before a history."""
        for vif_id in tuple(self._guests):
            self.stop(vif_id)
        gone = [word for name in self._bridges() for word in ("--", "del-br", name)]
        self.ovs.vsctl(*gone[1:], "--", "add-br", "br-int", "--", "set", "bridge", "br-int",
                       "datapath_type=netdev")  # fmt: skip
        self._forget_links()
        self._config.config(group="vifplug_bridge", create_tap=create_tap)
        self.driver = GenericVIFDriver()

    def host(self) -> Host:
        return self.driver.whole_host()

    def arm(self, kill_at: int) -> None:
        for plugin in PLUGINS:
            if context_of(plugin).channel is None or not _runs(plugin):
                fork(plugin)
        if kill_at < 0:
            self._saboteur.rest()
        else:
            self._saboteur.arm(kill_at, BEFORE)

    def start(self, vif_id: str, interface: Interface) -> None:
        name = str(interface.target)
        if vif_id in self._guests:
            return
        if interface.type == "ethernet":
            if self._kind(name) == "tun":
                with contextlib.suppress(OSError):
                    self._guests[vif_id] = _Guest(_open(name, 0))
            return
        if interface.type != "bridge":
            return
        bridge, switched = dict(interface.source)["bridge"], interface.virtualport
        there = bridge in self._bridges() if switched else self._kind(bridge) == "bridge"
        if self._kind(name) or not there or self._has_port(name):
            return
        mtu = interface.mtu or (1500 if switched else self._link(bridge)["mtu"])
        guest = _Guest(_open(name, _EXCLUSIVE), name if switched else "")
        self._guests[vif_id] = guest
        self._batch(f"link set {name} address fe{interface.mac[2:]} mtu {mtu}\n"
                    + ("" if switched else f"link set {name} master {bridge}\n")
                    + f"link set {name} up\n")  # fmt: skip
        if switched:
            ids = {"attached-mac": interface.mac, "iface-status": "active", "vm-id": vif_id,
                   "iface-id": dict(switched.parameters)["interfaceid"]}  # fmt: skip
            pairs = [f'external_ids:{key}="{value}"' for key, value in ids.items()]
            self.ovs.vsctl("add-port", bridge, name, "--", "set", "Interface", name, *pairs)

    def stop(self, vif_id: str) -> None:
        guest = self._guests.pop(vif_id, None)
        if guest is None:
            return
        os.close(guest.descriptor)
        if guest.port:
            self.delete_port(guest.port)

    def runs(self, vif_id: str) -> bool:
        return vif_id in self._guests

    def reboot(self) -> None:
        for guest in self._guests.values():
            os.close(guest.descriptor)
        self._guests.clear()
        self._forget_links()
        self.driver = GenericVIFDriver()
        for plugin in PLUGINS:
            fork(plugin)
        self.ovs.kill(SWITCH)
        self.ovs.start(SWITCH)
        self.ovs.vsctl("set", "Open_vSwitch", ".", "external_ids:boot=again", timeout=60)

    def nomaster(self, name: str) -> None:
        self._ip("link", "set", name, "nomaster")

    def set_mtu(self, name: str, mtu: int) -> None:
        self._ip("link", "set", name, "mtu", str(mtu))

    def rename(self, name: str, new: str) -> None:
        self._ip("link", "set", name, "name", new)

    def delete_port(self, name: str) -> None:
        self.ovs.vsctl("--if-exists", "del-port", name)

    def set_tag(self, name: str, tag: int) -> None:
        if self._has_port(name):
            self.ovs.vsctl("set", "Port", name, f"tag={tag}")

    def delete_bridge(self, name: str) -> None:
        if name in self._bridges():
            self.ovs.vsctl("del-br", name)
            self._gone(name)
        elif name in LINUX_BRIDGES:
            self._ip("link", "del", name, "type", "bridge")

    def _forget_links(self) -> None:
        """Take away all devices but those of the switch's bridges, and /run; make the first."""
        kept = {"lo", "ovs-netdev", *self._bridges()}
        names = {link["ifname"] for link in self.namespace.ip_json("link")} - kept
        gone = "".join(f"link del {name}\n" for name in sorted(names))
        with contextlib.suppress(CommandFailed):  # the other end of a pair goes with the first
            self.namespace.run("ip", "-force", "-batch", "-", input=gone)
        shutil.rmtree(namespaces.folder(cfg.CONF.vifplug.lock_path), ignore_errors=True)
        self._batch(_DEVICES + _FREE)

    def _bridges(self) -> set[str]:
        return set(self.ovs.vsctl("list-br").split())

    def _ports(self, bridge: str) -> list[str]:
        return self.ovs.vsctl("list-ports", bridge).split()

    def _has_port(self, name: str) -> bool:
        return any(name in self._ports(bridge) for bridge in self._bridges())

    def _gone(self, name: str) -> None:
        until = time.monotonic() + 20
        while self._kind(name) and time.monotonic() < until:
            time.sleep(0.005)

    def _link(self, name: str) -> Any:
        found = [x for x in self.namespace.ip_json("-d", "link") if x["ifname"] == name]
        return found[0] if found else None

    def _kind(self, name: str) -> str:
        link = self._link(name)
        return str(link.get("linkinfo", {}).get("info_kind", "other")) if link else ""

    def _ip(self, *words: str) -> None:
        with contextlib.suppress(CommandFailed):
            self.namespace.ip(*words)

    def _batch(self, commands: str) -> None:
        self.namespace.run("ip", "-batch", "-", input=commands)


def _runs(plugin: type[VIFPlugin]) -> bool:
    channel = context_of(plugin).channel
    if channel is None:
        return False
    try:
        os.kill(int(channel.pid), 0)
        state = Path(f"/proc/{int(channel.pid)}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, TypeError):
        return False
    return state != "Z"


def _open(tap: str, flags: int) -> int:
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", tap.encode(), _TAP | flags))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


@contextlib.contextmanager
def real_machine() -> Iterator[RealMachine]:
    """Make a host in a namespace that this thread is in, with the daemons of all plugins.

    The daemons make devices first, so that their steps are those of the simulated ones.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="histories-")))
        namespace = stack.enter_context(NetworkNamespace(enter=True))
        ovs = stack.enter_context(OpenVSwitch(namespace))
        settings = {
            "vifplug": {"libvirt_version": "9.0.0", "virt_type": "qemu",
                        "lock_path": str(folder / "locks")},
            "vifplug_bridge": {"remove_unused": "true"},
            "vifplug_vepa": {"remove_unused": "true"},
            "vifplug_ovs": {"ovsdb_connection": ovs.endpoint, "remove_unused": "true",
                            "datapath_type": "netdev"},
        }  # fmt: skip
        config = stack.enter_context(configured(folder, *PLUGINS, settings=settings))
        patching = stack.enter_context(pytest.MonkeyPatch.context())
        racing(patching, always=False)
        saboteur = Saboteur(patching, switch=OpenSwitch)
        for plugin in PLUGINS:
            fork(plugin)
            stack.callback(context_of(plugin).stop)
        yield RealMachine(namespace, ovs, saboteur, config)
