# SPDX-License-Identifier: Apache-2.0
"""Two pictures of a host, before and after some VIFs are plugged, and how they differ. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from vifplug.picture.graph import Lane, Node, Topology, Trunk

Names = Collection[str]
Nodes = Mapping[str, Node]

_NOT_MADE = ("guest", "nowhere")
"""Shapes of what no plug makes or changes."""


def compared(
    before: Topology, after: Topology, ids: Collection[str], names: tuple[Names, Names]
) -> tuple[Topology, Topology]:
    """Return both with what differs marked, and without what has nothing to do with these VIFs.

    ``names`` are those of everything on the host before and after, also what no picture shows.
    """
    there, then = _nodes(before), _nodes(after)

    def is_gone(node: Node) -> Node:
        if node.key in then or node.shape in _NOT_MADE:
            return node
        return node if node.name in names[1] else replace(node, change="gone")

    def is_new(node: Node) -> Node:
        if there.get(node.key) == node or node.shape in _NOT_MADE:
            return node
        known = node.key in there or node.name in names[0]
        return replace(node, change="changed" if known else "made")

    lanes = {lane.id: lane for lane in before.lanes}, {lane.id: lane for lane in after.lanes}

    def lane_after(lane: Lane) -> Lane:
        was = lanes[0].get(lane.id)
        if was is None:
            return replace(lane, change="made")
        return lane if was == lane else replace(lane, change="changed")

    def lane_before(lane: Lane) -> Lane:
        return lane if lane.id in lanes[1] else replace(lane, change="gone")

    return (
        _marked(_only(before, ids, then), is_gone, lane_before),
        _marked(_only(after, ids, there), is_new, lane_after),
    )


def _nodes(topology: Topology) -> Nodes:
    return {node.key: node for node in topology.nodes}


def _only(topology: Topology, ids: Collection[str], other: Nodes) -> Topology:
    """Return a topology with these VIFs alone, and what they or the plan have to do with."""
    lanes = tuple(lane for lane in topology.lanes if lane.id in ids)
    shown = {lane.trunk for lane in lanes}
    shown |= {trunk.node.key for trunk in topology.trunks if _differs(trunk, other)}
    while more := {join.left for join in topology.joins if join.right in shown} - shown:
        shown |= more
    return replace(
        topology,
        lanes=lanes,
        trunks=tuple(trunk for trunk in topology.trunks if trunk.node.key in shown),
        joins=tuple(j for j in topology.joins if j.left in shown and j.right in shown),
        left_out=len(topology.lanes) - len(lanes),
    )


def _differs(trunk: Trunk, other: Nodes) -> bool:
    """Whether a trunk, or a way from it to the wire, is not the same in the other picture."""
    nodes = (trunk.node, *(node for way in trunk.ways for node in way))
    return any(other.get(node.key) != node for node in nodes)


def _marked(
    topology: Topology, mark: Callable[[Node], Node], mark_lane: Callable[[Lane], Lane]
) -> Topology:
    return replace(
        topology,
        trunks=tuple(
            replace(
                trunk,
                node=mark(trunk.node),
                ways=tuple(tuple(mark(node) for node in way) for way in trunk.ways),
            )
            for trunk in topology.trunks
        ),
        joins=tuple(
            replace(join, node=mark(join.node) if join.node else None) for join in topology.joins
        ),
        lanes=tuple(
            replace(
                mark_lane(lane),
                chain=tuple(mark(node) for node in lane.chain),
                guest=mark(lane.guest) if lane.guest else None,
            )
            for lane in topology.lanes
        ),
    )
