# SPDX-License-Identifier: Apache-2.0
"""The VIFs of a guest in its domain's metadata: one element for all, as libvirt keeps it. Pure.

    <vifplug:vifs xmlns:vifplug="urn:vifplug:domain:1">
      <vifplug:vif id="..." address="fa:16:...">{"vif_type": "bridge", ...}</vifplug:vif>
    </vifplug:vifs>

The JSON is the VIF without the fields that the domain has already: id, address, instance, queues.
``address`` finds the <interface> where that has no alias "ua-" and the VIF's id.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from vifplug.errors import NO_VIF, InvalidVIF, shown
from vifplug.fields import UUID
from vifplug.model.vif import VIF
from vifplug.sources.domain import Domain, Node, escaped

PREFIX = "urn:vifplug:domain:"
"""How the namespace of every version begins; the qemu hook looks for it."""

VERSION = "1"
NAMESPACE = PREFIX + VERSION
KEY = "vifplug"
"""The prefix of the namespace, as libvirt wants it for virDomainSetMetadata."""

ALIAS = "ua-"
"""How the alias of a VIF's <interface> begins: libvirt keeps such aliases as they are."""

_NOT_SAID = ("id", "address", "instance", "queues")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A VIF of the metadata: its id, the address of its <interface>, its JSON as text.

    ``foreign``: it came from another system's model.
    """

    id: str
    address: str
    text: str
    foreign: bool = False


def vifs_element(domain: Domain) -> Node | None:
    """Return the element with all VIFs. Raises InvalidVIF for one of another version."""
    metadata = domain.root.find("metadata")
    others = []
    for child in metadata.children if metadata else ():
        namespace, _, name = child.tag.rpartition(" ")
        if namespace == NAMESPACE and name == "vifs":
            return child
        if namespace.startswith(PREFIX):
            others.append(namespace.removeprefix(PREFIX))
    if others:
        raise InvalidVIF(NO_VIF, "version of the metadata", shown(others[0]), VERSION)
    return None


def entries(domain: Domain) -> Iterator[Entry]:
    """Yield the VIFs of a domain, as they are written."""
    found = vifs_element(domain)
    for child in found.each(f"{NAMESPACE} vif") if found else ():
        get = child.attributes.get
        yield Entry(
            id=get("id", "").lower(),
            address=get("address", "").lower(),
            text=child.text,
            foreign=get("foreign") == "yes",
        )


def is_id(text: str) -> bool:
    """Whether the id of an entry is one."""
    return UUID.pattern.fullmatch(text) is not None


def entry(vif: VIF) -> Entry:
    """Return a VIF as the metadata has it."""
    data = {name: value for name, value in vif.to_dict().items() if name not in _NOT_SAID}
    text = json.dumps(data)
    return Entry(id=vif.id, address=vif.address, text=text, foreign=vif.foreign)


def bare(found: Sequence[Entry]) -> str:
    """Return the element without its namespace, which virDomainSetMetadata adds by itself."""
    text = element(found).decode("ascii")
    return (
        text.replace(f' xmlns:{KEY}="{NAMESPACE}"', "", 1)
        .replace(f"<{KEY}:", "<")
        .replace(f"</{KEY}:", "</")
    )


def element(found: Sequence[Entry], indent: bytes = b"\n    ") -> bytes:
    """Return the element with all VIFs as text; ``indent`` goes before each of its lines."""
    name, lines = KEY.encode(), []
    for each in found:
        foreign = b' foreign="yes"' if each.foreign else b""
        keys = (escaped(each.id), escaped(each.address), foreign)
        head = b'%s  <%s:vif id="%s" address="%s"%s>' % (indent, name, *keys)
        text = escaped(each.text).replace(b"&quot;", b'"').replace(b"&apos;", b"'")
        lines.append(head + text + b"</%s:vif>" % name)
    start = f'<{KEY}:vifs xmlns:{KEY}="{NAMESPACE}">'.encode()
    return start + b"".join(lines) + indent + f"</{KEY}:vifs>".encode()


def loaded(text: str, vif_id: str) -> dict[str, Any]:
    """Return the fields of a VIF that its text in the metadata says. Raises InvalidVIF."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        found = shown(text.strip())
        raise InvalidVIF(vif_id or NO_VIF, "metadata", found, "the VIF's fields as a JSON object")
    for name in _NOT_SAID[:3]:
        if name in data:
            allowed = "nothing: the domain's own elements say it"
            raise InvalidVIF(vif_id or NO_VIF, f"metadata {name}", shown(data[name]), allowed)
    return data
