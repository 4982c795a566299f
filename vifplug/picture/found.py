# SPDX-License-Identifier: Apache-2.0
"""Finds in a host what a picture shows: what VIFs hang on, and how that reaches the wire. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from vifplug.model.host import Host
from vifplug.model.link import is_bridge
from vifplug.model.snapshot import ports_of
from vifplug.picture.graph import NOWHERE, Join, Node, Topology, Trunk
from vifplug.picture.lanes import Lanes
from vifplug.picture.wires import Wires, listed
from vifplug.plan.details import words_of
from vifplug.plan.inventory import Inventory


def topology(host: Host, found: Inventory, *, also: Iterable[str] = ()) -> Topology:
    """Return what a host has plugged, for a picture.

    ``also`` are trunks that are drawn where the host has them, without a VIF too.
    """
    wires = Wires(host, found.vifs)
    lanes = Lanes(wires, found.vifs).all()
    trunks = _Trunks(wires, found.unused)
    shown = [*(lane.trunk for lane in lanes), *wires.shared_bridges]
    shown += [name for name in found.unused if is_bridge(host.link(name))]
    shown += [name for name in also if wires.is_bridge(name) or name in host.links]
    every, joins = trunks.reached_from(shown), list[Join]()
    weights = Counter(lane.trunk for lane in lanes)
    for name in every:
        joins += trunks.joins(name, every, weights)
    return Topology(
        trunks=tuple(trunks.trunk(name, every) for name in every),
        joins=tuple({join.key: join for join in joins}.values()),
        lanes=lanes,
        warnings=found.warnings,
        incomplete=bool(found.failures),
    )


def names_of(host: Host) -> frozenset[str]:
    """Return the names of all devices, and of all bridges and ports of switches."""
    ports = [port for snapshot in host.switches.values() for port in ports_of(snapshot)]
    return frozenset({*host.links, *(port.name for port in ports)})


class _Trunks:
    """The trunks of a picture. ``unused`` are devices of ours that no VIF uses."""

    def __init__(self, wires: Wires, unused: Iterable[str]) -> None:
        self._wires, self._unused = wires, {*unused}

    def reached_from(self, names: Iterable[str]) -> Sequence[str]:
        """Return the trunks of these names, and those that patches lead to from there."""
        found: dict[str, None] = {}
        to_see = [*names]
        while to_see:
            name = to_see.pop(0)
            if name not in found:
                found[name] = None
                to_see += [other for other, _ in self._patched(name)]
        return [*found]

    def _patched(self, bridge: str) -> Iterator[tuple[str, Node]]:
        """Yield the bridges that a bridge has a patch or a veth pair to, and what that is."""
        for port in self._wires.ports(bridge):
            if (peer := self._wires.peer(port)) and (other := self._wires.other_end(port)):
                yield other, self._wires.patch(port, peer)

    def trunk(self, name: str, every: Iterable[str]) -> Trunk:
        """Return a trunk with its ways to the wire, as far as these are no other trunks."""
        if name == NOWHERE:
            return Trunk(node=Node(key=name, shape="nowhere", kind="in no bridge", name=name))
        wires = self._wires
        below = {*every} - {name}
        ways = [wires.way(port, below) for port in wires.below(name)]
        others = [
            port
            for port in wires.ports(name)
            if not wires.leads_out(port) and not wires.other_end(port)
        ]
        return Trunk(
            node=self._node(name, others),
            ways=tuple(way for way, end in ways if way and end is None),
            others=tuple(others),
        )

    def _node(self, name: str, others: Sequence[str]) -> Node:
        wires, link = self._wires, self._wires.host.link(name)
        if not wires.is_bridge(name):
            return replace(wires.node(name), key=name)
        words = [words_of(link)] if link else []
        if others:
            words.append(f"other ports: {listed(others)}")
        switch = wires.switches.get(name)
        state = "down" if link and not switch and not link.up else ""
        return Node(
            key=name,
            shape="switch" if switch else "bridge",
            kind=f"{switch} bridge" if switch else "bridge",
            name=name,
            words=tuple(words),
            state="unused" if name in self._unused else state,
        )

    def joins(self, name: str, every: Sequence[str], weights: Mapping[str, int]) -> Iterator[Join]:
        """Yield what connects a trunk with others, the one nearer to the wire on the left.

        ``weights`` are how many VIFs hang on each.
        """
        below = {*every} - {name}
        for port in self._wires.below(name):
            way, end = self._wires.way(port, below)
            if end:
                yield Join(left=end, right=name, node=way[0] if way else None)
        for other, node in self._patched(name):
            left, right = sorted((name, other), key=lambda each: self._nearness(each, weights))
            yield Join(left=left, right=right, node=node)

    def _nearness(self, name: str, weights: Mapping[str, int]) -> tuple[bool, bool, int, str]:
        out = any(self._wires.leads_out(port) for port in self._wires.ports(name))
        return not out, weights[name] > 0, weights[name], name
