# SPDX-License-Identifier: Apache-2.0
"""The chains and rules of nftables, as the kernel tells of them.

Numbers are those of linux/netfilter/nf_tables.h, nf_tables_compat.h and xt_physdev.h.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from vifplug.kernel.messages.attributes import as_text, attribute, attributes, nested, text
from vifplug.kernel.netlink import KernelError, Netlink
from vifplug.query.firewall import chains
from vifplug.query.firewall.chains import Condition, Rule

INET, IPV4, NETDEV, BRIDGE, IPV6 = 1, 2, 5, 7, 10
"""Families of tables. Those of inet have chains for IPv4 and IPv6 in one."""

_NAMED = {INET: "inet", NETDEV: "netdev", BRIDGE: "bridge"}

_NETFILTER = 12
_GET_CHAIN, _GET_RULE = 10 << 8 | 4, 10 << 8 | 7
_CHAIN_TABLE, _CHAIN_NAME, _CHAIN_HOOK, _CHAIN_POLICY = 1, 3, 4, 5
_HOOK_NUMBER, _HOOK_DEVICE, _HOOK_DEVICES = 1, 3, 4
_BEGINNING = 2
_RULE_TABLE, _RULE_CHAIN, _RULE_EXPRESSIONS = 1, 2, 4
_NAME, _DATA = 1, 2
_GENERATION = struct.Struct("=BBH")

_VERDICTS = {
    0: chains.DROP,
    1: chains.ACCEPT,
    0xFFFFFFFF: chains.CONTINUE,
    0xFFFFFFFD: chains.JUMP,
    0xFFFFFFFC: chains.GOTO,
    0xFFFFFFFB: chains.RETURN,
}
"""Verdict codes: NF_DROP, NF_ACCEPT, NFT_CONTINUE, NFT_JUMP, NFT_GOTO, NFT_RETURN."""

_META_IIF, _META_OIF, _META_IIFNAME, _META_OIFNAME = 4, 5, 6, 7
_META_NFPROTO = 15
_EQUAL, _NOT_EQUAL = 0, 1
_VERDICT_REGISTER = 0

_HARMLESS = ("counter", "log", "notrack", "last", "dup", "flow_offload")
"""Expressions that neither match nor drop."""

_LOADING = frozenset(
    (
        "payload",
        "bitwise",
        "byteorder",
        "ct",
        "fib",
        "rt",
        "socket",
        "exthdr",
        "numgen",
        "hash",
        "osf",
        "tunnel",
        "xfrm",
        "inner",
        "range",
        "limit",
        "connlimit",
        "dynset",
        "objref",
        "quota",
    )
)
"""Expressions that match some packets, or load what a later one compares; none drops."""

TARGETS = frozenset(
    (
        "AUDIT",
        "CHECKSUM",
        "CLASSIFY",
        "CONNMARK",
        "CONNSECMARK",
        "CT",
        "DNAT",
        "DSCP",
        "HL",
        "LOG",
        "MARK",
        "NETMAP",
        "NFLOG",
        "NOTRACK",
        "SECMARK",
        "SET",
        "SNAT",
        "TCPMSS",
        "TOS",
        "TRACE",
        "TTL",
        "mark",
    )
)
"""Targets of iptables that drop nothing.

MASQUERADE and REDIRECT drop where their device has no address, and so do nftables' masq and redir.
"""

_BRIDGED, _FROM_PORT, _TO_PORT = 0x04, 0x08, 0x10
_NAMED_PORTS = 0x01 | 0x02


@dataclass(frozen=True, kw_only=True)
class Chain:
    """A chain; ``hook`` is where packets enter it, None where only other chains lead to it."""

    family: int
    table: str
    name: str
    hook: int | None
    drops: bool
    devices: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The table as nft(8) names it, but without the family of iptables' tables."""
        return f"{_NAMED[self.family]} {self.table}" if self.family in _NAMED else self.table


class Nftables:
    """Reads the chains of the calling thread's network namespace. Raises OSError."""

    def __init__(self) -> None:
        self._netlink = Netlink(_NETFILTER)
        self._rules: dict[tuple[int, str, str], list[Rule]] = {}

    def close(self) -> None:
        """Close the socket."""
        self._netlink.close()

    def base_chains(self) -> list[Chain]:
        """Return the chains that packets enter at a hook; none where the kernel has no nftables."""
        try:
            raw = self._netlink.dump(_GET_CHAIN, _GENERATION.pack(0, 0, 0))
        except KernelError as error:
            if error.errno in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOENT):
                return []  # the kernel has no nf_tables
            raise
        every = [_chain(body) for body in raw]
        return [chain for chain in every if chain.hook is not None]

    def rules(self, family: int, table: str, chain: str) -> list[Rule]:
        """Return the rules of one chain, in their order."""
        key = (family, table, chain)
        if key not in self._rules:
            asked = attribute(_RULE_TABLE, text(table)) + attribute(_RULE_CHAIN, text(chain))
            body = _GENERATION.pack(family, 0, 0) + asked
            raw = [nested(each, _GENERATION.size) for each in self._netlink.dump(_GET_RULE, body)]
            # A kernel that doesn't filter sends every table's.
            own = (text(table), text(chain))
            found = [each for each in raw if (each[_RULE_TABLE], each[_RULE_CHAIN]) == own]
            self._rules[key] = [_rule(each.get(_RULE_EXPRESSIONS, b"")) for each in found]
        return self._rules[key]


def _chain(body: bytes) -> Chain:
    found = nested(body, _GENERATION.size)
    hook = nested(found.get(_CHAIN_HOOK, b""))
    devices = [hook[_HOOK_DEVICE]] if _HOOK_DEVICE in hook else []
    devices += [
        name.rstrip(b"\0") + (b"*" if kind == _BEGINNING else b"")
        for kind, name in attributes(hook.get(_HOOK_DEVICES, b""))
    ]
    return Chain(
        family=body[0],
        table=as_text(found[_CHAIN_TABLE]),
        name=as_text(found[_CHAIN_NAME]),
        hook=_big(hook[_HOOK_NUMBER]) if _HOOK_NUMBER in hook else None,
        drops=_CHAIN_POLICY in found and _big(found[_CHAIN_POLICY]) == 0,
        devices=tuple(dict.fromkeys(as_text(name) for name in devices)),
    )


@dataclass
class _Decoding:
    """One rule, while its expressions are read in their order."""

    conditions: list[Condition] = field(default_factory=list)
    loaded: dict[int, int] = field(default_factory=dict)
    doubt: bool = False
    verdict: Rule | None = None

    def take(self, name: str, data: Mapping[int, bytes]) -> None:
        """Take one more expression."""
        if name == "immediate":
            self._immediate(data)
        elif name == "reject":
            self._end(chains.REJECT)
        elif name == "nat":
            self._end(chains.ACCEPT)
        elif name == "meta":
            self._meta(data)
        elif name == "cmp":
            self._compare(data)
        elif name == "lookup":
            self._lookup(data)
        elif name == "match":
            self.conditions.append(matched(as_text(data.get(1, b"")), data.get(3, b"")))
        elif name == "target":
            self._target(as_text(data.get(1, b"")))
        elif name in _LOADING:
            self.conditions.append(chains.some)
            # The destination's attribute differs; what it held before is not there any more.
            self.loaded.clear()
        elif name not in _HARMLESS:
            self.conditions.append(chains.some)
            self.doubt = True

    def rule(self) -> Rule:
        """Return the rule."""
        if self.verdict is not None:
            return self.verdict
        action = chains.UNKNOWN if self.doubt else chains.CONTINUE
        return Rule(conditions=tuple(self.conditions), action=action)

    def _end(self, action: str, chain: str = "") -> None:
        if self.verdict is None:
            if self.doubt and action in (chains.ACCEPT, chains.CONTINUE, chains.RETURN):
                action = chains.UNKNOWN
            self.verdict = Rule(conditions=tuple(self.conditions), action=action, chain=chain)

    def _immediate(self, data: Mapping[int, bytes]) -> None:
        verdict = nested(nested(data.get(2, b"")).get(2, b""))
        if verdict:
            action = _VERDICTS.get(_big(verdict[1]), chains.UNKNOWN)
            self._end(action, as_text(verdict.get(2, b"")))
        elif 1 in data:
            self.loaded.pop(_register(data[1]), None)

    def _meta(self, data: Mapping[int, bytes]) -> None:
        if 1 in data and 2 in data:
            self.loaded[_register(data[1])] = _big(data[2])

    def _compare(self, data: Mapping[int, bytes]) -> None:
        key, sense = self.loaded.get(_register(data.get(1, b""))), _big(data.get(2, b""))
        value = nested(data.get(3, b"")).get(1, b"")
        negated = sense == _NOT_EQUAL
        condition: Condition = chains.some
        if sense in (_EQUAL, _NOT_EQUAL) and key is not None:
            condition = _condition(key, value, negated)
        self.conditions.append(condition)

    def _lookup(self, data: Mapping[int, bytes]) -> None:
        self.conditions.append(chains.some)
        if 3 in data and _register(data[3]) == _VERDICT_REGISTER:
            self._end(chains.UNKNOWN)  # a verdict map

    def _target(self, name: str) -> None:
        if name in ("REJECT", "DROP"):
            self._end(chains.REJECT)
        elif name not in TARGETS:
            self._end(chains.UNKNOWN)


def _rule(raw: bytes) -> Rule:
    decoding = _Decoding()
    for name, data in _expressions(raw):
        decoding.take(name, data)
    return decoding.rule()


def _expressions(raw: bytes) -> Iterator[tuple[str, Mapping[int, bytes]]]:
    for _, each in attributes(raw):
        found = nested(each)
        yield as_text(found.get(_NAME, b"")), nested(found.get(_DATA, b""))


def _condition(key: int, value: bytes, negated: bool) -> Condition:
    """Return the condition that what ``meta`` loads equals a value."""
    outgoing = key in (_META_OIF, _META_OIFNAME)
    if key in (_META_IIFNAME, _META_OIFNAME):
        # A name that is compared as a whole comes with its zeros.
        prefix = not value.endswith(b"\0") and len(value) < 16
        return chains.named(as_text(value), prefix=prefix, outgoing=outgoing, negated=negated)
    if key in (_META_IIF, _META_OIF) and len(value) == 4:
        (index,) = struct.unpack("=I", value)
        return chains.numbered(index, outgoing=outgoing, negated=negated)
    if key == _META_NFPROTO and value[:1] in (bytes([IPV4]), bytes([IPV6])):
        return chains.of_family(4 if value[0] == IPV4 else 6, negated=negated)
    return chains.some


def matched(name: str, data: bytes) -> Condition:
    """Return the condition that is one of iptables' matches, from its name and data."""
    if name == "comment":
        return lambda packet: True
    if name == "physdev" and len(data) >= 66:
        inverted, wanted = data[64], data[65]
        if wanted and not wanted & _NAMED_PORTS:
            # Whether it comes from a port, goes to one and stays on one bridge: all of ours do.
            return chains.bridged(negated=bool(inverted & wanted))
    return chains.some


def _big(number: bytes) -> int:
    return int.from_bytes(number, "big")


def _register(number: bytes) -> int:
    """Return a register by its first 32-bit part: the old numbers stand for four each."""
    value = _big(number)
    return 8 + 4 * (value - 1) if 1 <= value <= 4 else value


def open_tables() -> Nftables | None:
    """Return nftables to be read; None where the kernel has no such socket."""
    try:
        return Nftables()
    except OSError as error:
        if error.errno in (errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT):
            return None
        raise
