# SPDX-License-Identifier: Apache-2.0
"""YAML as plain data, by the rules of YAML 1.2: what JSON can say, and nothing more. Pure.

The rules of YAML 1.1 would read the address 52:54:00:12:34:56 as a number, and the word no as
false.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from vifplug.errors import shown

_MOST = 1_000_000
"""Values of a document, each counted where it is used: aliases make a short text a large one."""

_DIGITS = 4000
"""Of a whole number. Python refuses 4,300, because they take long."""

_DEEPEST = 256
"""Lists and objects in one another. The library composes each in a call of its own."""

_TAG = "tag:yaml.org,2002:"
_PLAIN = (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads text into nodes; makes no object of them."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - the library's own name


for _name, _pattern, _first in _PLAIN:
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(rf"^(?:{_pattern})$"), _first)


def load(text: str) -> Any:
    """Return the one document of a text as plain data. Raises ValueError with line and column."""
    loader = _Loader(text)
    try:
        _require_flat(text)
        node = loader.get_single_node()
        return None if node is None else _Data().of(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ValueError(f"broken at {_at(mark)}: {error.problem or error.context}") from None
    except yaml.YAMLError as error:  # a character that YAML does not allow
        raise ValueError(" ".join(str(error).split())) from None
    finally:
        loader.dispose()


def _require_flat(text: str) -> None:
    # By events, of which no depth costs a call. An older library ends the process when it composes
    # 100,000 brackets, and refuses none.
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            _require_depth(depth, event.start_mark)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _require_depth(depth: int, mark: Any) -> None:
    if depth > _DEEPEST:
        raise ValueError(f"nested too deep at {_at(mark)}, more than {_DEEPEST}")


class _Data:
    """Makes plain data of nodes."""

    def __init__(self) -> None:
        self._left = _MOST
        self._open: set[int] = set()

    def of(self, node: yaml.Node) -> Any:
        """Return a node's data. Raises ValueError."""
        self._left -= 1
        if self._left < 0:
            raise ValueError(f"more than {_MOST} values, with its aliases written out")
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        if id(node) in self._open:
            raise ValueError(f"the value at {_at(node.start_mark)} contains itself")
        self._open.add(id(node))
        # Aliases nest deeper than their text.
        _require_depth(len(self._open), node.start_mark)
        try:
            if isinstance(node, yaml.SequenceNode):
                _require_tag(node, "seq")
                return [self.of(item) for item in node.value]
            _require_tag(node, "map")
            return self._object(node)
        finally:
            self._open.discard(id(node))

    def _object(self, node: yaml.MappingNode) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in node.value:
            name = self.of(key)
            if not isinstance(name, str):
                raise ValueError(f"the name {shown(name)} at {_at(key.start_mark)} is no text")
            if name in found:
                raise ValueError(f"the name {shown(name)} stands twice, at {_at(key.start_mark)}")
            found[name] = self.of(value)
        return found


def _scalar(node: yaml.ScalarNode) -> Any:
    text = str(node.value)
    match node.tag.removeprefix(_TAG):
        case "str":
            return text
        case "null":
            return None
        case "bool" if text.lower() in ("true", "false"):
            return text.lower() == "true"
        case "int" if len(text) <= _DIGITS and re.fullmatch(_PLAIN[2][1], text):
            return int(text)
        case "float" if re.fullmatch(_PLAIN[3][1], text):
            return float(text)
    raise ValueError(f"{node.tag} at {_at(node.start_mark)} is no text, number, true or false")


def _require_tag(node: yaml.Node, kind: str) -> None:
    if node.tag != _TAG + kind:
        raise ValueError(f"{node.tag} at {_at(node.start_mark)} is no list and no object")


def _at(mark: Any) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}" if mark else "its end"
