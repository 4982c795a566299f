# SPDX-License-Identifier: Apache-2.0
"""A host as a value that changes: its devices, what Open vSwitch's database has, and the notes."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from operator import is_not
from typing import Any

from vifplug.model.host import Host
from vifplug.model.link import Link
from vifplug.model.links import Links
from vifplug.model.mark import Mark
from vifplug.model.vif import VIF
from vifplug_ovs.snapshot import Ovs, OvsBridge, OvsPort

DATABASE = "5f8e2b8e-8a1f-4d43-9c07-1f0f5d0c0b11"
ENDPOINT = "tcp:127.0.0.1:1"
"""Never connected to. An endpoint of TCP counts as a switch that may be there."""

MISSING = "could not open network device"


class IndexedLinks(Links):
    """Devices that are asked for by marks and claims very often."""

    def __init__(self, links: Mapping[str, Link]) -> None:
        super().__init__(links)
        self._marked: dict[str, dict[str, Link]] = {}
        self._carrying: dict[str, tuple[str, Link]] = {}
        self._claims: dict[str, list[tuple[str, Mark]]] = {}
        self._on: dict[str, tuple[Mark, ...]] = {}
        for name, link in links.items():
            for altname in link.altnames:
                self._carrying[altname] = name, link
            for mark in link.marks:
                self._marked.setdefault(mark.vif_id, {})[name] = link
            if link.claims:
                self._on[name] = found = tuple(filter(None, map(parsed, link.claims)))
                for claim in found:
                    self._claims.setdefault(claim.vif_id, []).append((name, claim))

    def __contains__(self, name: object) -> bool:
        return name in self._links

    def get(self, name: str, default: object = None) -> Any:
        return self._links.get(name, default)  # type: ignore[arg-type]

    def items(self) -> Any:
        return self._links.items()

    def carrying(self, altname: str) -> tuple[str, Link] | None:
        return self._carrying.get(altname)

    def marked(self, vif_id: str) -> dict[str, Link]:
        return dict(self._marked.get(vif_id, {}))

    def claims(self, name: str) -> tuple[Mark, ...]:
        return self._on.get(name, ())

    def claims_of(self, vif_id: str) -> tuple[tuple[str, Mark], ...]:
        return tuple(self._claims.get(vif_id, ()))

    def _claimants_like(self, vif_id: str) -> Iterable[str]:
        return self._claims


parsed = functools.lru_cache(maxsize=1 << 12)(Mark.parse)


@dataclass(frozen=True)
class Guest:
    """A guest that runs: the index of its tap, who made that, and whether libvirt made a port."""

    index: int
    own_tap: bool
    port: str = ""


@dataclass
class State:
    """All that a simulated host has.

    ``links`` hold their claims. ``mtu_set`` are the bridges whose MTU a program has set: the kernel
    changes that of no other with its ports. ``guests`` are by the VIF's id. ``closed`` are the
    ports that vswitchd could not open: of a device that goes later, it says nothing.
    """

    links: dict[str, Link]
    bridges: dict[str, OvsBridge]
    notes: dict[str, VIF] = field(default_factory=dict)
    mtu_set: frozenset[str] = frozenset()
    guests: dict[str, Guest] = field(default_factory=dict)
    closed: frozenset[str] = frozenset()
    number: int = 100
    _seen: tuple[object, ...] = ()
    _host: Host | None = None

    def copy(self) -> State:
        """Return a host that changes by itself; the values in it never change."""
        links, bridges = dict(self.links), dict(self.bridges)
        return State(links, bridges, dict(self.notes), self.mtu_set, dict(self.guests),
                     self.closed, self.number, self._seen, self._host)  # fmt: skip

    def host(self, facts: Host) -> Host:
        """Return the host as planning may know it; the same one as long as nothing changes."""
        seen = (
            facts,
            self.closed,
            *self.links,
            *self.links.values(),
            *self.bridges,
            *self.bridges.values(),
        )
        if len(seen) != len(self._seen) or any(map(is_not, seen, self._seen)):
            switches = {Ovs.key: self.ovs()}
            self._host = replace(facts, links=IndexedLinks(self.links), switches=switches)
            self._seen = seen
        return self._host  # type: ignore[return-value]

    def ovs(self) -> Ovs:
        """Return the database with what vswitchd says of each port."""
        bridges = {
            name: replace(bridge, ports={n: self._told(n, p) for n, p in bridge.ports.items()})
            for name, bridge in self.bridges.items()
        }
        return Ovs(endpoint=ENDPOINT, version="3.1.0", database=DATABASE, bridges=bridges)

    def _told(self, name: str, port: OvsPort) -> OvsPort:
        if port.type == "internal":
            return port
        there = name not in self.closed
        number, error = (1, None) if there else (-1, MISSING)
        if (port.ofport, port.error) == (number, error):
            return port
        return replace(port, ofport=number, error=error)

    def next_index(self) -> int:
        """Return the index of a device that is made."""
        self.number += 1
        return self.number

    def of_index(self, index: int) -> str | None:
        """Return the name of the device of an index."""
        return next((name for name, link in self.links.items() if link.index == index), None)

    def held(self) -> frozenset[str]:
        """Return the names of the taps that guests hold."""
        names = (self.of_index(guest.index) for guest in self.guests.values())
        return frozenset(name for name in names if name)

    def same(self, other: State) -> bool:
        """Whether this host is as another: nothing of a call that failed may be left."""
        return (self.links, self.bridges, self.notes, self.mtu_set) == (
            other.links, other.bridges, other.notes, other.mtu_set)  # fmt: skip


def device(kind: str, index: int, **more: object) -> Link:
    """Return a device as the kernel makes one of a kind."""
    plain: Mapping[str, object] = {
        "kind": kind, "index": index, "ipv6": True, "arp_ignore": 0, "arp_announce": 0,
        "accept_ra": 1}  # fmt: skip
    of_bridges: Mapping[str, object] = {
        "forward_delay": 1500, "stp": False, "ageing_time": 30000, "multicast_snooping": True,
        "vlan_filtering": False, "default_pvid": 1}  # fmt: skip
    given = {name: value for name, value in more.items() if value is not None}
    bridge = of_bridges if kind == "bridge" else {}
    return Link(**{**plain, **bridge, **given})  # type: ignore[arg-type]


def switch_bridge(name: str) -> OvsBridge:
    """Return a bridge of Open vSwitch with its own port, as ovs-vsctl makes one."""
    own = OvsPort(type="internal", ofport=65534, row=new_row(), interface=new_row())
    return OvsBridge(datapath_type="netdev", row=new_row(), ports={name: own})


def new_row() -> str:
    """Return a new row's UUID."""
    return str(uuid.uuid4())
