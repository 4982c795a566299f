# SPDX-License-Identifier: Apache-2.0
"""Follows what crosses each bridge through the host's firewalls."""

from __future__ import annotations

import contextlib
import errno
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from vifplug.kernel.netlink import Netlink
from vifplug.query import modules
from vifplug.query.firewall import Statement, chains, iptables, nftables
from vifplug.query.firewall.chains import Fate, Packet, Read, Walk
from vifplug.query.firewall.nftables import Chain, Nftables

_BRIDGE = Path("/proc/sys/net/bridge")
_FAMILIES = {"iptables": 4, "ip6tables": 6, "arptables": 0}
_WORDS = {4: "IPv4", 6: "IPv6", 0: "frames"}
_ARP_TABLES = Path("/proc/net/arp_tables_names")
_EBTABLES = ("ebtable_filter", "ebtable_nat", "ebtable_broute")

_PREROUTING, _INPUT, _FORWARD, _OUTPUT, _POSTROUTING, _INGRESS = range(6)
"""The hooks' numbers in every family but netdev, whose hooks are a device's own."""

_CROSSED = (_PREROUTING, _FORWARD, _POSTROUTING)
"""The hooks that a packet passes on its way over a bridge."""

_MANY = 3
"""Bridges that are named one by one."""

_Found = dict[str, set[str]]
"""What was found, in words, and for which bridges; a bridge to come has no name."""


@dataclass(frozen=True, kw_only=True)
class _Crossed:
    """A bridge, and the firewalls that its packets pass besides that of frames."""

    name: str
    index: int | None
    called: frozenset[str]

    def packet(self, family: int, hook: int) -> Packet:
        """Return what is known of every packet that crosses the bridge, at a hook."""
        known = Packet(family=family, bridged=hook == _FORWARD or None)
        if family == 0 or not self.name:
            return known  # in frames' hooks the devices are the bridge's ports
        name, index = self.name, self.index
        if hook in (_PREROUTING, _FORWARD):
            known = replace(known, iif=name, iif_index=index)
        if hook in (_FORWARD, _POSTROUTING):
            known = replace(known, oif=name, oif_index=index)
        return known


@dataclass
class Looking:
    """One look: what was found, and at which bridges."""

    dropping: _Found = field(default_factory=dict)
    unsure: _Found = field(default_factory=dict)
    host: _Found = field(default_factory=dict)
    crossed: list[_Crossed] = field(default_factory=list)
    _ports: dict[str, frozenset[str]] = field(default_factory=dict)

    def at(self, names: Sequence[str] | None) -> Statement:
        """Return what is known of the packets that cross these bridges, or all."""
        self._try("the bridges", lambda: self.crossed.extend(self._bridges(names)))
        self._try("nftables", self._nftables)
        self._try("iptables", self._iptables)
        self._try("arptables", self._arptables)
        # To ask for a table of ebtables makes it.
        if any(modules.is_loaded(name) for name in _EBTABLES):
            self._unsure("the legacy tables of ebtables")
        return Statement(
            dropping=self._in_words(self.dropping),
            unsure=self._in_words(self.unsure),
            host=self._in_words(self.host),
        )

    def _try(self, what: str, read: Callable[[], object]) -> None:
        try:
            read()
        except OSError as error:
            denied = error.errno in (errno.EPERM, errno.EACCES)
            self._unsure(f"{what} ({'only root may look' if denied else error.strerror or error})")
        except (ArithmeticError, LookupError, ValueError, struct.error) as error:
            # A firewall that is not understood must not fail a plug.
            self._unsure(f"{what} ({type(error).__name__}: {error})")

    def _unsure(self, what: str) -> None:
        self.unsure[what] = {each.name for each in self.crossed}

    def _in_words(self, found: _Found) -> tuple[str, ...]:
        """Return what was found, with the bridges that it concerns where that is not all."""
        every = {each.name for each in self.crossed}
        return tuple(
            text if at == every else f"{text} ({_listed(sorted(at))})" for text, at in found.items()
        )

    def _bridges(self, names: Sequence[str] | None) -> Iterator[_Crossed]:
        there = _BRIDGE.is_dir()  # without br_netfilter a bridge's own setting does nothing
        everywhere = {name for name in _FAMILIES if there and _is_on(name)}
        with Netlink() as netlink:
            found = netlink.firewalls(names)
        for name in (found or [""]) if names is None else names:
            index, own = found.get(name, (None, ()))
            called = everywhere.union(own) if there else everywhere
            yield _Crossed(name=name, index=index, called=frozenset(called))

    # nftables.

    def _nftables(self) -> None:
        if modules.is_loaded("nf_tables") is False:
            return  # to ask would load it, and it has no chain yet
        tables = nftables.open_tables()
        if tables is None:
            return
        with contextlib.closing(tables):
            for chain in tables.base_chains():
                for bridge in self.crossed:
                    for family in self._passing(chain, bridge):
                        self._follow_nftables(tables, chain, bridge, family)

    def _passing(self, chain: Chain, bridge: _Crossed) -> Iterable[int]:
        """Return the families of a bridge's packets that pass a chain."""
        if chain.family == nftables.BRIDGE and chain.hook is not None:
            return (0,)
        if chain.family == nftables.NETDEV or chain.hook == _INGRESS:
            return (0,) if self._is_at_a_port(chain, bridge) else ()
        families = {
            nftables.IPV4: ("iptables",),
            nftables.IPV6: ("ip6tables",),
            nftables.INET: ("iptables", "ip6tables"),
        }.get(chain.family, ())
        if chain.hook not in _CROSSED:
            return ()
        return [_FAMILIES[name] for name in families if name in bridge.called]

    def _is_at_a_port(self, chain: Chain, bridge: _Crossed) -> bool:
        if not bridge.name:
            return False
        if bridge.name not in self._ports:
            with Netlink() as netlink:
                self._ports[bridge.name] = frozenset(netlink.links(master=bridge.name))
        ports = self._ports[bridge.name]
        begins = tuple(name[:-1] for name in chain.devices if name.endswith("*"))
        return any(port in chain.devices or port.startswith(begins) for port in ports)

    def _follow_nftables(
        self, tables: Nftables, chain: Chain, bridge: _Crossed, family: int
    ) -> None:
        def rules(name: str) -> Iterable[chains.Rule]:
            return tables.rules(chain.family, chain.table, name)

        hook = chain.hook if chain.family != nftables.NETDEV else _INGRESS
        assert hook is not None  # noqa: S101 - packets enter the chain
        fate = _fate(rules, chain.name, bridge.packet(family, hook))
        if fate.end == chains.RETURN and chain.drops:
            fate = replace(fate, end=chains.DROP, chain=chain.name)
        to_host = family == 0 and hook in (_INPUT, _OUTPUT)
        self._note(
            fate, bridge, family, lambda name: f"nftables chain {name} of table {chain.title}",
            dropping=self.host if to_host else self.dropping,
        )  # fmt: skip

    # Legacy iptables.

    def _iptables(self) -> None:
        for name in ("iptables", "ip6tables"):
            if any(name in bridge.called for bridge in self.crossed):
                for table in iptables.tables(_FAMILIES[name]):
                    self._follow_iptables(name, table)

    def _follow_iptables(self, name: str, table: iptables.Table) -> None:
        family = _FAMILIES[name]
        which = "" if table.name == "filter" else f" of table {table.name}"
        for bridge in self.crossed:
            for hook in _CROSSED if name in bridge.called else ():
                if hook in table.hooks:
                    first = str(table.hooks[hook])
                    fate = _fate(table.rules, first, bridge.packet(family, hook))
                    self._note(
                        fate, bridge, family,
                        lambda chain: f"iptables chain {table.name_of(chain)}{which}",
                        dropping=self.dropping,
                    )  # fmt: skip

    def _arptables(self) -> None:
        called = any("arptables" in bridge.called for bridge in self.crossed)
        if called and _ARP_TABLES.exists() and _ARP_TABLES.read_text().split():
            self._unsure("the legacy tables of arptables")

    def _note(
        self,
        fate: Fate,
        bridge: _Crossed,
        family: int,
        title: Callable[[str], str],
        *,
        dropping: _Found,
    ) -> None:
        """Note what a chain does with a bridge's packets."""
        word = _WORDS[family]
        if fate.end == chains.DROP:
            dropping.setdefault(f"{word}: {title(fate.chain)}", set()).add(bridge.name)
        for chain in fate.unsure:
            self.unsure.setdefault(f"{word}: {title(chain)}", set()).add(bridge.name)


def _fate(read: Read, chain: str, packet: Packet) -> Fate:
    return Walk(packet=packet, read=read).through(chain)


def _is_on(name: str) -> bool:
    try:
        return (_BRIDGE / f"bridge-nf-call-{name}").read_text().strip() == "1"
    except FileNotFoundError:
        return False


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MANY} more" if len(names) > _MANY else ""
    return ", ".join(names[:_MANY]) + more
