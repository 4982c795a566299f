# SPDX-License-Identifier: Apache-2.0
"""Writes VIFs into a domain's XML, and leaves all other bytes as they are. Pure.

Of an ``<interface>`` a plugin decides the type and the elements below. All else is the guest's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lxml import etree

from vifplug.errors import InvalidVIF, shown
from vifplug.guest.interface import TRUST, Interface
from vifplug.model.vif import VIF
from vifplug.sources import libvirt, metadata
from vifplug.sources.domain import Domain, Edit, Node, edited, with_attribute

_ATTACHMENT = ("source", "target", "virtualport", "vlan")
"""These say where the NIC is attached. One that a VIF does not have is taken away."""

_LIMITS = ("mtu", "filterref", "bandwidth")
"""One that a VIF does not have stays, unless the VIF of before had it."""

DECIDED = (*_ATTACHMENT, *_LIMITS)

_USERS: Mapping[str, tuple[str, ...]] = {"ethernet": ("ip", "route"), "vhostuser": ("reconnect",)}
"""The children of <source> that belong to the guest's owner, by the type of <interface>."""

_FILLED_IN = ("portid", "index")
"""Attributes of <source> that libvirt adds in a running domain."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A VIF and the interface that its plugin has for it on this host.

    ``before`` is the VIF as the domain's metadata had it.
    """

    vif: VIF
    interface: Interface
    before: VIF | None = None


def into(domain: Domain, wanted: Sequence[Wanted]) -> bytes:
    """Return the domain's text with what the plugins decide of each VIF's <interface>.

    Raises InvalidVIF for a VIF that has none, or that a guest gets by another element.
    """
    edits = []
    for each in wanted:
        node = _interface(domain, each)
        if node is None:
            allowed = f"the alias {metadata.ALIAS}{each.vif.id}, or the address of one <interface>"
            raise each.vif.refuse(f"its <interface> in {domain.title}", None, allowed)
        edits += _edits(domain, node, each)
    return edited(domain.data, edits)


def defined(domain: Domain, wanted: Sequence[Wanted]) -> bytes:
    """Return the domain's text with the VIFs in both of its places: metadata and <interface>.

    A VIF without an <interface> gets one. The other VIFs of the metadata stay.
    """
    edits, fresh = [], []
    for each in wanted:
        node = _interface(domain, each)
        if node is None:
            fresh.append(each)
            continue
        edits += _edits(domain, node, each, whole=True)
    edits += _added(domain, [_element(each) for each in fresh])
    edits += _metadata(domain, wanted)
    return edited(domain.data, edits)


def element(each: Wanted) -> str:
    """Return the whole <interface> of a VIF, with its alias, for a domain that has none."""
    text: str = etree.tostring(_element(each), encoding="unicode")
    return text


def _interface(domain: Domain, each: Wanted) -> Node | None:
    if each.interface.type == "pci":
        raise each.vif.refuse("vif_type", each.vif.vif_type, "a type that the guest has as an "
                              "<interface>: this one is a <hostdev>")  # fmt: skip
    return libvirt.interface_of(domain, each.vif.id, each.vif.address)


def _element(each: Wanted) -> Any:
    rendered = each.interface.to_element()
    etree.SubElement(rendered, "alias", name=f"{metadata.ALIAS}{each.vif.id}")
    return rendered


def _text(element: Any) -> bytes:
    text: bytes = etree.tostring(element, encoding="ascii")
    return text


def _edits(domain: Domain, node: Node, each: Wanted, *, whole: bool = False) -> list[Edit]:
    """Return what makes an <interface> that of a VIF; ``whole`` also with what the VIF says of
    the guest's side, and with its alias."""
    rendered = each.interface.to_element()
    edits, added = [], []
    tag = domain.data[node.start : node.inside]
    new_tag = with_attribute(tag, "type", each.interface.type)
    new_tag = with_attribute(new_tag, "managed", rendered.get("managed"))
    if each.interface.trusted:
        new_tag = with_attribute(new_tag, TRUST, "yes")
    decided = [*DECIDED, *(["mac", "alias"] if whole else [])]
    if whole:
        etree.SubElement(rendered, "alias", name=f"{metadata.ALIAS}{each.vif.id}")
    same_type = node.attributes.get("type") == each.interface.type
    for name in decided:
        there, new = node.find(name), rendered.find(name)
        kept = _kept(domain, there, each.interface.type) if name == "source" else b""
        if there is None and new is not None:
            added.append(_text(new))
        elif there is not None and new is not None:
            if not _is(there, new) and not _stays(name, there):
                edits.append(_replaced(there, _filled(_text(new), kept)))
        elif there is not None and kept:
            if there.attributes:
                edits.append(_replaced(there, b"<source>" + kept + b"</source>"))
        elif there is not None and _goes(name, each, same_type=same_type):
            edits.append(_removed(domain, there))
    if whole:
        for name, said in _said(each).items():
            there = node.find(name)
            if there is None:
                added.append(_text(rendered.find(name)))
                continue
            head = domain.data[there.start : there.inside]
            new_head = head
            for attribute, value in said.items():
                if there.attributes.get(attribute) != value:
                    new_head = with_attribute(new_head, attribute, value)
            if new_head != head:
                edits.append(Edit(start=there.start, end=there.inside, text=new_head))
    return [*edits, *_head(domain, node, tag, new_tag, added)]


def _head(domain: Domain, node: Node, tag: bytes, new_tag: bytes, added: list[bytes]) -> list[Edit]:
    """Return what changes a start tag and adds elements at the end."""
    edits = []
    if node.empty and added:
        indent = _indent(domain, node)
        body = b"".join(indent + b"  " + text for text in added)
        new_tag = new_tag[:-2].rstrip() + b">" + body + indent + b"</interface>"
    elif added:
        last = node.children[-1] if node.children else None
        at = last.end if last else node.inside
        indent = _indent(domain, last) if last else _indent(domain, node) + b"  "
        edits.append(Edit(start=at, end=at, text=b"".join(indent + text for text in added)))
    if new_tag != tag:
        edits.append(Edit(start=node.start, end=node.inside, text=new_tag))
    return edits


def _said(each: Wanted) -> dict[str, dict[str, str]]:
    """Return what a VIF itself says of the guest's side, by element and attribute."""
    guest, vif = each.interface.guest, each.vif
    found: dict[str, dict[str, str]] = {}
    if vif.model and guest.model:
        found["model"] = {"type": guest.model}
    driver = {}
    if vif.driver and guest.driver:
        driver["name"] = guest.driver
    if vif.queues and guest.queues:
        driver |= {"queues": str(guest.queues)}
        driver |= {"name": guest.driver} if guest.driver else {}
    return found | ({"driver": driver} if driver else {})


def _stays(name: str, there: Node) -> bool:
    """Whether an alias is the owner's own."""
    alias = there.attributes.get("name", "")
    return name == "alias" and alias.startswith(metadata.ALIAS)


def _goes(name: str, each: Wanted, *, same_type: bool) -> bool:
    """Whether an element that the VIF does not have is taken away."""
    before = each.before
    if name == "target":
        return not same_type
    if name in _ATTACHMENT:
        return True
    if name == "mtu":
        return before is not None and before.network.mtu is not None
    if name == "bandwidth" and before is not None:
        return bool(before.qos.inbound_average or before.qos.outbound_average)
    return False


def _is(there: Node, new: Any) -> bool:
    """Whether an element says the same already."""
    attributes = {n: v for n, v in there.attributes.items() if n not in _FILLED_IN}
    wanted = dict(new.attrib)
    if there.tag == "mac":
        return there.attributes.get("address", "").lower() == str(wanted["address"]).lower()
    if there.tag == "virtualport":
        attributes = {n: v.lower() if n == "type" else v for n, v in attributes.items()}
        wanted = {n: v.lower() if n == "type" else v for n, v in wanted.items()}
    own = [child for child in there.children if child.tag not in _all_users(there)]
    if attributes != wanted or len(own) != len(new):
        return False
    pairs = zip(own, new, strict=True)
    return all(child.tag == other.tag and _is(child, other) for child, other in pairs)


def _all_users(there: Node) -> tuple[str, ...]:
    return tuple(n for names in _USERS.values() for n in names) if there.tag == "source" else ()


def _kept(domain: Domain, source: Node | None, kind: str) -> bytes:
    names = _USERS.get(kind, ())
    return b"".join(domain.raw(child) for child in source.children if child.tag in names) if (
        source) else b""  # fmt: skip


def _filled(text: bytes, inside: bytes) -> bytes:
    """Return an element with more at its end."""
    if not inside:
        return text
    if text.endswith(b"/>"):
        name = text[1:].split(maxsplit=1)[0].rstrip(b"/>")
        return text[:-2] + b">" + inside + b"</" + name + b">"
    start = text.rindex(b"</")
    return text[:start] + inside + text[start:]


def _replaced(node: Node, text: bytes) -> Edit:
    return Edit(start=node.start, end=node.end, text=text)


def _removed(domain: Domain, node: Node) -> Edit:
    """Return what takes an element away with the blanks before it."""
    before = domain.data[: node.start]
    return Edit(start=len(before.rstrip(b" \t\r\n")), end=node.end, text=b"")


def _indent(domain: Domain, node: Node) -> bytes:
    """Return the blanks before an element, from the last end of line on."""
    before = domain.data[: node.start]
    blanks = before[len(before.rstrip(b" \t\r\n")) :]
    return blanks[blanks.rindex(b"\n") :] if b"\n" in blanks else b""


def _added(domain: Domain, elements: Sequence[Any]) -> Iterator[Edit]:
    """Yield what adds interfaces to a domain, after the last that it has."""
    if not elements:
        return
    devices = domain.root.find("devices")
    if devices is None:
        devices_text = b"".join(b"\n    " + _text(each) for each in elements)
        yield _last(domain, domain.root, b"<devices>" + devices_text + b"\n  </devices>")
        return
    nodes = list(domain.interfaces())
    if not nodes:
        for each in elements:
            yield _last(domain, devices, _text(each))
        return
    indent = _indent(domain, nodes[-1])
    for each in elements:
        etree.indent(each)
        text = _text(each).replace(b"\n", indent or b"\n")
        yield Edit(start=nodes[-1].end, end=nodes[-1].end, text=indent + text)


def _last(domain: Domain, parent: Node, text: bytes) -> Edit:
    """Return what adds an element at the end of another."""
    if parent.empty:
        tag = domain.raw(parent)
        name = parent.tag.encode()
        whole = tag[:-2].rstrip() + b">" + text + b"</" + name + b">"
        return Edit(start=parent.start, end=parent.end, text=whole)
    last = parent.children[-1] if parent.children else None
    at = last.end if last else parent.inside
    indent = _indent(domain, last) if last else _indent(domain, parent) + b"  "
    return Edit(start=at, end=at, text=indent + text)


def _metadata(domain: Domain, wanted: Sequence[Wanted]) -> list[Edit]:
    """Return what writes the VIFs into the metadata; nothing where they are there already."""
    old = list(metadata.entries(domain))
    entries = merged(old, [each.vif for each in wanted])
    if entries == old:
        return []
    text = metadata.element(entries)
    if (there := metadata.vifs_element(domain)) is not None:
        return [_replaced(there, text)]
    if (parent := domain.root.find("metadata")) is not None:
        return [_last(domain, parent, text)]
    whole = b"<metadata>\n    " + text + b"\n  </metadata>"
    after = domain.root.find("uuid") or domain.root.find("name")
    if after is None:
        return [_last(domain, domain.root, whole)]
    return [Edit(start=after.end, end=after.end, text=(_indent(domain, after) or b"\n  ") + whole)]


def merged(
    old: Sequence[metadata.Entry], vifs: Sequence[VIF], *, without: str | None = None
) -> list[metadata.Entry]:
    """Return the VIFs of a metadata with these in it; ``without`` leaves one out."""
    fresh = {vif.id: metadata.entry(vif) for vif in vifs}
    entries = []
    for each in old:
        new = fresh.pop(each.id, each)
        entries.append(each if _says(each, new) else new)
    return [each for each in (*entries, *fresh.values()) if each.id != without]


def _says(old: metadata.Entry, new: metadata.Entry) -> bool:
    """Whether two entries say the same."""
    try:
        same = metadata.loaded(old.text, old.id) == metadata.loaded(new.text, new.id)
    except InvalidVIF:
        return old == new
    return same and (old.address, old.foreign) == (new.address, new.foreign)


def refuse_other(domain: Domain, vif: VIF) -> InvalidVIF:
    """Return the error of a VIF that another guest has."""
    return vif.refuse("id", vif.id, f"a VIF of no other guest: {shown(domain.name)} has it")
