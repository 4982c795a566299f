# SPDX-License-Identifier: Apache-2.0
"""The tables of legacy iptables, as getsockopt(2) tells of them.

Structures are those of linux/netfilter/x_tables.h, ip_tables.h and ip6_tables.h.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from vifplug.query.firewall import chains
from vifplug.query.firewall.chains import Condition, Rule
from vifplug.query.firewall.nftables import TARGETS, matched

_GET_INFO, _GET_ENTRIES = 64, 65
_INFO = struct.Struct("=32sI5I5III")
_HEADER = struct.Struct("=H29sB")
"""How each match and each target begins: its size, its name, its revision."""

_STANDARD, _CHAIN_NAME = "", "ERROR"
"""The target that is a verdict, and the one that stands before a chain and bears its name."""

_VERDICTS = {-1: chains.DROP, -2: chains.ACCEPT, -5: chains.RETURN}
_ENDING = (chains.ACCEPT, chains.DROP, chains.REJECT, chains.RETURN, chains.GOTO)
_IN_NEGATED, _OUT_NEGATED = 0x01, 0x02
_HOOKS = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How an entry of one family begins, up to its matches.

    ``interfaces`` is where the devices' names begin, after the addresses. ``flags``: which of them
    is a condition, and which makes a jump a goto.
    """

    kind: socket.AddressFamily
    level: int
    names: str
    interfaces: int
    protocol: int
    flags: int
    condition: int
    goto: int
    target: int
    size: int


LAYOUTS = {
    4: Layout(
        kind=socket.AF_INET, level=socket.SOL_IP, names="/proc/net/ip_tables_names",
        interfaces=16, protocol=80, flags=82, condition=0x01, goto=0x02, target=88, size=112,
    ),
    6: Layout(
        kind=socket.AF_INET6, level=41, names="/proc/net/ip6_tables_names",
        interfaces=64, protocol=128, flags=131, condition=0x03, goto=0x04, target=140, size=168,
    ),
}  # fmt: skip
"""By family of addresses."""

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(kw_only=True)
class Table:
    """One table; ``hooks`` are the places of the entries where packets come in, by hook."""

    name: str
    layout: Layout
    hooks: dict[int, int]
    entries: bytes
    _rules: dict[str, list[Rule]] = field(default_factory=dict)

    def rules(self, chain: str) -> list[Rule]:
        """Return the rules of a chain, which is named by the place of its first one.

        The last one is the chain's policy, or returns.
        """
        if chain not in self._rules:
            self._rules[chain] = list(self._from(int(chain)))
        return self._rules[chain]

    def _from(self, at: int) -> Iterator[Rule]:
        while at + self.layout.size <= len(self.entries):
            target, size = struct.unpack_from("=HH", self.entries, at + self.layout.target)
            rule = self._rule(at, target, size)
            yield rule
            if not rule.conditions and rule.action in _ENDING:
                return
            at += size

    def name_of(self, chain: str) -> str:
        """Return the name of the chain whose first rule has this place."""
        place = int(chain)
        for hook, first in self.hooks.items():
            if first == place:
                return _HOOKS[hook]
        at = 0
        while at < place:
            target, size = struct.unpack_from("=HH", self.entries, at + self.layout.target)
            if at + size == place:
                return _text(self.entries[at + target + _HEADER.size : at + size])
            at += size
        return chain

    def _rule(self, at: int, target: int, size: int) -> Rule:
        conditions = tuple(self._conditions(at, target))
        _, raw, _ = _HEADER.unpack_from(self.entries, at + target)
        name, chain = _text(raw), ""
        if name == _STANDARD:
            (verdict,) = struct.unpack_from("=i", self.entries, at + target + _HEADER.size)
            action = _VERDICTS.get(verdict, chains.UNKNOWN)
            if verdict == at + size:
                action = chains.CONTINUE  # a rule without a target
            elif verdict >= 0:
                goto = self.entries[at + self.layout.flags] & self.layout.goto
                action, chain = (chains.GOTO if goto else chains.JUMP), str(verdict)
        elif name == "REJECT":
            action = chains.REJECT
        else:
            action = chains.CONTINUE if name in TARGETS else chains.UNKNOWN
        return Rule(conditions=conditions, action=action, chain=chain)

    def _conditions(self, at: int, target: int) -> Iterator[Condition]:
        layout, entries = self.layout, self.entries
        flags, inverted = entries[at + layout.flags], entries[at + layout.flags + 1]
        addresses = entries[at : at + layout.interfaces]
        protocol = entries[at + layout.protocol : at + layout.protocol + 2]
        others = flags & layout.condition or inverted & ~(_IN_NEGATED | _OUT_NEGATED)
        if any(addresses) or any(protocol) or others:
            yield chains.some
        for number, bit in enumerate((_IN_NEGATED, _OUT_NEGATED)):
            start = at + layout.interfaces + 16 * number
            name, mask = _text(entries[start : start + 16]), entries[start + 32 : start + 48]
            if any(mask):
                # The mask of a whole name covers the zero at its end; else a plus sign ends it.
                compared = mask.count(0xFF)
                yield chains.named(
                    name[:compared], prefix=compared <= len(name), outgoing=bool(number),
                    negated=bool(inverted & bit),
                )  # fmt: skip
        place = at + layout.size
        while place < at + target:
            size, raw, _ = _HEADER.unpack_from(entries, place)
            yield matched(_text(raw), entries[place + _HEADER.size : place + size])
            place += size


def tables(family: int) -> Iterator[Table]:
    """Yield the tables that there are of a family, without making one. Raises OSError."""
    layout = LAYOUTS[family]
    try:
        names = Path(layout.names).read_text().split()
    except FileNotFoundError:
        return
    for name in names:
        yield _table(name, layout)


def _table(name: str, layout: Layout) -> Table:
    padded = name.encode().ljust(_INFO.size, b"\0")
    with socket.socket(layout.kind, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as asked:
        # The hooks' bits, the chains' first rules, their policies, how many entries, of what size.
        _, valid, *places, _, size = _INFO.unpack(
            _getsockopt(asked, layout.level, _GET_INFO, padded)
        )
        wanted = struct.pack("=32sI4x", name.encode(), size) + bytes(size)
        entries = _getsockopt(asked, layout.level, _GET_ENTRIES, wanted)[40:]
    hooks = {hook: places[hook] for hook in range(len(_HOOKS)) if valid & 1 << hook}
    return Table(name=name, layout=layout, hooks=hooks, entries=entries)


def _text(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode(errors="replace")


def _getsockopt(asked: socket.socket, level: int, option: int, wanted: bytes) -> bytes:
    """Ask what socket.getsockopt() can't: the kernel reads the buffer before it fills it."""
    buffer = ctypes.create_string_buffer(wanted, len(wanted))
    size = ctypes.c_uint32(len(wanted))
    if _libc.getsockopt(asked.fileno(), level, option, buffer, ctypes.byref(size)) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return buffer.raw
