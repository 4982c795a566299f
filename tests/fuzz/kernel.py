# SPDX-License-Identifier: Apache-2.0
"""All that is set in a network namespace, read by netlink in some milliseconds, as rows of tables.

Left out is what moves by itself: counters, timers, carrier, and what follows from it.
"""

from __future__ import annotations

import functools
import socket
import struct
from collections.abc import Iterator, Mapping
from typing import Any

from vifplug.kernel.messages import attributes as nl
from vifplug.kernel.netlink import Netlink

Row = Mapping[str, Any]
Rows = dict[tuple[str, str], Row]
"""Rows by table and name."""

_LINK, _ADDRESS, _ROUTE = struct.Struct("=BxHiII"), struct.Struct("=BBBBI"), struct.Struct("=8BI")
_NEIGHBOUR, _QDISC = struct.Struct("=BxxxiHBB"), struct.Struct("=BxxxiIII")
_GETLINK, _GETADDR, _GETROUTE, _GETNEIGH = 18, 22, 26, 30
_GETRULE, _GETQDISC, _GETNETCONF = 34, 38, 82
_EXT_MASK, _SKIP_STATS, _VLANS = 29, 1 << 3, 1 << 1
_AF_BRIDGE = 7

_COLUMNS = {1: "address", 2: "broadcast", 4: "mtu", 5: "lower", 10: "master", 13: "txqlen",
            17: "linkmode", 20: "alias", 27: "group", 31: "tx queues", 32: "rx queues",
            37: "netnsid", 39: "proto_down", 50: "min mtu", 51: "max mtu"}  # fmt: skip
# Statistics, carrier, queueing disciplines, promiscuity, and what a bridge's ports let it do.
_LINK_NOISE = {3, 6, 7, 14, 16, 18, 23, 26, 30, 33, 35, 40, 41, 47, 48, 52, 53, 58, 59, 60, 61,
               63, 64}  # fmt: skip
_FLAG_NOISE = 0x40 | 0x10000 | 0x20000  # RUNNING, LOWER_UP, DORMANT
# A bridge's root, its timers and its learned entries; a port's state and timers.
_BRIDGE_NOISE = {*range(10, 20), 21, 48}
_PORT_NOISE = {1, 13, 14, 15, 16, *range(19, 25), 41}
_LINKINFO, _AF_SPEC, _ALTNAMES, _MASTER = 18, 26, 52, 10
_TENTATIVE, _FOREVER = 0x08 | 0x40 | 0x04, 0xFFFFFFFF
_BY_LINK = b"\3"
_KERNEL, _UNICAST, _PERMANENT, _STATIC = 2, 1, 0x80, 0x40


class Reader:
    """Reads the network namespace of the thread that makes it."""

    def __init__(self) -> None:
        self._netlink = Netlink()

    def close(self) -> None:
        self._netlink.close()

    def rows(self) -> Rows:
        """Return all that is set."""
        found: Rows = {}
        wanted = nl.attribute(_EXT_MASK, nl.u32(_SKIP_STATS))
        names: dict[int, str] = {0: "-"}
        for body in self._dump(_GETLINK, _LINK.pack(0, 0, 0, 0, 0) + wanted):
            index, name, columns = _link(body)
            names[index] = name
            found["link", name] = columns
        found |= _addresses(self._dump(_GETADDR, _ADDRESS.pack(0, 0, 0, 0, 0)), names)
        for family in (socket.AF_INET, socket.AF_INET6):
            header = _ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)
            found |= _routes(self._dump(_GETROUTE, header), names)
            for body in self._dump(_GETRULE, struct.pack("=12B", family, *(11 * [0]))):
                found["rule", body.hex()] = {}
            for body in self._dump(_GETNETCONF, struct.pack("=B3x", family)):
                place = _place(body, names)
                found["netconf", f"{place} {family:d}"] = {"device": place, "values": body.hex()}
        found |= _neighbours(self._dump(_GETNEIGH, _NEIGHBOUR.pack(0, 0, 0, 0, 0)), names)
        header = _NEIGHBOUR.pack(_AF_BRIDGE, 0, 0, 0, 0)
        found |= _neighbours(self._dump(_GETNEIGH, header), names)
        vlans = nl.attribute(_EXT_MASK, nl.u32(_VLANS))
        for body in self._dump(_GETLINK, _LINK.pack(_AF_BRIDGE, 0, 0, 0, 0) + vlans):
            each = nl.nested(body, _LINK.size)
            if _AF_SPEC in each:
                name = nl.as_text(each[3])
                found["vlans", name] = {"device": name, "vlans": each[_AF_SPEC].hex()}
        for body in self._dump(_GETQDISC, _QDISC.pack(0, 0, 0, 0, 0)):
            _, index, handle, parent, _ = _QDISC.unpack_from(body)
            if handle:
                kind = nl.as_text(nl.nested(body, _QDISC.size).get(1, b""))
                name = names.get(index, str(index))
                found["qdisc", f"{name} {handle:x} {parent:x}"] = {"device": name, "kind": kind}
        return found

    def _dump(self, kind: int, body: bytes) -> list[bytes]:
        return self._netlink.dump(kind, body)


@functools.lru_cache(maxsize=4096)
def _link(body: bytes) -> tuple[int, str, Row]:
    _, hardware, index, flags, _ = _LINK.unpack_from(body)
    given = nl.nested(body, _LINK.size)
    columns: dict[str, Any] = {"index": index, "hardware": hardware}
    columns["flags"] = f"{flags & ~_FLAG_NOISE:#x}"
    for kind, payload in given.items():
        if kind not in _LINK_NOISE:
            columns[_COLUMNS.get(kind, f"attribute {kind}")] = _value(kind, payload)
    info = nl.nested(given.get(_LINKINFO, b""))
    columns["kind"] = nl.as_text(info.get(1, b""))
    noise = _BRIDGE_NOISE if columns["kind"] == "bridge" else set[int]()
    columns |= _numbered(columns["kind"], info.get(2, b""), noise)
    if _MASTER in given:
        columns |= _numbered("port", info.get(5, b""), _PORT_NOISE)
    names = [nl.as_text(text) for kind, text in nl.attributes(given.get(_ALTNAMES, b""))]
    columns["altnames"] = tuple(sorted(names))
    spec = nl.nested(given.get(_AF_SPEC, b""))
    if ipv4 := nl.nested(spec.get(socket.AF_INET, b"")).get(1):
        columns |= {f"ipv4 {number}": nl.number(v) for number, v in nl.attributes(ipv4)}
    ipv6 = nl.nested(spec.get(socket.AF_INET6, b""))
    if conf := ipv6.get(2):
        values = struct.unpack(f"={len(conf) // 4}i", conf)
        columns |= {f"ipv6 {number}": value for number, value in enumerate(values)}
    columns |= {f"ipv6 .{kind}": ipv6[kind].hex() for kind in (7, 8, 9) if kind in ipv6}
    return index, nl.as_text(given[3]), columns


def _value(kind: int, payload: bytes) -> Any:
    if kind in (1, 2):
        return payload.hex(":")
    if kind == 20:
        return nl.as_text(payload)
    return nl.number(payload) if len(payload) == 4 else payload.hex()


def _numbered(word: str, nested: bytes, noise: set[int]) -> dict[str, Any]:
    return {f"{word} {kind}": v.hex() for kind, v in nl.nested(nested).items() if kind not in noise}


def _addresses(bodies: list[bytes], names: Mapping[int, str]) -> Rows:
    found: Rows = {}
    places: dict[tuple[str, int], int] = {}
    for body in bodies:
        family, prefix, _, scope, index = _ADDRESS.unpack_from(body)
        given = nl.nested(body, _ADDRESS.size)
        local = given.get(2) or given[1]
        if family == socket.AF_INET6 and scope == 253 and given.get(11) == _BY_LINK:
            continue  # the kernel's own link-local one
        device = names.get(index, str(index))
        place = places[device, family] = places.get((device, family), -1) + 1
        lasts = [each == _FOREVER for each in struct.unpack("=2I", given[6][:8])]
        columns = {"device": device, "place": place, "scope": scope, "forever": lasts}
        columns["flags"] = nl.number(given[8]) & ~_TENTATIVE if 8 in given else 0
        rest = {f"attribute {k}": v.hex() for k, v in given.items() if k not in (1, 2, 6, 8)}
        address = socket.inet_ntop(family, local)
        found["address", f"{device} {address}/{prefix}"] = columns | rest
    return found


def _routes(bodies: list[bytes], names: Mapping[int, str]) -> Rows:
    found: Rows = {}
    for body in bodies:
        header = _ROUTE.unpack_from(body)
        family, size, _, tos, table, protocol, scope, kind, _ = header
        given = nl.nested(body, _ROUTE.size)
        target = socket.inet_ntop(family, given[1]) if 1 in given else "default"
        if protocol == _KERNEL and (kind != _UNICAST or target.startswith("fe80:")):
            continue  # it says again what an address says
        device = names.get(nl.number(given[4]), "?") if 4 in given else "-"
        rest = [f"{k}={v.hex()}" for k, v in sorted(given.items()) if k not in (1, 4, 12)]
        words = (f"{target}/{size} dev {device}", *rest)
        columns = {"device": device, "header": (tos, table, protocol, scope, kind)}
        found["route", " ".join(words)] = columns
    return found


def _neighbours(bodies: list[bytes], names: Mapping[int, str]) -> Rows:
    """Return the neighbours that are set, or the entries that are set in bridges' tables."""
    found: Rows = {}
    for body in bodies:
        family, index, state, flags, kind = _NEIGHBOUR.unpack_from(body)
        given = nl.nested(body, _NEIGHBOUR.size)
        address, link = given.get(1, b""), given.get(2, b"").hex(":")
        static = _PERMANENT | (_STATIC if family == _AF_BRIDGE else 0)
        joined = link.startswith(("33:33:", "01:00:5e:")) or (address or b"x")[0] in (0xFF, 0xE0)
        if not state & static or joined:
            continue
        device, master = names.get(index, str(index)), nl.number(given.get(9, bytes(4)))
        table = "fdb" if family == _AF_BRIDGE else "neighbour"
        words = (device, address.hex(), link, given.get(5, b"").hex(), names.get(master, "?"))
        columns = {"device": device, "state": state, "flags": flags, "kind": kind}
        found[table, " ".join(words)] = columns
    return found


def _place(body: bytes, names: Mapping[int, str]) -> str:
    (index,) = struct.unpack("=i", nl.nested(body, 4)[1])
    return {-1: "all", -2: "default"}.get(index) or names.get(index, str(index))


def devices(rows: Rows) -> Iterator[tuple[str, Row]]:
    """Yield the devices of a dump, by name."""
    return ((name, row) for (table, name), row in rows.items() if table == "link")
