# SPDX-License-Identifier: Apache-2.0
"""Netlink messages and their attributes, as bytes. See netlink(7). Does no I/O."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

ERROR, DONE = 2, 3
REQUEST, ACK, DUMP, INTERRUPTED = 0x1, 0x4, 0x300, 0x10
CREATE_NEW = 0x200 | 0x400  # NLM_F_EXCL | NLM_F_CREATE

NESTED = 1 << 15
_TYPE = 0x3FFF
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
U32 = struct.Struct("=I")


def u32(value: int) -> bytes:
    """Return a 32-bit attribute's payload."""
    return U32.pack(value)


def u8(value: int) -> bytes:
    """Return an 8-bit attribute's payload."""
    return bytes([value])


def u16(value: int) -> bytes:
    """Return a 16-bit attribute's payload."""
    return struct.pack("=H", value)


def text(value: str) -> bytes:
    """Return a text attribute's payload."""
    return value.encode() + b"\0"


def attribute(kind: int, payload: bytes) -> bytes:
    """Return one attribute, padded."""
    size = _ATTRIBUTE.size + len(payload)
    return _ATTRIBUTE.pack(size, kind) + payload + b"\0" * (-size % 4)


def nest(kind: int, *inner: bytes) -> bytes:
    """Return an attribute that holds attributes."""
    return attribute(kind | NESTED, b"".join(inner))


def message(kind: int, flags: int, number: int, body: bytes) -> bytes:
    """Return a whole netlink message."""
    return _HEADER.pack(_HEADER.size + len(body), kind, flags | REQUEST, number, 0) + body


def split(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield (type, flags, sequence number, body) of each message in a datagram."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, flags, number, _ = _HEADER.unpack_from(data, at)
        if length < _HEADER.size:
            return
        yield kind, flags, number, data[at + _HEADER.size : at + length]
        at += (length + 3) & ~3


def attributes(data: bytes, start: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yield (type, payload) of each attribute from a position on."""
    at = start
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size:
            return
        yield kind & _TYPE, data[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3


def nested(data: bytes, start: int = 0) -> dict[int, bytes]:
    """Return by type the payloads of the attributes from a position on, of a type's last one."""
    # As attributes(), without a generator: a device has a hundred of them, and this is most of it.
    found = {}
    at, end, unpack = start, len(data) - _ATTRIBUTE.size, _ATTRIBUTE.unpack_from
    while at <= end:
        length, kind = unpack(data, at)
        if length < 4:
            break
        found[kind & _TYPE] = data[at + 4 : at + length]
        at += (length + 3) & ~3
    return found


def failure(body: bytes) -> tuple[int, str] | None:
    """Return errno and words of an answer that refuses, or None for one that acknowledges.

    The words are the system's, and the kernel's own where it sends any (extended ACK).
    """
    (code,) = struct.unpack_from("=i", body)
    if code == 0:
        return None
    # The refused request's header stands between, without its payload (NETLINK_CAP_ACK).
    said = nested(body, 4 + _HEADER.size).get(1, b"").rstrip(b"\0")
    words = os.strerror(-code)
    return -code, f"{words} ({said.decode(errors='replace')})" if said else words


def number(payload: bytes) -> int:
    """Return the number that a 32-bit attribute holds."""
    (value,) = U32.unpack(payload)
    return int(value)


def as_text(payload: bytes) -> str:
    """Return the text that an attribute holds."""
    return payload.rstrip(b"\0").decode(errors="replace")


REPLACE, EXCLUSIVE, CREATE, APPEND = 0x100, 0x200, 0x400, 0x800

Attributes = tuple[tuple[int, bytes], ...]
