# SPDX-License-Identifier: Apache-2.0
"""A picture in the language of Graphviz. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from vifplug.picture.graph import Node, Pictured, Topology
from vifplug.picture.text import cut, plain

_SHAPES: Mapping[str, str] = {
    "uplink": "cds",
    "vlan": "parallelogram",
    "bridge": "box3d",
    "switch": "box3d",
    "patch": "ellipse",
    "port": "box",
    "guest": "component",
    "nowhere": "plaintext",
}

_STATES: Mapping[str, str] = {
    "up": 'color="#1a7f4b"',
    "down": 'color="#a15c00" style="dashed"',
    "off": 'color="#6b7280" style="dotted"',
    "unattached": 'color="#2563eb" style="dashed"',
    "unwired": 'color="#7c3aed" style="dashed" penwidth=2',
    "drift": 'color="#c2410c" style="bold" penwidth=3',
    "orphan": 'color="#be123c" style="diagonals,bold" penwidth=3',
    "unused": 'color="#6b7280" style="dotted"',
}
"""How a state looks: by its colour, and by its line."""

_LONGEST = 60


def dot(picture: Pictured) -> str:
    """Return a picture as text for ``dot``."""
    lines = [
        "digraph vifplug {",
        f"  graph [rankdir=LR fontname={_quoted('sans-serif')} label={_quoted(picture.title)}]",
        '  node [fontname="sans-serif" fontsize=10 shape=box]',
        '  edge [arrowhead=none color="#6b7280"]',
    ]
    for number, (title, topology) in enumerate(picture.parts):
        lines.append(f"  subgraph cluster_{number} {{")
        lines.append(f"    label={_quoted(f'{title}: {topology.summary}')}")
        lines += [f"    {line}" for line in _part(topology, f"{number} ")]
        lines.append("  }")
    return "".join(f"{line}\n" for line in [*lines, "}"])


def _part(topology: Topology, prefix: str) -> Iterator[str]:
    if not topology:
        yield f"{_quoted(prefix)} [label={_quoted(topology.summary)} shape=plaintext]"
    for node in topology.nodes:
        yield f"{_quoted(prefix + node.key)} [{_attributes(node)}]"
    for left, right in topology.edges:
        yield f"{_quoted(prefix + left)} -> {_quoted(prefix + right)}"


def _attributes(node: Node) -> str:
    kind = " ".join(word for word in (node.change, node.kind, node.state.upper()) if word)
    words = [
        f"shape={_SHAPES[node.shape]}",
        f"label={_quoted(cut(node.name, _LONGEST), cut(kind, _LONGEST))}",
        f"tooltip={_quoted(*node.told)}",
        _STATES.get(node.state, ""),
    ]
    return " ".join(word for word in words if word)


def _quoted(*lines: str) -> str:
    r"""Return lines of text as one string of dot, in which ``\n`` ends a line.

    An ampersand would begin a character's name.
    """
    plainly = (plain(line).replace("\\", "\\\\").replace('"', '\\"') for line in lines)
    return '"' + "\\n".join(line.replace("&", "&amp;") for line in plainly) + '"'
