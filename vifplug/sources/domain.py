# SPDX-License-Identifier: Apache-2.0
"""A libvirt domain's XML as a tree whose elements know their place in the text. Pure.

A change is then a replacement of bytes: all other bytes of a domain stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

from vifplug.errors import NO_VIF, InvalidVIF, shown

MOST = 16 << 20
"""Bytes of a domain: libvirt sends no longer text."""

_ALLOWED = "a libvirt domain, as virsh dumpxml prints it"

_DEEPEST = 256
_WITHIN = " "
"""What stands between a namespace and a name."""

_ENCODINGS = ("utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1")
"""An ASCII character has one byte in each, so that text with only these fits in."""


@dataclass(kw_only=True)
class Node:
    """An element. ``tag`` is its name, after its namespace and a space if it has one.

    ``start`` and ``end`` are the element's first byte and the one after its last. ``inside`` and
    ``tail`` are those of its content, which an empty-element tag does not have.
    """

    tag: str
    attributes: dict[str, str]
    start: int
    inside: int = -1
    tail: int = -1
    end: int = -1
    children: list[Node] = field(default_factory=list)
    text: str = ""

    @property
    def empty(self) -> bool:
        """Whether it is an empty-element tag, as <mac/>."""
        return self.inside == self.end

    def each(self, tag: str) -> Iterator[Node]:
        """Yield the children with a name."""
        return (child for child in self.children if child.tag == tag)

    def find(self, path: str) -> Node | None:
        """Return the first element at a path of names, as devices/interface."""
        found: Node | None = self
        for tag in path.split("/"):
            found = next(found.each(tag), None) if found else None
        return found

    def value(self, path: str, attribute: str) -> str | None:
        """Return an attribute of the first element at a path."""
        found = self.find(path)
        return found.attributes.get(attribute) if found else None


@dataclass(frozen=True, kw_only=True)
class Domain:
    """A domain: its text and its root element."""

    data: bytes
    root: Node

    @property
    def name(self) -> str | None:
        """The guest's name."""
        found = self.root.find("name")
        return found.text if found else None

    @property
    def uuid(self) -> str | None:
        """The guest's UUID."""
        found = self.root.find("uuid")
        return found.text.strip().lower() if found else None

    @property
    def virt_type(self) -> str | None:
        """The hypervisor."""
        return self.root.attributes.get("type")

    @property
    def title(self) -> str:
        """The guest's name, for an error."""
        return shown(self.name)[1:-1] if self.name else "the domain"

    def interfaces(self) -> Iterator[Node]:
        """Yield every <interface>."""
        devices = self.root.find("devices")
        yield from devices.each("interface") if devices else ()

    def raw(self, node: Node) -> bytes:
        """Return the text of an element."""
        return self.data[node.start : node.end]


def parse(text: bytes | str) -> Domain:
    """Return a domain. Raises InvalidVIF for what is none."""
    data = text.encode() if isinstance(text, str) else text
    return Domain(data=data, root=tree(data, "domain", _ALLOWED))


def tree(data: bytes, name: str, allowed: str) -> Node:
    """Return the root of a document of libvirt's, which has this name. Raises InvalidVIF."""

    def refuse(found: str) -> InvalidVIF:
        return InvalidVIF(NO_VIF, name, found, allowed)

    if len(data) > MOST:
        raise refuse(f"larger than {MOST >> 20} MiB")
    builder = _Builder(data)
    try:
        root = builder.built()
    except expat.ExpatError as error:
        words = expat.ErrorString(error.code)
        raise refuse(f"broken at line {error.lineno}, column {error.offset}: {words}") from None
    except (ValueError, UnicodeError) as error:
        raise refuse(str(error)) from None
    if root is None or root.tag != name:
        raise refuse(f"<{shown(root.tag)[1:-1] if root else ''}>")
    return root


class _Builder:
    """Builds the tree. An event ends the tag before it, because expat only tells where it is."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._open: list[Node] = []
        self._root: Node | None = None
        self._unended: Node | None = None
        parser = self._parser = expat.ParserCreate(namespace_separator=_WITHIN)
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.XmlDeclHandler = self._declared
        parser.StartDoctypeDeclHandler = self._doctype
        parser.DefaultHandler = self._other

    def built(self) -> Node | None:
        if self._data.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise ValueError("not UTF-8")
        self._parser.Parse(self._data, True)
        self._here(len(self._data))
        return self._root

    def _here(self, at: int) -> None:
        """End the tag before this place."""
        if self._unended is not None:
            self._unended.end = at
            self._unended = None
        if self._open and self._open[-1].inside < 0:
            self._open[-1].inside = at

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        at = self._parser.CurrentByteIndex
        self._here(at)
        if len(self._open) >= _DEEPEST:
            raise ValueError("nested too deep")
        node = Node(tag=tag, attributes=attributes, start=at)
        if self._open:
            self._open[-1].children.append(node)
        else:
            self._root = node
        self._open.append(node)

    def _end(self, tag: str) -> None:
        at = self._parser.CurrentByteIndex
        node = self._open[-1]
        fresh = node.inside < 0
        self._here(at)
        self._open.pop()
        node.tail = at
        if fresh and self._data[at - 2 : at] == b"/>":
            node.end = at
        else:
            self._unended = node

    def _text(self, text: str) -> None:
        self._here(self._parser.CurrentByteIndex)
        if self._open:
            self._open[-1].text += text

    def _other(self, text: str) -> None:
        self._here(self._parser.CurrentByteIndex)

    def _declared(self, version: str, encoding: str | None, standalone: int) -> None:
        if version != "1.0":  # libxml2, which is libvirt's parser, takes no other
            raise ValueError(f"of the XML version {shown(version)}, not 1.0")
        if encoding and encoding.lower() not in _ENCODINGS:
            raise ValueError(f"of the encoding {shown(encoding)}, not UTF-8")

    def _doctype(self, *words: object) -> None:
        # Entities could make a short text long without end; libvirt writes none.
        raise ValueError("a text with a DOCTYPE")


@dataclass(frozen=True, kw_only=True)
class Edit:
    """A replacement of the bytes from ``start`` to ``end``."""

    start: int
    end: int
    text: bytes


def edited(data: bytes, edits: list[Edit]) -> bytes:
    """Return a text with its replacements, none of which overlap."""
    pieces, at = [], 0
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        pieces += [data[at : edit.start], edit.text]
        at = edit.end
    return b"".join([*pieces, data[at:]])


def with_attribute(tag: bytes, name: str, value: str | None) -> bytes:
    """Return a start tag with an attribute; None takes the attribute away."""
    said = re.compile(rb"(\s+)" + name.encode() + rb"""\s*=\s*("[^"]*"|'[^']*')""")
    text = None if value is None else escaped(value)
    if (found := said.search(tag)) is not None:
        if text is None:
            return tag[: found.start()] + tag[found.end() :]
        quote = found[2][:1]
        return tag[: found.start(2)] + quote + text + quote + tag[found.end(2) :]
    if text is None:
        return tag
    close = len(tag) - (2 if tag.endswith(b"/>") else 1)
    return tag[:close].rstrip() + b" " + name.encode() + b'="' + text + b'"' + tag[close:]


def escaped(text: str) -> bytes:
    """Return a text for XML, as ASCII."""
    for plain, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"),
                          ("'", "&apos;")):  # fmt: skip
        text = text.replace(plain, entity)
    return text.encode("ascii", "xmlcharrefreplace")
