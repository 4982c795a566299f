# SPDX-License-Identifier: Apache-2.0
"""What a guest's network ROM is told on its tap: a lease of DHCP, and a router's advertisement."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Callable

from vifplug.testing import Capture

_ALL_NODES = ipaddress.IPv6Address("ff02::1").packed
_DISCOVER, _OFFER, _REQUEST, _ACK = 1, 2, 3, 5
_HEAD = 14 + 20 + 8
_COOKIE = b"\x63\x82\x53\x63"


def lease(
    tap: Capture, mac: str, address: str, *, gateway: str, server: str, timeout: float
) -> None:
    """Give a guest an address that it asks for; ``server`` has a file for it to boot."""
    for asked, answer in ((_DISCOVER, _OFFER), (_REQUEST, _ACK)):
        frame = tap.wait_for(_message_from(mac, asked), timeout)
        tap.send(_answer(frame, answer, address, gateway, server))


def _message_from(mac: str, kind: int) -> Callable[[bytes], bool]:
    source, wanted = bytes.fromhex(mac.replace(":", "")), bytes((53, 1, kind))

    def is_one(frame: bytes) -> bool:
        asks = frame[12:14] == b"\x08\x00" and frame[36:38] == b"\0C"
        return asks and frame[6:12] == source and wanted in frame[_HEAD + 240 :]

    return is_one


def _answer(frame: bytes, kind: int, address: str, gateway: str, server: str) -> bytes:
    message = bytearray(frame[_HEAD : _HEAD + 236])
    message[0] = 2
    message[16:20] = _packed(address)
    message[20:24] = _packed(server)
    message[108:117] = b"boot.ipxe"
    options = bytes((53, 1, kind, 54, 4)) + _packed(gateway)
    options += bytes((51, 4)) + struct.pack("!I", 3600) + bytes((1, 4, 255, 255, 255, 0, 3, 4))
    body = bytes(message) + _COOKIE + options + _packed(gateway) + b"\xff"
    udp = struct.pack("!HHHH", 67, 68, 8 + len(body), 0) + body
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0)
    addresses = _packed(gateway) + b"\xff" * 4
    head = head[:10] + struct.pack("!H", _sum(head + addresses)) + addresses
    return b"\xff" * 6 + _gateway_mac(frame) + b"\x08\x00" + head + udp


def _gateway_mac(frame: bytes) -> bytes:
    """Return the MAC address of the tap's host side, which follows from the guest's."""
    return b"\xfe" + frame[7:12]


def advertise(tap: Capture, mac: str, prefix: str, *, timeout: float) -> None:
    """Tell a guest that asks the prefix of its network, as the router on its tap's host side."""
    guest = bytes.fromhex(mac.replace(":", ""))
    tap.wait_for(lambda frame: frame[6:12] == guest and frame[54:55] == b"\x85", timeout)
    ours = b"\xfe" + guest[1:]
    source = b"\xfe\x80" + bytes(6) + bytes((ours[0] ^ 2,)) + ours[1:3] + b"\xff\xfe" + ours[3:]
    network = ipaddress.IPv6Network(prefix)
    told = struct.pack("!BBBBIII", 3, 4, network.prefixlen, 0xC0, 3600, 3600, 0)
    told += network.network_address.packed
    body = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + bytes((1, 1)) + ours + told
    pseudo = source + _ALL_NODES + struct.pack("!II", len(body), 58)
    body = body[:2] + struct.pack("!H", _sum(pseudo + body)) + body[4:]
    head = struct.pack("!IHBB", 6 << 28, len(body), 58, 255) + source + _ALL_NODES
    tap.send(b"\x33\x33\0\0\0\x01" + ours + b"\x86\xdd" + head + body)


def of_its_own_mac(prefix: str, mac: str) -> str:
    """Return the IPv6 address that a guest takes of a prefix, by its MAC address."""
    own = bytes.fromhex(mac.replace(":", ""))
    number = int.from_bytes(bytes((own[0] ^ 2,)) + own[1:3] + b"\xff\xfe" + own[3:])
    return str(ipaddress.IPv6Network(prefix)[number])


def _packed(address: str) -> bytes:
    return ipaddress.IPv4Address(address).packed


def _sum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
