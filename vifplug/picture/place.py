# SPDX-License-Identifier: Apache-2.0
"""Gives each thing in a picture its place: columns from the wire to the guests. Pure.

Each VIF has a row of its own, and so has each way from a trunk to the wire. A trunk is as high as
its rows. So no line crosses a thing that it does not belong to, and 300 VIFs are 300 rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from vifplug.picture.graph import NOWHERE, Join, Lane, Node, Topology, Trunk
from vifplug.picture.text import width

FEW = 40
"""VIFs up to which a picture has much room for each."""

BOX, NARROW, GAP, TOP, LEFT = 124.0, 26.0, 26.0, 40.0, 16.0
"""The width of a box, its height, the room between columns, above the rows, and at the left."""

LETTER, WIDEST, LONGEST = 7.4, 24, 46
"""The width of a letter, and how many are shown of a guest's name and of a state's words."""

TEXT: Mapping[str, float] = {"VIF": 74.0, "VLAN": 46.0, "MAC": 134.0}
"""The columns of text after the state, and their widths."""


@dataclass(frozen=True, kw_only=True)
class Box:
    """A thing and its place. ``first`` is its number among all boxes of its thing."""

    node: Node
    x: float
    y: float
    w: float
    h: float
    first: bool = True


@dataclass(frozen=True, kw_only=True)
class Line:
    """A connection of two things, by their keys. ``state`` is that of a lane."""

    ends: tuple[str, str]
    x1: float
    y1: float
    x2: float
    y2: float
    state: str = ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A VIF's row: where its middle is, and the keys of all things between wire and guest."""

    lane: Lane
    y: float
    path: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A picture with places. ``heads`` are the columns' titles, and where each begins.

    ``guest``, ``text`` and ``after`` are where guests, states and the text after these begin.
    """

    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]
    rows: tuple[Row, ...]
    heads: tuple[tuple[str, float], ...]
    width: float
    height: float
    guest: float
    text: float
    after: float
    pitch: float


@dataclass(frozen=True)
class _Bar:
    """A trunk's place."""

    x: float
    top: float
    bottom: float

    @property
    def right(self) -> float:
        return self.x + BOX

    def nearest(self, y: float) -> float:
        """Return the height at which a line leaves it that comes from, or goes to, another."""
        room = NARROW / 2
        return min(max(y, self.top + room), max(self.top + room, self.bottom - room))


_Spot = tuple[float, str]
"""Where a column on the way to the wire begins, and the key of a device in it."""


def _span(rows: Mapping[_Spot, Sequence[float]], spot: _Spot) -> tuple[float, float]:
    """Return from where to where a device reaches: only its first row if others are between."""
    low, high = min(rows[spot]), max(rows[spot])
    column, key = spot
    others = (y for (c, k), ys in rows.items() if c == column and k != key for y in ys)
    return (low, low) if any(low < y < high for y in others) else (low, high)


def placed(topology: Topology) -> Placed:
    """Return a topology with places."""
    return _Placing(topology).done()


class _Placing:
    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._trunks = {trunk.node.key: trunk for trunk in topology.trunks}
        self._lanes: dict[str, list[Lane]] = defaultdict(list)
        for lane in topology.lanes:
            self._lanes[lane.trunk].append(lane)
        self._left: dict[str, list[Join]] = defaultdict(list)
        self._right: dict[str, list[Join]] = defaultdict(list)
        for join in topology.joins:
            self._left[join.right].append(join)
            self._right[join.left].append(join)
        self._pitch = 34 if len(topology.lanes) <= FEW else 28
        self._boxes: list[Box] = []
        self._lines: list[Line] = []
        self._rows: list[Row] = []
        self._bars: dict[str, _Bar] = {}
        self._joined: list[tuple[Join, float]] = []
        self._ways: list[tuple[Trunk, tuple[Node, ...], float]] = []
        self._columns()

    def _columns(self) -> None:
        """Find how many columns of each sort there are, and where each begins."""
        self._levels = {key: self._level(key, ()) for key in self._trunks}
        levels = max(self._levels.values(), default=0)
        between = {self._levels[join.right]: 1 for join in self._topology.joins if join.node}
        for key, trunk in self._trunks.items():
            longest = max((len(way) - 1 for way in trunk.ways), default=0)
            between[self._levels[key]] = max(between.get(self._levels[key], 0), longest)
        chain = max((len(lane.chain) for lane in self._topology.lanes), default=0)
        x = LEFT
        self._level_x: dict[int, float] = {}
        if any(trunk.ways for trunk in self._trunks.values()):
            x += BOX + GAP
        for level in range(levels, -1, -1):
            x += between.get(level, 0) * (BOX + GAP)
            self._level_x[level] = x
            x += BOX + GAP
        self._chain_x = [x + (BOX + GAP) * number for number in range(chain)]
        self._guest_x = x + (BOX + GAP) * chain
        names = [width(lane.guest.name) for lane in self._topology.lanes if lane.guest]
        self._guest_w = max(BOX, 34 + LETTER * min(max(names, default=0), WIDEST))
        self._text_x = self._guest_x + self._guest_w + 24
        words = (width(lane.words) for lane in self._topology.lanes)
        self._state_w = 34 + LETTER * min(max(words, default=0), LONGEST)

    def _level(self, key: str, seen: Sequence[str]) -> int:
        """Return how many trunks lie between a trunk and the guests."""
        if key in seen:
            return 0
        after = (self._level(join.right, (*seen, key)) for join in self._right[key])
        return 1 + max(after, default=-1)

    def done(self) -> Placed:
        y: float = TOP
        for key in self._in_order():
            y += self._block(key, y) + self._pitch / 2
        self._put_ways()
        for trunk, way, at in self._ways:
            self._connect(trunk, way, at)
        for join, at in self._joined:
            self._join(join, at)
        heads = [(word, x) for word, x in self._heads() if x is not None]
        return Placed(
            boxes=tuple(self._boxes),
            lines=tuple(self._lines),
            rows=tuple(self._rows),
            heads=tuple(heads),
            width=self._text_x + self._state_w + sum(TEXT.values()),
            height=y,
            guest=self._guest_x + 8,
            text=self._text_x,
            after=self._text_x + self._state_w,
            pitch=self._pitch,
        )

    def _heads(self) -> Iterable[tuple[str, float | None]]:
        yield "UPLINK", LEFT if self._ways else None
        yield "BRIDGE", self._level_x[0] if self._trunks else None
        yield "DEVICE", self._chain_x[-1] if self._chain_x else None
        if self._rows:
            yield "GUEST", self._guest_x
            yield "STATE", self._text_x
            x = self._text_x + self._state_w
            for word, wide in TEXT.items():
                yield word, x
                x += wide

    # Which trunk comes where.

    def _is_feeder(self, key: str) -> bool:
        """Whether a trunk has no VIF, and leads to another one, beside which it is put."""
        return not self._lanes[key] and bool(self._right[key])

    def _in_order(self) -> Sequence[str]:
        """Return the trunks from top to bottom, without feeders; those of an uplink together."""

        def by(key: str) -> tuple[bool, str, str]:
            ways = self._trunks[key].ways
            return key == NOWHERE, ways[0][-1].name if ways else "~", key

        found: dict[str, None] = {}
        for key in sorted(self._trunks, key=by):
            if not self._is_feeder(key):
                self._visit(key, found, ())
        for key in self._trunks:  # feeders that feed only one another
            if key not in found and not self._is_fed(key, found):
                found[key] = None
        return [*found]

    def _visit(self, key: str, found: dict[str, None], seen: Sequence[str]) -> None:
        for join in self._left[key]:
            if not self._is_feeder(join.left) and join.left not in seen and join.left not in found:
                self._visit(join.left, found, (*seen, key))
        found[key] = None

    def _is_fed(self, key: str, found: Iterable[str], seen: Sequence[str] = ()) -> bool:
        """Whether a feeder leads, maybe by others, to a trunk that has a place."""
        places = {*found}
        return any(
            join.right in places
            or (join.right not in seen and self._is_fed(join.right, places, (*seen, key)))
            for join in self._right[key]
        )

    # The rows.

    def _block(self, key: str, y: float) -> float:
        """Give a trunk and everything of it places from a height on; return how high that is."""
        lanes = self._lanes[key]
        left = self._left_of(key, y)
        height = max(len(lanes) * self._pitch, left, self._pitch)
        self._bar(key, y, height)
        for number, lane in enumerate(lanes):
            self._lane(lane, y + (number + 0.5) * self._pitch)
        self._guests(lanes, y)
        return height

    def _left_of(self, key: str, y: float) -> float:
        """Give what is on the left of a trunk places; return how high that is."""
        trunk, top = self._trunks[key], y
        for join in self._left[key]:
            self._joined.append((join, y + self._pitch / 2))
            feeds = self._is_feeder(join.left) and join.left not in self._bars
            if feeds:
                self._bars[join.left] = _Bar(0, y, y)  # so that no circle comes back to it
                height = max(self._left_of(join.left, y), self._pitch)
                self._bar(join.left, y, height)
                y += height
            else:
                y += self._pitch
        for way in trunk.ways:
            self._ways.append((trunk, way, y + self._pitch / 2))
            y += self._pitch
        return y - top

    def _bar(self, key: str, y: float, height: float) -> None:
        room = (self._pitch - NARROW) / 2
        bar = _Bar(self._level_x[self._levels[key]], y + room, y + height - room)
        self._bars[key] = bar
        node = self._trunks[key].node
        self._boxes.append(Box(node=node, x=bar.x, y=bar.top, w=BOX, h=bar.bottom - bar.top))

    def _lane(self, lane: Lane, y: float) -> None:
        """Put the devices of a VIF into its row, next to its guest."""
        before, x = lane.trunk, self._bars[lane.trunk].right
        columns = self._chain_x[len(self._chain_x) - len(lane.chain) :] if lane.chain else []
        for node, at in zip(lane.chain, columns, strict=True):
            self._boxes.append(Box(node=node, x=at, y=y - NARROW / 2, w=BOX, h=NARROW))
            self._line((before, node.key), (x, y), (at, y), lane.state)
            before, x = node.key, at + BOX
        end = lane.guest.key if lane.guest else ""
        self._line((before, end), (x, y), (self._guest_x, y), lane.state)
        keys = [lane.trunk, *(node.key for node in lane.chain), *([end] if end else [])]
        path = dict.fromkeys([*self._path(lane.trunk, ()), *keys])
        self._rows.append(Row(lane=lane, y=y, path=tuple(path)))

    def _path(self, key: str, seen: Sequence[str]) -> Iterable[str]:
        """Yield the keys of everything between a trunk and the wire."""
        for way in self._trunks[key].ways:
            yield from (node.key for node in way)
        for join in self._left[key]:
            if join.left not in (*seen, key):
                yield from self._path(join.left, (*seen, key))
                yield join.left
                yield from [join.node.key] if join.node else []

    def _guests(self, lanes: Sequence[Lane], y: float) -> None:
        """Put each guest beside its VIFs; once more where it has VIFs on other trunks."""
        start, seen = 0, {box.node.key for box in self._boxes}
        for number, lane in enumerate(lanes):
            if number + 1 < len(lanes) and lanes[number + 1].guest == lane.guest is not None:
                continue
            if lane.guest:
                top = y + start * self._pitch + (self._pitch - NARROW) / 2
                height = (number - start) * self._pitch + NARROW
                first = lane.guest.key not in seen
                self._boxes.append(Box(node=lane.guest, x=self._guest_x, y=top, w=self._guest_w,
                                       h=height, first=first))  # fmt: skip
                seen.add(lane.guest.key)
            start = number + 1

    # What leads to the wire.

    def _spots(self, trunk: Trunk, way: Sequence[Node]) -> Sequence[_Spot]:
        """Return where the devices of a way come, from the wire on: the first at the very left."""
        x = self._level_x[self._levels[trunk.node.key]]
        spots = [(x - (number + 1) * (BOX + GAP), node.key) for number, node in enumerate(way)]
        return [(LEFT, way[-1].key), *spots[-2::-1]]

    def _put_ways(self) -> None:
        """Put each device on a way into its column, once: as high as the trunks that share it."""
        rows: dict[_Spot, list[float]] = defaultdict(list)
        nodes: dict[_Spot, Node] = {}
        for trunk, way, y in self._ways:
            for spot, node in zip(self._spots(trunk, way), reversed(way), strict=True):
                rows[spot].append(y)
                nodes[spot] = node
        self._spans = {spot: _span(rows, spot) for spot in rows}
        for (x, key), node in nodes.items():
            low, high = self._spans[x, key]
            y, height = low - NARROW / 2, high - low + NARROW
            self._boxes.append(Box(node=node, x=x, y=y, w=BOX, h=height))

    def _connect(self, trunk: Trunk, way: tuple[Node, ...], y: float) -> None:
        """Draw the lines of one way, from the wire to the trunk."""
        bar, spots = self._bars[trunk.node.key], self._spots(trunk, way)
        for spot, after in zip(spots, [*spots[1:], None], strict=True):
            start = (spot[0] + BOX, self._within(spot, y))
            if after is None:
                self._line((spot[1], trunk.node.key), start, (bar.x, bar.nearest(y)))
            else:
                self._line((spot[1], after[1]), start, (after[0], self._within(after, y)))

    def _within(self, spot: _Spot, y: float) -> float:
        """Return the height of a device that is next to another one."""
        low, high = self._spans[spot]
        return min(max(y, low), high)

    def _join(self, join: Join, y: float) -> None:
        """Draw what connects two trunks."""
        left, right = self._bars[join.left], self._bars[join.right]
        start, end = (left.right, left.nearest(y)), (right.x, right.nearest(y))
        if join.node is None:
            self._line((join.left, join.right), start, end)
            return
        x = right.x - BOX - GAP
        self._boxes.append(Box(node=join.node, x=x, y=y - NARROW / 2, w=BOX, h=NARROW))
        self._line((join.left, join.node.key), start, (x, y))
        self._line((join.node.key, join.right), (x + BOX, y), end)

    def _line(
        self,
        ends: tuple[str, str],
        start: tuple[float, float],
        end: tuple[float, float],
        state: str = "",
    ) -> None:
        self._lines.append(
            Line(ends=ends, x1=start[0], y1=start[1], x2=end[0], y2=end[1], state=state)
        )
