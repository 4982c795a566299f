# SPDX-License-Identifier: Apache-2.0
"""What a picture of a host shows: trunks, the joins between them, and a lane for each VIF. Pure.

A trunk is what VIFs hang on: a bridge, or the device below macvtaps. It has ways out to the wire.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

STATES: Mapping[str, str] = {
    "up": "the guest holds the device",
    "down": "the guest runs and does not hold the device, or a device is down",
    "off": "the guest is off",
    "unattached": "no process holds the device",
    "unwired": "the port passes no frame until another program wires it",
    "drift": "another program has changed it",
    "orphan": "no guest has it",
    "unused": "no VIF uses it",
}
"""The states that a picture tells apart, with their meaning, from well to ill."""

ILL = ("down", "unwired", "drift", "orphan")
"""States that need attention."""

NOWHERE = "no bridge"
"""The key of the trunk that stands for no bridge at all."""

CHANGES: Mapping[str, str] = {
    "made": "the plug makes it",
    "changed": "the plug changes it",
    "gone": "the plug removes it",
}
"""How a thing differs between the pictures before and after a plug."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """One thing in a picture.

    ``kind`` is the word for people, such as VLAN or bridge. ``shape`` is one of uplink, vlan,
    bridge, switch, patch, port, guest and nowhere. ``words`` are its details, one a line.
    """

    key: str
    shape: str
    kind: str
    name: str
    words: tuple[str, ...] = ()
    state: str = ""
    change: str = ""

    @property
    def told(self) -> tuple[str, ...]:
        """All that is known of it, one fact a line."""
        lines = [f"{self.name}  {self.kind}"]
        if self.state:
            lines.append(f"{self.state}: {STATES[self.state]}")
        if self.change:
            lines.append(CHANGES[self.change])
        return (*lines, *self.words)

    def to_dict(self) -> dict[str, Any]:
        """Return it as ``vifplug topology -f json`` prints it."""
        return {
            "key": self.key,
            "kind": self.kind,
            "name": self.name,
            "state": self.state or None,
            "change": self.change or None,
            "words": [*self.words],
        }


@dataclass(frozen=True, kw_only=True)
class Trunk:
    """What VIFs hang on. Each of ``ways`` leads from it to the wire, the nearest device first.

    ``others`` are the names of ports that are neither VIFs' nor ways out.
    """

    node: Node
    ways: tuple[tuple[Node, ...], ...] = ()
    others: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Join:
    """What connects two trunks: ``left`` is nearer to the wire. ``node`` is a patch between."""

    left: str
    right: str
    node: Node | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """By what two are the same: each end of a patch shows it."""
        return self.left, self.right, self.node.key if self.node else ""


@dataclass(frozen=True, kw_only=True)
class Lane:
    """One VIF, from its trunk to its guest. ``chain`` are the devices in between, in this order.

    ``guest`` is None where none is known. ``words`` are the state with its
    reason. ``kind`` is the type and the process.
    """

    id: str
    short: str
    trunk: str
    chain: tuple[Node, ...]
    guest: Node | None
    state: str
    words: str
    kind: str = ""
    address: str = ""
    vlan: int | None = None
    change: str = ""


@dataclass(frozen=True, kw_only=True)
class Topology:
    """What a host has plugged, for a picture.

    ``warnings`` say what the picture lacks. ``incomplete``: a switch could not be read.
    ``left_out`` is how many VIFs it does not show.
    """

    trunks: tuple[Trunk, ...] = ()
    joins: tuple[Join, ...] = ()
    lanes: tuple[Lane, ...] = ()
    warnings: tuple[str, ...] = ()
    incomplete: bool = False
    left_out: int = 0

    def __bool__(self) -> bool:
        return bool(self.trunks)

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Everything that the picture shows, each thing once."""
        found: dict[str, Node] = {}
        for trunk in self.trunks:
            for node in (*(node for way in trunk.ways for node in reversed(way)), trunk.node):
                found.setdefault(node.key, node)
        for join in self.joins:
            if join.node:
                found.setdefault(join.node.key, join.node)
        for lane in self.lanes:
            for node in (*lane.chain, *((lane.guest,) if lane.guest else ())):
                found.setdefault(node.key, node)
        return tuple(found.values())

    @property
    def edges(self) -> tuple[tuple[str, str], ...]:
        """The pairs of keys that are connected, the one nearer to the wire first."""
        found: list[tuple[str, str]] = []
        for trunk in self.trunks:
            for way in trunk.ways:
                found += _pairs([*(node.key for node in reversed(way)), trunk.node.key])
        for join in self.joins:
            between = [join.node.key] if join.node else []
            found += _pairs([join.left, *between, join.right])
        for lane in self.lanes:
            end = [lane.guest.key] if lane.guest else []
            found += _pairs([lane.trunk, *(node.key for node in lane.chain), *end])
        return tuple(dict.fromkeys(found))

    @property
    def counted(self) -> Counter[str]:
        """How many VIFs are in each state."""
        return Counter(lane.state for lane in self.lanes)

    @property
    def summary(self) -> str:
        """What the picture shows, in one line."""
        if not self:
            others = f"nothing of this is here; {self.left_out} other VIFs are not shown"
            return others if self.left_out else "nothing is plugged here"
        guests = {lane.guest.key for lane in self.lanes if lane.guest}
        bridges = [t for t in self.trunks if t.node.shape in ("bridge", "switch")]
        counts = ((len(self.lanes), "VIF"), (len(guests), "guest"), (len(bridges), "bridge"))
        words = [f"{n} {word}{'s' * (n != 1)}" for n, word in counts]
        more = [f"{self.left_out} more VIFs are not shown"] if self.left_out else []
        return ", ".join([*words, *more])

    def to_dict(self) -> dict[str, Any]:
        """Return it as ``vifplug topology -f json`` prints it."""
        return {
            "nodes": [node.to_dict() for node in self.nodes],
            "edges": [[*edge] for edge in self.edges],
            "warnings": [*self.warnings],
        }


@dataclass(frozen=True, kw_only=True)
class Pictured:
    """Topologies to be drawn in one picture, each with its title: one, or before and after."""

    title: str
    parts: tuple[tuple[str, Topology], ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the picture lacks."""
        return tuple(dict.fromkeys(text for _, each in self.parts for text in each.warnings))


def _pairs(keys: Iterable[str]) -> Iterator[tuple[str, str]]:
    return itertools.pairwise(keys)
