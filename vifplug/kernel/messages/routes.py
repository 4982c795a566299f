# SPDX-License-Identifier: Apache-2.0
"""Addresses and routes as rtnetlink(7) has them: read, and written again for another device.

Bytes only, nothing that does I/O. All that is not the device's is kept: lifetimes, metrics,
protocol, scope, flags, and attributes that are not known here. Numbers are those of
linux/if_addr.h and linux/rtnetlink.h.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from vifplug.kernel.messages.attributes import Attributes, attribute, attributes, u32

NEWROUTE, DELROUTE, GETROUTE = 24, 25, 26

RTA_DST, RTA_SRC, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_PREFSRC = 1, 2, 4, 5, 6, 7
RTA_MULTIPATH, RTA_CACHEINFO, RTA_TABLE, RTA_EXPIRES, RTA_NH_ID = 9, 12, 15, 23, 30
_CLONED, _ONLINK = 0x200, 0x4
_BY_KERNEL, _LOCAL, _MAIN = 2, 255, 254
_AS_IN_TABLE = 0x2000  # RTM_F_FIB_MATCH: tell the route as it is, not as it is for this address
_STATIC, _LINK, _UNICAST = 4, 253, 1
_TICKS = 100  # USER_HZ, in which a route says when it expires
_TYPES = {2: "local", 3: "broadcast", 4: "anycast", 5: "multicast", 6: "blackhole",
          7: "unreachable", 8: "prohibit", 9: "throw", 10: "nat"}  # fmt: skip
_ROUTE = struct.Struct("=BBBBBBBBI")
_NEXT_HOP = struct.Struct("=HBBi")
Place = tuple[object, ...]
"""Where a route stands: family, table, destination, TOS and metric."""


def route_request(family: int, index: int | None = None) -> bytes:
    """Return the body of a request for the routes of a family, or those through a device."""
    device = b"" if index is None else attribute(RTA_OIF, u32(index))
    return _ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0) + device


def way_request(to: str) -> bytes:
    """Return the body of a question for the route that the host takes to an IP address."""
    family, whole, address = _host(to)
    head = _ROUTE.pack(family, whole, 0, 0, 0, 0, 0, 0, _AS_IN_TABLE)
    return head + attribute(RTA_DST, address)


def way_of(body: bytes) -> tuple[int, bool, bool]:
    """Return the device of a route, whether it stays on the host, and whether it is to one address.

    The device is told by its index.
    """
    head = _ROUTE.unpack_from(body)
    device = dict(attributes(body, _ROUTE.size)).get(RTA_OIF, b"")
    whole = 128 if head[0] == socket.AF_INET6 else 32
    stays = head[7] in _TYPES and _TYPES[head[7]] in ("local", "broadcast", "anycast", "multicast")
    return int.from_bytes(device, sys.byteorder), stays, head[1] == whole


def host_route_body(to: str, index: int) -> bytes:
    """Return the body that makes a host route through a device, or removes it."""
    family, whole, address = _host(to)
    scope = _LINK if family == socket.AF_INET else 0
    head = _ROUTE.pack(family, whole, 0, 0, _MAIN, _STATIC, scope, _UNICAST, 0)
    return head + attribute(RTA_DST, address) + attribute(RTA_OIF, u32(index))


def _host(to: str) -> tuple[int, int, bytes]:
    """Return an address' family, its length in bits, and its bytes."""
    family = socket.AF_INET6 if ":" in to else socket.AF_INET
    address = socket.inet_pton(family, to)
    return family, 8 * len(address), address


@dataclass(frozen=True)
class Route:
    """One route through a device (of an IPv6 route with several next hops, one of them)."""

    index: int
    head: tuple[int, ...]
    found: Attributes

    @classmethod
    def decode(cls, body: bytes, index: int) -> Iterator[Route]:
        """Yield what a message tells of routes through a device; ``index`` 0: of all devices."""
        head = _ROUTE.unpack_from(body)
        found = tuple(attributes(body, _ROUTE.size))
        known = dict(found)
        if head[8] & _CLONED:
            return
        if RTA_MULTIPATH not in known:
            device = int.from_bytes(known.get(RTA_OIF, b""), sys.byteorder)
            if not index or device == index:
                yield cls(device, head, found)
            return
        hops = list(_next_hops(known[RTA_MULTIPATH]))
        at = [device for device, _ in hops]
        if head[0] == socket.AF_INET6:
            for device, raw in hops:
                if not index or device == index:
                    yield cls(device, head, _alone(found, device, raw))
        elif not index or index in at:
            yield cls(index or at[0], head, found)

    @property
    def family(self) -> int:
        """AF_INET or AF_INET6."""
        return self.head[0]

    @property
    def table(self) -> int:
        """The routing table."""
        wide = dict(self.found).get(RTA_TABLE)
        return int.from_bytes(wide, sys.byteorder) if wide else self.head[4]

    @property
    def by_link(self) -> bool:
        """Whether the kernel makes it for each link and address: nobody has to move it."""
        if self.head[5] != _BY_KERNEL:
            return False
        target = dict(self.found).get(RTA_DST, b"")
        of_link = self.family == socket.AF_INET6 and target[:1] in (b"\xfe", b"\xff")
        return self.table == _LOCAL or of_link

    @property
    def place(self) -> Place:
        """Routes of the same place stand one behind the other, and the first is taken."""
        found = dict(self.found)
        metric = found.get(RTA_PRIORITY, u32(0))
        return self.family, self.table, found.get(RTA_DST), self.head[1], self.head[3], metric

    @property
    def devices(self) -> tuple[int, ...]:
        """The indexes of the devices that it goes through."""
        hops = dict(self.found).get(RTA_MULTIPATH)
        return tuple(index for index, _ in _next_hops(hops)) if hops else (self.index,)

    @property
    def on_link(self) -> bool:
        """Whether it needs no other route, as one through a gateway does."""
        return not dict(self.found).keys() & {RTA_GATEWAY, RTA_MULTIPATH, 18}

    @property
    def name(self) -> str:
        """The route in ip-route(8)'s words, without its device and when it expires."""
        family, length, from_length, tos, _, protocol, scope, kind, flags = self.head
        found = dict(self.found)
        words = [_TYPES[kind]] if kind in _TYPES else []
        words.append(_prefix(family, found.pop(RTA_DST, b""), length))
        if from_length:
            words.append(f"from {_prefix(family, found.pop(RTA_SRC, b''), from_length)}")
        for attribute_kind, word in ((RTA_GATEWAY, "via"), (RTA_PREFSRC, "src")):
            if raw := found.pop(attribute_kind, b""):
                words.append(f"{word} {socket.inet_ntop(family, raw)}")
        words += [f"tos {tos:#x}"] if tos else []
        words += [f"table {self.table}"] if self.table != _MAIN else []
        words += [f"proto {protocol}", f"scope {scope}"]
        for attribute_kind, word in ((RTA_PRIORITY, "metric"), (RTA_NH_ID, "nhid")):
            if raw := found.pop(attribute_kind, b""):
                words.append(f"{word} {int.from_bytes(raw, sys.byteorder)}")
        words += ["onlink"] if flags & _ONLINK else []
        if raw := found.pop(RTA_MULTIPATH, b""):
            words.append(f"nexthops {_rewritten(raw, self.index, 0).hex()}")
        left = found.keys() - {RTA_TABLE, RTA_OIF, RTA_CACHEINFO, RTA_EXPIRES}
        return " ".join([*words, *(f"attribute {k} {found[k].hex()}" for k in sorted(left))])

    def body(self, index: int) -> bytes:
        """Return the body that makes this route go through a device, or removes it from there."""
        family, length, from_length, tos, table, protocol, scope, kind, flags = self.head
        changed = {RTA_OIF: u32(index), RTA_CACHEINFO: b""}
        parts = []
        for attribute_kind, value in self.found:
            payload = changed.get(attribute_kind, value)
            if attribute_kind == RTA_MULTIPATH:
                payload = _rewritten(value, self.index, index)
            if attribute_kind == RTA_CACHEINFO and (left := _expires(value)):
                parts.append(attribute(RTA_EXPIRES, u32(left)))
            elif payload:
                parts.append(attribute(attribute_kind, payload))
        head = (family, length, from_length, tos, table, protocol, scope, kind, flags & _ONLINK)
        return _ROUTE.pack(*head) + b"".join(parts)


def _expires(cache: bytes) -> int:
    """Return the seconds that a route has left; 0 for one that stays."""
    (ticks,) = struct.unpack_from("=i", cache, 8)
    return max(int(ticks) // _TICKS, 0)


def _prefix(family: int, raw: bytes, length: int) -> str:
    whole = raw or bytes(16 if family == socket.AF_INET6 else 4)
    return f"{socket.inet_ntop(family, whole)}/{length}"


def _alone(found: Attributes, device: int, hop: bytes) -> Attributes:
    """Return the attributes of an IPv6 route with one of its next hops only.

    The kernel keeps such next hops as routes, and tells of them as one when they are of one place.
    """
    _, _, weight, _ = _NEXT_HOP.unpack_from(hop)
    rest = tuple((kind, value) for kind, value in found if kind != RTA_MULTIPATH)
    if weight:
        return (*rest, (RTA_MULTIPATH, hop))
    return (*rest, (RTA_OIF, u32(device)), *attributes(hop, _NEXT_HOP.size))


def _next_hops(raw: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _NEXT_HOP.size <= len(raw):
        length, _, _, index = _NEXT_HOP.unpack_from(raw, at)
        if length < _NEXT_HOP.size:
            return
        yield index, raw[at : at + length]
        at += (length + 3) & ~3


def _rewritten(raw: bytes, old: int, new: int) -> bytes:
    """Return next hops with another device in place of one, and without the kernel's state."""
    found = b""
    for index, hop in _next_hops(raw):
        length, flags, weight, _ = _NEXT_HOP.unpack_from(hop)
        device = new if index == old else index
        found += _NEXT_HOP.pack(length, flags & _ONLINK, weight, device) + hop[_NEXT_HOP.size :]
        found += b"\0" * (-length % 4)
    return found
