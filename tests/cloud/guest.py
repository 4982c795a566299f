# SPDX-License-Identifier: Apache-2.0
"""A guest of a few frames at its end of a tap: DHCP, ARP, pings, and frames that it forges."""

from __future__ import annotations

import contextlib
import itertools
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

from vifplug.testing import NetworkNamespace, TapEnd

BROADCAST = "ff:ff:ff:ff:ff:ff"
_IP, _ARP = b"\x08\x00", b"\x08\x06"
_UDP, _ICMP = 17, 1
_DISCOVER, _REQUEST = 1, 3
_NUMBERS = itertools.count(1)


def mac(text: str) -> bytes:
    """Return a MAC address as in a frame."""
    return bytes.fromhex(text.replace(":", ""))


def checksum(data: bytes) -> int:
    """Return the checksum of a header or message."""
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def packet(source: str, target: str, protocol: int, data: bytes) -> bytes:
    """Return an IPv4 packet."""
    addresses = socket.inet_aton(source) + socket.inet_aton(target)
    fields = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(data), 1, 0, 64, protocol, 0)
    fields = fields[:10] + struct.pack("!H", checksum(fields + addresses))
    return fields + addresses + data


def echo(number: int, *, kind: int = 8) -> bytes:
    """Return an ICMP echo request, or with kind 0 a reply."""
    message = struct.pack("!BBHHH", kind, 0, 0, 77, number) + b"of a guest".ljust(32, b".")
    return message[:2] + struct.pack("!H", checksum(message)) + message[4:]


def arp(operation: int, sender: tuple[str, str], target: tuple[str, str]) -> bytes:
    """Return an ARP message; sender and target are MAC and IP addresses."""
    ends = b"".join(mac(one) + socket.inet_aton(ip) for one, ip in (sender, target))
    return struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation) + ends


class Guest:
    """A guest with the address of a port, for the length of a with block."""

    def __init__(self, host: NetworkNamespace, port: dict[str, Any], tap: str = "") -> None:
        self.mac: str = port["mac_address"]
        self.ip: str = port["fixed_ips"][0]["ip_address"]
        self._end = TapEnd(host, tap or f"tap{port['id'][:11]}")

    def __enter__(self) -> Guest:
        self._end.setUp()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.cleanUp()

    def send(self, kind: bytes, data: bytes, *, to: str = BROADCAST, source: str = "") -> None:
        """Send a frame, with the guest's own MAC address unless another source is named."""
        self._end.send(mac(to) + mac(source or self.mac) + kind + data)

    def wait_for(self, wanted: Callable[[bytes], Any], within: float) -> Any:
        """Return what ``wanted`` says of the first frame that it is true of, or None."""
        until = time.monotonic() + within
        while (left := until - time.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                frame = self._end.receive(left)
                self._answer(frame)
                if found := wanted(frame):
                    return found
        return None

    def _answer(self, frame: bytes) -> None:
        """Answer an ARP request, as each guest does."""
        is_request = frame[12:14] == _ARP and frame[20:22] == b"\0\1"
        if is_request and frame[38:42] == socket.inet_aton(self.ip):
            asker = (frame[22:28].hex(":"), socket.inet_ntoa(frame[28:32]))
            self.send(_ARP, arp(2, (self.mac, self.ip), asker), to=asker[0])

    def dhcp(self, *, within: float = 60.0) -> str | None:
        """Return the address that a DHCP server gives, with DISCOVER and REQUEST sent again."""
        until = time.monotonic() + within
        while time.monotonic() < until:
            if offer := self._dhcp(_DISCOVER, b""):
                server = offer[offer.index(b"\x36\x04") :][:6]
                wish = b"\x32\x04" + offer[58:62] + server
                if granted := self._dhcp(_REQUEST, wish):
                    return socket.inet_ntoa(granted[58:62])
        return None

    def _dhcp(self, kind: int, options: bytes) -> bytes | None:
        number = next(_NUMBERS)
        message = struct.pack("!BBBBIHH16x", 1, 1, 6, 0, number, 0, 0x8000)
        message += mac(self.mac).ljust(208, b"\0") + b"\x63\x82\x53\x63"
        message += bytes((53, 1, kind)) + options + b"\xff"
        datagram = struct.pack("!HHHH", 68, 67, 8 + len(message), 0) + message
        self.send(_IP, packet("0.0.0.0", "255.255.255.255", _UDP, datagram))

        def reply(frame: bytes) -> bytes | None:
            ours = frame[12:14] == _IP and frame[23] == _UDP and frame[34:38] == b"\0\x43\0\x44"
            return frame if ours and frame[46:50] == number.to_bytes(4) else None

        found: bytes | None = self.wait_for(reply, 2)
        return found

    def ping(self, other: Guest, *, source: str = "", ip: str = "", within: float = 60.0) -> bool:
        """Whether a ping comes to another guest; it is sent until it does.

        ``source`` and ``ip`` are forged.
        """

        def send() -> bytes:
            request = echo(next(_NUMBERS) & 0xFFFF)
            self.send(
                _IP, packet(ip or self.ip, other.ip, _ICMP, request), to=other.mac, source=source
            )
            return request

        return _arrives(other, send, within)

    def announces(self, other: Guest, ip: str, *, within: float = 60.0) -> bool:
        """Whether an ARP request with an address comes to another guest; it is sent until then."""

        def send() -> bytes:
            message = arp(1, (self.mac, ip), ("00:00:00:00:00:00", other.ip))
            self.send(_ARP, message)
            return message

        return _arrives(other, send, within)

    def announces_itself(self) -> None:
        """Send a RARP, as QEMU does where a guest arrives."""
        own = mac(self.mac) + bytes(4)
        self.send(b"\x80\x35", struct.pack("!HHBBH", 1, 0x0800, 6, 4, 3) + own + own)

    def offers_addresses(self, other: Guest, *, within: float = 60.0) -> bool:
        """Whether a DHCP server's message comes to another guest; it is sent until then."""

        def send() -> bytes:
            words = b"a DHCP server's %d" % next(_NUMBERS)
            datagram = struct.pack("!HHHH", 67, 68, 8 + len(words), 0) + words
            self.send(_IP, packet(self.ip, other.ip, _UDP, datagram), to=other.mac)
            return words

        return _arrives(other, send, within)

    def reaches_from_vlan(self, other: Guest, vlan: int, *, within: float = 60.0) -> bool:
        """Whether a frame with a tag of the guest's comes to another guest; sent until then."""

        def send() -> bytes:
            words = b"from VLAN %d, %d" % (vlan, next(_NUMBERS))
            frame = vlan.to_bytes(2) + b"\x88\xb5" + words.ljust(50, b".")
            self.send(b"\x81\x00", frame)
            return words

        return _arrives(other, send, within)


def _arrives(guest: Guest, send: Callable[[], bytes], within: float) -> bool:
    """Whether a frame comes to a guest; ``send`` sends it, until then, and returns its text."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        sent = send()
        if guest.wait_for(lambda frame: sent in frame, 0.5):  # noqa: B023
            return True
    return False
