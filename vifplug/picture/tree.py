# SPDX-License-Identifier: Apache-2.0
"""A picture as a tree of text, from the wire to the guests. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from vifplug.picture.graph import Lane, Node, Pictured, Topology
from vifplug.picture.guides import Branch, guided
from vifplug.picture.text import plain


def tree(picture: Pictured) -> str:
    """Return a picture as text."""
    several = len(picture.parts) > 1
    found = []
    for title, topology in picture.parts:
        head = f"{plain(title)}: {topology.summary}\n" if several or not topology else ""
        found.append(head + guided(_Tree(topology).roots()))
    return "\n".join(found)


class _Tree:
    """The branches of a topology. A trunk with several ways to the wire is below the first."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._roots: list[Branch] = []
        self._branches: dict[str, Branch] = {}
        self._trunks = {trunk.node.key: trunk for trunk in topology.trunks}

    def roots(self) -> Sequence[Branch]:
        for key in self._trunks:
            self._trunk(key)
        for lane in self._topology.lanes:
            self._trunk(lane.trunk).below.append(Branch(_lane(lane)))
        return self._roots

    def _trunk(self, key: str, seen: Sequence[str] = ()) -> Branch:
        """Return the branch of a trunk, which is put below what is nearer to the wire."""
        trunk = self._trunks[key]
        if key in self._branches:
            return self._branches[key]
        joins = [j for j in self._topology.joins if j.right == key and j.left not in (*seen, key)]
        above: Branch | None = None
        if joins:
            above = self._trunk(joins[0].left, (*seen, key))
            if joins[0].node:
                above = self._put(joins[0].node, above)
        elif trunk.ways:
            for node in reversed(trunk.ways[0]):
                above = self._put(node, above)
        also = [join.left for join in joins[1:]]
        also += [way[0].name for way in trunk.ways[0 if joins else 1 :]]
        return self._put(trunk.node, above, more=f"also by {', '.join(also)}" if also else "")

    def _put(self, node: Node, above: Branch | None, *, more: str = "") -> Branch:
        if node.key not in self._branches:
            self._branches[node.key] = branch = Branch(_words(node, more))
            (above.below if above else self._roots).append(branch)
        return self._branches[node.key]


_SIGNS = {"made": "+", "changed": "~", "gone": "-", "": ""}


def _words(node: Node, *more: str) -> str:
    words = (_SIGNS[node.change], node.name, node.kind, node.state, *more)
    return "  ".join(plain(word) for word in words if word)


def _lane(lane: Lane) -> str:
    devices = " - ".join(node.name for node in lane.chain) or "no device"
    guest = lane.guest.name if lane.guest else ""
    words = (_SIGNS[lane.change], devices, lane.kind, lane.short, guest, lane.words)
    return "  ".join(plain(word) for word in words if word)
