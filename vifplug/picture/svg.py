# SPDX-License-Identifier: Apache-2.0
"""A picture as SVG: alone in a file, or in an HTML page. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from vifplug.picture.graph import CHANGES, ILL, STATES, Lane, Pictured, Topology
from vifplug.picture.place import BOX, LEFT, LONGEST, TEXT, WIDEST, Box, Line, Placed, Row, placed
from vifplug.picture.style import of_a_file
from vifplug.picture.text import cut, escaped

SIGNS: Mapping[str, str] = {
    "up": '<circle r="5"/>',
    "down": '<path d="M-6-4H6L0 6Z"/>',
    "off": '<rect x="-4.5" y="-4.5" width="9" height="9"/>',
    "unattached": '<path d="M0-6.2 6.2 0 0 6.2-6.2 0Z"/>',
    "unwired": '<circle r="5.2"/><path d="M-3.6 3.6 3.6-3.6"/>',
    "drift": '<path d="M0-7 7 5.6H-7Z"/><path class="on" d="M0-2.6V1.6M0 3.2V4"/>',
    "orphan": '<path d="M-5-5 5 5M-5 5 5-5"/>',
    "unused": '<circle r="4.6"/>',
    "made": '<path d="M-6 0H6M0-6V6"/>',
    "changed": '<path d="M-6 1.6C-3-5 3 6 6-1.6"/>',
    "gone": '<path d="M-6 0H6"/>',
}
"""The sign of each state and change: its shape tells it without its colour."""

_REPEATED = 20
"""Rows after which a long trunk shows its name again."""

_LETTERS = 15
"""Letters of a device's name: more the kernel does not allow."""


def svg(picture: Pictured) -> str:
    """Return a picture as one SVG document."""
    drawn = [(title, placed(topology), topology) for title, topology in picture.parts]
    head, several = 34, len(drawn) > 1
    width = max([480.0, *(each.width for _, each, _ in drawn)])
    body, y = [], float(head)
    for number, (title, each, topology) in enumerate(drawn):
        words = f"{title}: {topology.summary}" if several else topology.summary
        body.append(f'<text class="summary" x="{LEFT}" y="{_n(y + 6)}">{escaped(words)}</text>')
        body.append(f'<g transform="translate(0 {_n(y + 8)})">')
        body += [*_inside(each, f"p{number}-", topology), "</g>"]
        y += each.height + head
    legend, high = _legend([topology for _, topology in picture.parts], y)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_n(width)}" height="{_n(y + high)}" '
            f'viewBox="0 0 {_n(width)} {_n(y + high)}" class="vifplug" role="img">',
            f"<title>{escaped(picture.title)}</title>",
            f"<style>{of_a_file()}</style>",
            '<rect class="paper" width="100%" height="100%"/>',
            f'<text class="title" x="{LEFT}" y="22">{escaped(picture.title)}</text>',
            *body,
            *legend,
            "</svg>\n",
        ]
    )


def part(topology: Topology, prefix: str) -> str:
    """Return a topology as an SVG element of a page. ``prefix`` begins its ids."""
    each = placed(topology)
    size = f'width="{_n(each.width)}" height="{_n(each.height + 8)}"'
    box = f'viewBox="0 0 {_n(each.width)} {_n(each.height + 8)}"'
    start = f'<svg xmlns="http://www.w3.org/2000/svg" class="vifplug" {size} {box} role="group">'
    return "\n".join([start, *_inside(each, prefix, topology), "</svg>"])


def meanings(parts: Iterable[Topology]) -> Mapping[str, str]:
    """Return the states and changes that some pictures show, and what each means."""
    shown = set[str]()
    for each in parts:
        shown |= {word for node in each.nodes for word in (node.state, node.change)}
        shown |= {word for lane in each.lanes for word in (lane.state, lane.change)}
    return {word: text for word, text in {**STATES, **CHANGES}.items() if word in shown}


def sign(word: str) -> str:
    """Return the sign of a state or a change, in its colour."""
    return f'<g class="{word}"><g class="sign {word}">{SIGNS[word]}</g></g>'


def _legend(parts: Sequence[Topology], y: float) -> tuple[Sequence[str], float]:
    """Return what the signs in some pictures mean, and how high that is."""
    found: list[str] = []
    for word, meaning in meanings(parts).items():
        place = f"translate({_n(LEFT + 8)} {_n(y + 18 * len(found))})"
        text = f'<text x="14" y="4">{word}: {escaped(meaning)}</text>'
        found.append(f'<g class="legend" transform="{place}">{sign(word)}{text}</g>')
    return found, 18.0 * len(found) + 12


def _inside(each: Placed, prefix: str, topology: Topology) -> Iterator[str]:
    if not topology:
        yield f'<text class="nothing" x="{LEFT}" y="34">{escaped(topology.summary)}</text>'
        return
    for words, x in each.heads:
        yield f'<text class="head" x="{_n(x)}" y="24">{words}</text>'
    ids: dict[str, str] = {}
    for box in each.boxes:
        ids.setdefault(box.node.key, f"{prefix}{len(ids)}")
    # First, because a row that is lit must not hide its lines.
    for row in each.rows:
        yield _row(row, each, ids)
    for line in each.lines:
        yield _line(line, ids)
    for box in each.boxes:
        yield _box(box, each.pitch, ids)


def _line(line: Line, ids: Mapping[str, str]) -> str:
    start, end = f"{_n(line.x1)} {_n(line.y1)}", f"{_n(line.x2)} {_n(line.y2)}"
    ends = " ".join(ids[key] for key in line.ends if key in ids)
    half = _n((line.x1 + line.x2) / 2)
    bent = f"C{half} {_n(line.y1)} {half} {_n(line.y2)} {end}" if line.y1 != line.y2 else f"L{end}"
    return f'<path class="wire {line.state}" d="M{start}{bent}" data-ends="{ends}"/>'


def _row(row: Row, each: Placed, ids: Mapping[str, str]) -> str:
    """Return the text of a VIF, at the right of its guest."""
    lane, x, cells = row.lane, each.after, []
    words = (lane.short, "" if lane.vlan is None else str(lane.vlan), lane.address)
    for text, wide in zip(words, TEXT.values(), strict=True):
        if text:
            cells.append(f'<text class="name" x="{_n(x)}" y="4">{escaped(text)}</text>')
        x += wide
    if lane.guest is None:
        cells.append(f'<text class="nobody" x="{_n(each.guest)}" y="4">no guest known</text>')
    if lane.change:
        cells.append(_change(lane.change, each.text - 12))
    mark = f'<g class="sign" transform="translate({_n(each.text + 6)} 0)">{SIGNS[lane.state]}</g>'
    cells.append(
        f'{mark}<text class="state" x="{_n(each.text + 20)}" y="4">'
        f"{escaped(cut(lane.words, LONGEST))}</text>"
    )
    path = " ".join(ids[key] for key in row.path if key in ids)
    told = escaped_lines(_told(lane))
    ill = ' data-ill="1"' if lane.state in ILL else ""
    stripe = (
        f'<rect class="stripe" x="0" y="{_n(-each.pitch / 2)}" width="{_n(each.width)}" '
        f'height="{_n(each.pitch)}"/>'
    )
    return (
        f'<g class="lane {lane.state} {lane.change}" transform="translate(0 {_n(row.y)})" '
        f'data-path="{path}" data-state="{lane.state}"{ill} data-vif="{escaped(lane.id)}" '
        f'tabindex="-1" role="img"><title>{told}</title>{stripe}{"".join(cells)}</g>'
    )


def _told(lane: Lane) -> Sequence[str]:
    """Return all that is known of a VIF, one fact a line."""
    facts = {
        "": f"VIF {lane.id}",
        "type": lane.kind,
        "guest": lane.guest.name if lane.guest else "",
        "MAC": lane.address,
        "VLAN": "" if lane.vlan is None else str(lane.vlan),
        "on": lane.trunk,
        "devices": ", ".join(node.name for node in lane.chain),
        "state": lane.words,
        "plan": CHANGES.get(lane.change, ""),
    }
    return [f"{word}  {text}".strip() for word, text in facts.items() if text]


def _box(box: Box, pitch: float, ids: Mapping[str, str]) -> str:
    node = box.node
    key = ids[node.key]
    name = f'id="{key}"' if box.first else f'data-again="{key}"'
    inside = [_outline(box), *_names(box, pitch)]
    if node.state:
        spot = f"translate({_n(box.x + box.w - 11)} {_n(box.y + 13)})"
        inside.append(f'<g class="sign" transform="{spot}">{SIGNS[node.state]}</g>')
    if node.change:
        inside.append(_change(node.change, box.x - 11, box.y + 13))
    return (
        f'<g class="node {node.shape} {node.state} {node.change}" {name} tabindex="-1" role="img">'
        f"<title>{escaped_lines(node.told)}</title>{''.join(inside)}</g>"
    )


def _change(change: str, x: float, y: float = 0) -> str:
    return f'<g class="sign {change}" transform="translate({_n(x)} {_n(y)})">{SIGNS[change]}</g>'


def _outline(box: Box) -> str:
    """Return the outline of a box: its shape tells the sort of thing."""
    x, y, w, h = box.x, box.y, box.w, box.h
    edge = f'x="{_n(x)}" y="{_n(y)}" width="{_n(w)}" height="{_n(h)}"'
    match box.node.shape:
        case "uplink":
            cut_off = 9
            points = [(x, y), (x + w - cut_off, y), (x + w, y + cut_off), (x + w, y + h - cut_off),
                      (x + w - cut_off, y + h), (x, y + h)]  # fmt: skip
            return _polygon(points)
        case "vlan":
            lean = 8
            return _polygon([(x + lean, y), (x + w, y), (x + w - lean, y + h), (x, y + h)])
        case "switch":
            inner = f'x="{_n(x + 3)}" y="{_n(y + 3)}" width="{_n(w - 6)}" height="{_n(h - 6)}"'
            return f'<rect class="box" {edge} rx="7"/><rect class="inner" {inner} rx="5"/>'
        case "patch" | "port":
            return f'<rect class="box" {edge} rx="13"/>'
        case "guest":
            screen = f'<path class="inner" d="M{_n(x + 8)} {_n(y + 8)}h12v8h-12zM{_n(x + 11)} '
            return f'<rect class="box" {edge} rx="3"/>{screen}{_n(y + 18.5)}h6"/>'
        case _:
            return f'<rect class="box" {edge} rx="7"/>'


def _polygon(points: Sequence[tuple[float, float]]) -> str:
    return f'<path class="box" d="M{"L".join(f"{_n(x)} {_n(y)}" for x, y in points)}Z"/>'


def _names(box: Box, pitch: float) -> Iterator[str]:
    node = box.node
    if node.shape == "guest":
        text = escaped(cut(node.name, WIDEST - 2 * bool(node.state)))
        yield f'<text class="label" x="{_n(box.x + 26)}" y="{_n(box.y + 17)}">{text}</text>'
        return
    middle = _n(box.x + BOX / 2 - (8 if node.state else 0))
    if node.shape == "patch" and " ⇄ " in node.name:
        for text, y in zip(node.name.split(" ⇄ "), (11, 21), strict=False):
            yield (f'<text class="name small" x="{middle}" y="{_n(box.y + y)}">'
                   f"{escaped(cut(text, _LETTERS))}</text>")  # fmt: skip
        return
    text = escaped(cut(node.name, _LETTERS))
    high = box.h > pitch
    top = box.y + 17
    while top < box.y + box.h:
        yield f'<text class="name middle" x="{middle}" y="{_n(top)}">{text}</text>'
        if high:
            kind = escaped(cut(node.kind, _LETTERS))
            yield f'<text class="kind" x="{middle}" y="{_n(top + 14)}">{kind}</text>'
        top += pitch * _REPEATED


def escaped_lines(lines: Sequence[str]) -> str:
    """Return lines of text as they stand in an element, each in a line of its own."""
    return "\n".join(escaped(line) for line in lines)


def _n(number: float) -> str:
    """Return a number with no more digits than it needs."""
    return f"{number:.1f}".removesuffix(".0")
