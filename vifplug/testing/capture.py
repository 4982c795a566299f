# SPDX-License-Identifier: Apache-2.0
"""Frames of an interface in a namespace, and the guest's end of a tap device."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Iterator

from vifplug.testing.fixture import PlainFixture
from vifplug.testing.namespace import CommandFailed, NetworkNamespace

_ETH_P_ALL = 3
_ETH_P_8021Q = 0x8100
_SOL_PACKET = 263
_PACKET_ADD_MEMBERSHIP, _PACKET_AUXDATA, _PACKET_MR_PROMISC = 1, 8, 1
_TP_STATUS_VLAN_VALID, _TP_STATUS_VLAN_TPID_VALID = 0x10, 0x40
_SO_RCVBUFFORCE = 33

_TUNSETIFF, _TUNGETVNETHDRSZ = 0x400454CA, 0x800454D7
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR, _IFF_MULTI_QUEUE = 0x0002, 0x1000, 0x4000, 0x0100

_LONGEST = 65536 + 64
_DHCP_COOKIE = b"\x63\x82\x53\x63"
_BOOTREQUEST, _DHCPDISCOVER, _MESSAGE_TYPE, _PAD, _END = 1, 1, 53, 0, 255

Predicate = Callable[[bytes], bool]


class Capture(PlainFixture):
    """All frames that an interface of a namespace receives and sends, from setUp on.

    A frame is bytes from its destination MAC on, with its VLAN tag. Frames wait in the socket (4
    MiB) until they are asked for, so none is missed between two calls.
    """

    def __init__(self, namespace: NetworkNamespace, interface: str) -> None:
        super().__init__()
        self._namespace = namespace
        self._interface = interface

    def _setUp(self) -> None:  # noqa: N802 (fixtures' name)
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        with self._namespace.entered():
            # Protocol 0: hear nothing, of any interface, before the bind below.
            self._socket = socket.socket(socket.AF_PACKET, kind, 0)
            self.addCleanup(self._socket.close)
            index = socket.if_nametoindex(self._interface)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 4 << 20)
        self._socket.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
        self._socket.bind((self._interface, _ETH_P_ALL))
        everyone = struct.pack("iHH8x", index, _PACKET_MR_PROMISC, 0)
        self._socket.setsockopt(_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, everyone)

    def wait_for(self, predicate: Predicate, timeout: float) -> bytes:
        """Return the first frame that predicate is true of; TimeoutError after timeout seconds."""
        seen = 0
        for frame in self._until(time.monotonic() + timeout):
            if predicate(frame):
                return frame
            seen += 1
        raise TimeoutError(
            f"{self._interface}: none of the {seen} frames in {timeout} s is the one waited for"
        )

    def frames(self, seconds: float) -> list[bytes]:
        """Return the frames that already wait and those of the next seconds."""
        return list(self._until(time.monotonic() + seconds))

    def send(self, frame: bytes) -> None:
        """Send a frame out of the interface."""
        self._socket.send(frame)

    def _until(self, deadline: float) -> Iterator[bytes]:
        while True:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self._socket], [], [], left)[0]:
                return
            data, extra, _, _ = self._socket.recvmsg(_LONGEST, socket.CMSG_SPACE(20))
            yield _with_tag(data, extra)


def _with_tag(frame: bytes, extra: list[tuple[int, int, bytes]]) -> bytes:
    """Put the VLAN tag back that the kernel took off a received frame."""
    for level, kind, value in extra:
        if (level, kind) != (_SOL_PACKET, _PACKET_AUXDATA):
            continue
        status, tci, protocol = struct.unpack("I12xHH", value[:20])
        if status & _TP_STATUS_VLAN_VALID:
            if not status & _TP_STATUS_VLAN_TPID_VALID:
                protocol = _ETH_P_8021Q
            return frame[:12] + struct.pack("!HH", protocol, tci) + frame[12:]
    return frame


def dhcp_discover_from(mac: str) -> Predicate:
    """Return a predicate for DHCP's discover messages over IPv4, tagged or not, of a MAC.

    Both the frame's source and the client's hardware address in the message have to be mac.
    """
    wanted = bytes.fromhex(mac.replace(":", ""))

    def is_discover(frame: bytes) -> bool:
        source, rest = frame[6:12], frame[12:]
        while rest[:2] in (b"\x81\x00", b"\x88\xa8"):
            rest = rest[4:]
        if source != wanted or rest[:2] != b"\x08\x00" or len(rest) < 22:
            return False
        packet = rest[2:]
        udp = packet[(packet[0] & 0x0F) * 4 :]
        if packet[0] >> 4 != 4 or packet[9] != socket.IPPROTO_UDP:
            return False
        if udp[:4] != struct.pack("!HH", 68, 67):
            return False
        message = udp[8:]
        if message[:1] != bytes((_BOOTREQUEST,)) or message[28:34] != wanted:
            return False
        return message[236:240] == _DHCP_COOKIE and _message_type(message[240:]) == _DHCPDISCOVER

    return is_discover


def _message_type(options: bytes) -> int | None:
    at = 0
    while at + 1 < len(options) and options[at] != _END:
        if options[at] == _PAD:
            at += 1
            continue
        if options[at] == _MESSAGE_TYPE and at + 2 < len(options):
            return options[at + 2]
        at += 2 + options[at + 1]
    return None


class TapEnd(PlainFixture):
    """The guest's end of a tap device that exists: held open as QEMU does, so carrier comes up.

    ``queues``: how many of the device's queues to attach. The tap keeps the flags it was made with.
    LookupError: no tap of that name in the namespace. ValueError: more than one queue of a device
    without multi_queue. OSError: the kernel's refusal (EBUSY: somebody else is attached).
    """

    def __init__(self, namespace: NetworkNamespace, name: str, *, queues: int = 1) -> None:
        super().__init__()
        self._namespace = namespace
        self._name = name
        self._queues = queues

    def _setUp(self) -> None:  # noqa: N802 (fixtures' name)
        tap = self._tap()
        flags = _IFF_TAP | _IFF_NO_PI
        # The kernel refuses another multi_queue than the device's, and takes vnet_hdr over from
        # whoever attached last.
        if tap["multi_queue"]:
            flags |= _IFF_MULTI_QUEUE
        elif self._queues > 1:
            raise ValueError(f"{self._name} has no multi_queue, so not {self._queues} queues")
        if tap["vnet_hdr"]:
            flags |= _IFF_VNET_HDR
        self._fds: list[int] = []
        self._waiting: deque[bytes] = deque()
        for _ in range(self._queues):
            with self._namespace.entered():
                fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
            self.addCleanup(os.close, fd)
            fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", self._name.encode(), flags))
            self._fds.append(fd)
        self._header = 0
        if tap["vnet_hdr"]:
            size = fcntl.ioctl(self._fds[0], _TUNGETVNETHDRSZ, struct.pack("i", 0))
            self._header = struct.unpack("i", size)[0]

    def _tap(self) -> dict[str, bool]:
        # Asked for first, because TUNSETIFF makes a device that does not exist.
        with contextlib.suppress(CommandFailed):
            for link in self._namespace.ip_json("-d", "link", "show", "dev", self._name):
                info = link.get("linkinfo", {})
                if info.get("info_kind") == "tun" and info["info_data"]["type"] == "tap":
                    return dict(info["info_data"])
        raise LookupError(f"no tap device {self._name} in {self._namespace!r}")

    def send(self, frame: bytes) -> None:
        """Send a frame as the guest, on the first queue."""
        os.write(self._fds[0], bytes(self._header) + frame)

    def receive(self, timeout: float) -> bytes:
        """Return the next frame for the guest, of any queue; TimeoutError after timeout seconds."""
        if not self._waiting:
            for fd in select.select(self._fds, [], [], timeout)[0]:
                self._waiting.append(os.read(fd, _LONGEST)[self._header :])
        if not self._waiting:
            raise TimeoutError(f"{self._name}: no frame in {timeout} s")
        return self._waiting.popleft()
