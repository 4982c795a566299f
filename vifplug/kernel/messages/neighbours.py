# SPDX-License-Identifier: Apache-2.0
"""rtnetlink(7)'s messages about neighbours and rules, as bytes. Does no I/O.

Numbers are those of linux/neighbour.h and linux/fib_rules.h.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

from vifplug.kernel.messages.attributes import (
    Attributes,
    as_text,
    attribute,
    attributes,
    nested,
    number,
    u32,
)

NEWNEIGH, DELNEIGH, GETNEIGH, GETRULE = 28, 29, 30, 34

NDA_DST, NDA_LLADDR, NDA_IFINDEX, NDA_PROTOCOL = 1, 2, 8, 12
_PERMANENT, PROXY = 0x80, 0x08
_UNICAST = 1
_KEPT = (NDA_DST, NDA_LLADDR, NDA_PROTOCOL)
_NEIGHBOUR = struct.Struct("=BxxxiHBB")

FRA_IIFNAME, FRA_PRIORITY, FRA_OIFNAME = 3, 6, 17
_RULE = struct.Struct("=BBBBBBBBI")


def neighbour_request(family: int, index: int, *, proxy: bool = False) -> bytes:
    """Return the body of a request for a device's neighbours, or for those that it stands for."""
    head = _NEIGHBOUR.pack(family, 0, 0, PROXY if proxy else 0, 0)
    return head + attribute(NDA_IFINDEX, u32(index))


def proxy_body(address: str, index: int) -> bytes:
    """Return the body that has the host answer for an address on a device, or no more."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    head = _NEIGHBOUR.pack(family, index, _PERMANENT, PROXY, 0)
    return head + attribute(NDA_DST, socket.inet_pton(family, address))


def rule_request(family: int) -> bytes:
    """Return the body of a request for all rules of a family."""
    return _RULE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)


@dataclass(frozen=True)
class Neighbour:
    """One neighbour on a device."""

    index: int
    family: int
    state: int
    flags: int
    kind: int
    found: Attributes

    @classmethod
    def decode(cls, body: bytes) -> Neighbour:
        """Return the neighbour that a message tells of."""
        family, index, state, flags, kind = _NEIGHBOUR.unpack_from(body)
        return cls(index, family, state, flags, kind, tuple(attributes(body, _NEIGHBOUR.size)))

    @property
    def permanent(self) -> bool:
        """Whether a person or a program has set it for good."""
        known = dict(self.found)
        return self.state == _PERMANENT and self.kind == _UNICAST and NDA_LLADDR in known

    @property
    def address(self) -> str:
        """Its IP address."""
        return socket.inet_ntop(self.family, dict(self.found)[NDA_DST])

    @property
    def name(self) -> str:
        """Its IP address and its MAC address."""
        return f"{self.address} {dict(self.found)[NDA_LLADDR].hex(':')}"

    def body(self, index: int) -> bytes:
        """Return the body that gives a device this neighbour, or takes it."""
        kept = b"".join(attribute(kind, value) for kind, value in self.found if kind in _KEPT)
        return _NEIGHBOUR.pack(self.family, index, self.state, self.flags, self.kind) + kept


def rule_of(body: bytes, device: str) -> str | None:
    """Return a rule of a message in a few words, if it names a device; else None."""
    known = nested(body, _RULE.size)
    ways = [
        word
        for word, kind in (("iif", FRA_IIFNAME), ("oif", FRA_OIFNAME))
        if as_text(known.get(kind, b"")) == device
    ]
    priority = number(known[FRA_PRIORITY]) if FRA_PRIORITY in known else 0
    return f"rule {priority} ({', '.join(ways)})" if ways else None
