# SPDX-License-Identifier: Apache-2.0
"""rtnetlink(7)'s messages about IP addresses, as bytes. Does no I/O."""

from __future__ import annotations

import socket
import struct
import sys
from dataclasses import dataclass

from vifplug.kernel.messages.attributes import Attributes, attribute, attributes, text, u32

NEWADDR, DELADDR, GETADDR = 20, 21, 22

IFA_ADDRESS, IFA_LOCAL, IFA_LABEL, IFA_CACHEINFO, IFA_FLAGS, IFA_PROTO = 1, 2, 3, 6, 8, 11
NODAD, DADFAILED, TENTATIVE = 0x02, 0x08, 0x40
# What may be asked for: nodad, home address, mngtmpaddr, noprefixroute, mcautojoin.
_ASKED = NODAD | 0x10 | 0x100 | 0x200 | 0x400
_BY_LINK = bytes([3])  # IFAPROT_KERNEL_LL
_IFA_KEPT = (IFA_ADDRESS, IFA_LOCAL, 4, 5, IFA_CACHEINFO, 9, IFA_PROTO)

_ADDRESS = struct.Struct("=BBBBI")


def address_request(index: int) -> bytes:
    """Return the body of a request for a device's addresses."""
    return _ADDRESS.pack(0, 0, 0, 0, index)


@dataclass(frozen=True)
class Address:
    """One IP address of a device."""

    index: int
    family: int
    length: int
    scope: int
    flags: int
    found: Attributes

    @classmethod
    def decode(cls, body: bytes) -> Address:
        """Return the address that a message tells of."""
        family, length, flags, scope, index = _ADDRESS.unpack_from(body)
        found = tuple(attributes(body, _ADDRESS.size))
        wide = dict(found).get(IFA_FLAGS)
        flags = int.from_bytes(wide, sys.byteorder) if wide else flags
        return cls(index, family, length, scope, flags, found)

    @property
    def name(self) -> str:
        """The address with its prefix length."""
        found = dict(self.found)
        raw = found.get(IFA_LOCAL) or found[IFA_ADDRESS]
        return f"{socket.inet_ntop(self.family, raw)}/{self.length}"

    @property
    def by_link(self) -> bool:
        """Whether the kernel made it because the link came up: each link has one of its own."""
        found = dict(self.found)
        raw, proto = found[IFA_ADDRESS], found.get(IFA_PROTO)
        if self.family != socket.AF_INET6 or raw[:2] != b"\xfe\x80":
            return False
        # Before Linux 5.18 nobody says who made it; the kernel's is of the MAC address (EUI-64).
        return proto == _BY_LINK if proto else raw[11:13] == b"\xff\xfe"

    @property
    def trusted(self) -> bool:
        """Whether it is an IPv6 address that duplicate address detection (RFC 4862) let pass."""
        return self.family == socket.AF_INET6 and not self.flags & (TENTATIVE | DADFAILED)

    def body(self, index: int, label: str | None = None, *, flags: int = 0) -> bytes:
        """Return the body that gives a device this address, or takes it.

        ``label`` is the one that it shall have, ``flags`` come besides its own.
        """
        flags |= self.flags & _ASKED
        kept = [attribute(kind, value) for kind, value in self.found if kind in _IFA_KEPT]
        if label is not None:
            kept.append(attribute(IFA_LABEL, text(label)))
        head = _ADDRESS.pack(self.family, self.length, flags & 0xFF, self.scope, index)
        return head + b"".join(kept) + attribute(IFA_FLAGS, u32(flags))

    def label(self, old: str, new: str) -> str | None:
        """Return the label that it has on another device: eth1:web becomes br100:web."""
        raw = dict(self.found).get(IFA_LABEL)
        if raw is None:
            return None
        label = raw.rstrip(b"\0").decode(errors="replace")
        moved = new + label.removeprefix(old)
        return moved if label.startswith(old) and len(moved) < 16 else new
