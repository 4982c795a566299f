# SPDX-License-Identifier: Apache-2.0
"""A host with a VIF of one kind and its guest, its own network and another one."""

from __future__ import annotations

import contextlib
import os
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.actors.room import Room
from tests.actors.shapes import ADDRESS, ID, INSTANCE, MACVTAP, QBR, TAP, Shape
from tests.libvirts_tap import LibvirtsTap
from vifplug.testing import (
    Capture,
    CommandFailed,
    IndexRange,
    Libvirt,
    NetworkNamespace,
    OpenVSwitch,
    TapEnd,
    veth,
)
from vifplug.testing.dumps import differences
from vifplug.testing.shell import Shell

WITHIN = 60.0
"""Seconds in which a busy machine does everything."""

_SOURCE = bytes.fromhex(ADDRESS.replace(":", ""))
_PORT, _LENGTH = 4445, 22
_HEADER = 10
"""Bytes before a frame that a macvtap takes."""

_OF_THE_BRIDGE = ("bridge_id", "root_id", "designated_bridge", "designated_port", "id", "no")
"""What a port repeats of its bridge, and its number there."""


class MacvtapEnd:
    """A macvtap as libvirt makes it for a guest, and the guest's end of it."""

    def __init__(self, namespace: NetworkNamespace, card: str) -> None:
        namespace.ip("link", "add", "link", card, "name", MACVTAP, "address", ADDRESS,
                     "up", "type", "macvtap", "mode", "vepa")  # fmt: skip
        (link,) = namespace.ip_json("link", "show", MACVTAP)
        self._file = os.open(f"/dev/tap{link['ifindex']}", os.O_RDWR | os.O_CLOEXEC)

    def send(self, frame: bytes) -> None:
        """Send a frame as the guest."""
        os.write(self._file, bytes(_HEADER) + frame)

    def close(self) -> None:
        """End the guest."""
        os.close(self._file)


class Scene:
    """A host, its VIF and the VIF's guest.

    ``right`` and ``wrong`` hear the frames of the VIF's network and of another one, from outside
    of the host. A guest of libvirt's sends nothing by itself.
    """

    def __init__(self, shape: Shape, folder: Path, stack: contextlib.ExitStack) -> None:
        self.shape, self._stack = shape, stack
        first = stack.enter_context(IndexRange()).first if shape.vif_type == "macvtap" else None
        self.host = stack.enter_context(NetworkNamespace(ifindex_from=first))
        self.vifplug = Shell(self.host, folder)
        self.folder = folder
        self._outside = stack.enter_context(NetworkNamespace())
        self.ovs: OpenVSwitch | None = None
        if shape.port:
            self.ovs = stack.enter_context(OpenVSwitch(self.host))
            self.vifplug.configure("vifplug_ovs", ovsdb_connection=self.ovs.endpoint)
        for group, options in shape.settings.items():
            self.vifplug.configure(group, **options)
        for bridge, wire in ((shape.place, "right"), (shape.wrong, "wrong")):
            self._lay(bridge, wire)
        self.right = stack.enter_context(Capture(self._outside, "right"))
        self.wrong = stack.enter_context(Capture(self._outside, "wrong"))
        self.libvirt: Libvirt | None = None
        self._rooms: list[Room] = []
        self._guest: TapEnd | MacvtapEnd | None = None
        self._number = 0

    def _lay(self, bridge: str, wire: str) -> None:
        """Make a network: a bridge with a wire to the outside, or a card which is that wire."""
        if self.shape.vif_type == "macvtap":
            veth(self.host, bridge, self._outside, wire)
            return
        veth(self.host, f"{wire}-in", self._outside, wire)
        self.make_bridge(bridge)

    def make_bridge(self, bridge: str) -> None:
        """Make one of the networks' bridges, with its wire, as the host's own services do."""
        wire = "right-in" if bridge == self.shape.place else "wrong-in"
        if self.ovs:
            self.ovs.add_bridge(bridge)
            self.ovs.vsctl("add-port", bridge, wire)
            self.host.ip("link", "set", bridge, "up")
        else:
            self.host.ip("link", "add", bridge, "type", "bridge", "forward_delay", "0")
            self.host.ip("link", "set", wire, "master", bridge)
            self.host.ip("link", "set", bridge, "up")

    def delete_bridge(self, bridge: str) -> None:
        """Delete one of the networks' bridges."""
        if self.ovs:
            self.ovs.vsctl("del-br", bridge)
        else:
            self.host.ip("link", "del", bridge)

    def room(self, *, udev: bool = False) -> Room:
        """Return the room of this host's services."""
        if not self._rooms:
            self._rooms.append(self._stack.enter_context(Room(self.host, udev=udev)))
        return self._rooms[0]

    def start_libvirt(self) -> None:
        """Start a libvirtd, which then has the guest."""
        environment = self.ovs.environment if self.ovs else None
        self.libvirt = self._stack.enter_context(Libvirt(self.host, environment=environment))
        self.vifplug.configure("vifplug", libvirt_uri=self.libvirt.uri, virt_type="qemu")
        self.libvirt.virsh("capabilities")  # it looks at each QEMU first

    def plug(self) -> None:
        """Plug the VIF and attach its guest."""
        self.file = self.vifplug.file(self.shape.vif)
        done = self.vifplug("plug", self.file)
        assert done.returncode == 0, done.stderr
        if self.libvirt:
            xml = self.vifplug("xml", self.file)
            assert xml.returncode == 0, xml.stderr
            self.libvirt.start_guest(xml.stdout, name=INSTANCE["name"])
        else:
            self._guest = self._attached()
        code, said = self.check()
        assert code == 0, said

    def _attached(self) -> TapEnd | MacvtapEnd:
        if self.shape.vif_type == "macvtap":
            end = MacvtapEnd(self.host, self.shape.place)
            self._stack.callback(self.host.ip, "link", "del", MACVTAP)
            self._stack.callback(end.close)
            return end
        if not self.shape.libvirts:
            return self._stack.enter_context(TapEnd(self.host, TAP))
        tap = self._stack.enter_context(LibvirtsTap(self.host, TAP, address=ADDRESS))
        self.host.ip("link", "set", TAP, "up")
        if self.shape.port != TAP:
            bridge = QBR if self.shape.port else self.shape.place
            self.host.ip("link", "set", TAP, "master", bridge)
        elif self.ovs:  # libvirt makes its port too
            ids = (f"iface-id={ID}", f"vm-id={INSTANCE['uuid']}", f'attached-mac="{ADDRESS}"')
            words = [f"external_ids:{each}" for each in (*ids, "iface-status=active")]
            self.ovs.vsctl("add-port", "br-int", TAP, "--", "set", "Interface", TAP, *words)
        return tap

    def check(self) -> tuple[int, str]:
        """Return the exit status of ``vifplug check``, and what it prints."""
        done = self.vifplug("check", self.file)
        return done.returncode, done.stdout + done.stderr

    # What the guest reaches.

    def _send(self) -> None:
        self._number += 1
        if self._guest:
            with contextlib.suppress(OSError):  # a device that is down, or that goes
                self._guest.send(_frame(self._number))

    @contextlib.contextmanager
    def sending(self) -> Iterator[None]:
        """Have the guest send all the time, for the length of a block."""
        ended = threading.Event()

        def send() -> None:
            while not ended.wait(0.005):
                self._send()

        thread = threading.Thread(target=send)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def reaches(self, *, within: float) -> bool:
        """Whether a frame that the guest sends from now on arrives in its network."""
        if not self._guest:
            return True
        self.right.frames(0)
        after = self._number
        until = time.monotonic() + within
        while time.monotonic() < until:
            self._send()
            for frame in self.right.frames(0.05):
                if (_number(frame) or 0) > after:
                    return True
        return False

    def went_wrong(self) -> int:
        """Return how many frames of the guest have come to the other network, since last asked."""
        return sum(_number(frame) is not None for frame in self.wrong.frames(0.2))

    def where(self) -> str:
        """Return the bridge or card that the guest's device is on; nothing if on none."""
        if self.ovs and self.shape.name != "hybrid":
            with contextlib.suppress(CommandFailed):
                return self.ovs.vsctl("port-to-br", self.shape.tap).strip()
            return ""
        with contextlib.suppress(CommandFailed):
            (link,) = self.host.ip_json("link", "show", self.shape.tap)
            return str(link.get("master") or link.get("link") or "")
        return ""

    def settle(self) -> None:
        """Wait until nothing of the host's devices has changed for a second, but not for ever."""
        began = quiet = time.monotonic()
        before = ""
        while time.monotonic() < min(quiet + 1.0, began + WITHIN / 3):
            now = self.host.run("ip", "address").stdout
            if now != before:
                before, quiet = now, time.monotonic()
            time.sleep(0.1)

    # How the VIF is.

    def state(self) -> dict[str, Any]:
        """Return all that is set of the VIF's devices and of its port."""
        everything = self.host.everything()
        devices = [name for name in everything["links"] if self._is_vifs(name)]
        found: dict[str, Any] = {}
        for name in devices:
            link = {**everything["links"][name]}
            for key in ("ifindex", "link_index", "link_netnsid", "inet6_addr_gen_mode"):
                link.pop(key, None)
            port = link.get("linkinfo", {}).get("info_slave_data", {})
            for key in _OF_THE_BRIDGE:
                port.pop(key, None)
            if name == QBR:  # its address is its ports', and no use is made of it
                link.pop("address")
                link.pop("linkinfo")
            found[name] = {
                "link": link,
                "addresses": everything["addresses"][name],
                "ipv6": everything["sysctls"].get(f"net/ipv6/conf/{name}/disable_ipv6"),
            }
        if self.ovs:
            rows = self.ovs.everything()
            for table in ("Port", "Interface"):
                row = {**rows[table].get(self.shape.port, {})}
                for key in ("_uuid", "interfaces"):
                    row.pop(key, None)
                # A port of libvirt's that is made again is ours.
                ids = {**row.get("external_ids", {})}
                for key in ("vifplug", "vifplug-id", "vm-id", "vm-uuid"):
                    ids.pop(key, None)
                if row:
                    row["external_ids"] = ids
                    row.get("other_config", {}).pop("transient", None)
                found[f"{table} {self.shape.port}"] = row
            found["on"] = self.where()
        return found

    def _is_vifs(self, name: str) -> bool:
        return name in self.shape.devices or (self.libvirt is not None and name.startswith("macv"))

    def differs(self, before: dict[str, Any]) -> list[str]:
        """Return in what ways the VIF's devices and port differ from before."""
        return differences(before, self.state())


def _frame(number: int) -> bytes:
    """Return a packet of the guest to all of its network, UDP over IPv4, with a number."""
    body = struct.pack("!HHHH", _PORT, _PORT, 8 + _LENGTH, 0) + number.to_bytes(_LENGTH, "big")
    words = [0x4500, 20 + len(body), 0, 0, 0x4011, 0, 0x0A00, 5, 0x0A00, 0xFF]
    total = sum(words)
    words[5] = 0xFFFF - (total % 0xFFFF)
    return b"\xff" * 6 + _SOURCE + b"\x08\x00" + struct.pack("!10H", *words) + body


def _number(frame: bytes) -> int | None:
    """Return the number of a packet of the guest; None for another frame."""
    if frame[6:14] != _SOURCE + b"\x08\x00" or frame[34:38] != struct.pack("!HH", _PORT, _PORT):
        return None
    return int.from_bytes(frame[42 : 42 + _LENGTH], "big")
