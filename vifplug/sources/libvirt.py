# SPDX-License-Identifier: Apache-2.0
"""VIFs from a libvirt domain: those of its metadata, or its hand-made <interface> elements. Pure.

A domain with metadata has the VIFs that the metadata names, and its other NICs are none of ours.
In a domain without metadata, each NIC of a type that a VIF can describe becomes a VIF.

Source: https://libvirt.org/formatdomain.html#network-interfaces.
"""

from __future__ import annotations

import contextlib
import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from vifplug.errors import NO_VIF, InvalidVIF, shown
from vifplug.fields import UUID
from vifplug.model.vif import VIF
from vifplug.sources import metadata
from vifplug.sources.domain import Domain, Node, escaped, parse
from vifplug.sources.given import Given

_EMULATED = ("e1000", "e1000e", "igb", "ne2k_pci", "pcnet", "rtl8139", "vmxnet3")
_DIRECT = {"802.1qbg": "802.1qbg", "802.1qbh": "802.1qbh"}
_QBG = {"manager_id": "managerid", "type_id": "typeid", "type_id_version": "typeidversion"}
_ADOPTED = ("bridge", "direct")
_LIMITS = ("average", "peak", "burst")
_ALLOWED = "a libvirt domain, as virsh dumpxml prints it"
_NEEDS_METADATA = "bridge or direct, or the VIF in the domain's metadata"
_NAMES = uuid.UUID("5f2d8f1c-3a5d-5a43-9f0a-6d8f6e1b7c11")
"""The namespace of the ids of NICs that have none: an id follows from domain and address."""


def parts(document: Any) -> Sequence[tuple[str, Any]]:
    """Return the VIFs of a domain, each with its place. Raises InvalidVIF for another document."""
    if isinstance(document, Mapping):
        document = document.get("domain")
    if not isinstance(document, (str, bytes)):
        raise InvalidVIF(NO_VIF, "it", shown(document), _ALLOWED)
    domain = parse(document)
    found = list(vifs_of(domain))
    if not found and metadata.vifs_element(domain) is None:
        kinds = ", ".join(node.attributes.get("type", "?") for node in domain.interfaces())
        allowed = f"a NIC of type {_NEEDS_METADATA}"
        raise InvalidVIF(NO_VIF, f"type of the NICs of {domain.title}", kinds or "none", allowed)
    return found


def vifs_of(domain: Domain) -> Sequence[tuple[str, dict[str, Any]]]:
    """Return each VIF of a domain as plain data, with its place. Raises InvalidVIF."""
    of = {"name": domain.name, "uuid": domain.uuid}
    if metadata.vifs_element(domain) is None:
        return [
            (f"{domain.title} interface[{position}]", {"of": of, "nic": described(node)})
            for position, node in enumerate(domain.interfaces())
            if node.attributes.get("type") in _ADOPTED or _own_id(node)
        ]
    found = []
    seen: set[str] = set()
    for entry in metadata.entries(domain):
        node = interface_of(domain, entry.id, entry.address)
        data = {"id": entry.id, "of": of, "text": entry.text, "twice": entry.id in seen}
        data["foreign"] = entry.foreign
        seen.add(entry.id)
        found.append((f"{domain.title} VIF {shown(entry.id)}",
                      data | {"nic": described(node) if node else None}))  # fmt: skip
    return found


def known(domain: Domain) -> dict[str, VIF]:
    """Return the VIFs of a domain's metadata that can be read, by id."""
    found: dict[str, VIF] = {}
    if metadata.vifs_element(domain) is None:
        return found
    for _, part in vifs_of(domain):
        with contextlib.suppress(InvalidVIF):
            vif = vif_of(part)
            found[vif.id] = vif
    return found


def aliased(domain: Domain) -> Sequence[str]:
    """Return the VIFs' ids that the aliases of a domain's NICs have."""
    return [found for node in domain.interfaces() if (found := _own_id(node))]


def strays(domain: Domain) -> Sequence[str]:
    """Return the ids in aliases of NICs that need a VIF, and of which the metadata has none."""
    known = {entry.id for entry in metadata.entries(domain)}
    made = (n for n in domain.interfaces() if n.attributes.get("type") == "ethernet")
    return [found for node in made if (found := _own_id(node)) and found not in known]


def interface_of(domain: Domain, vif_id: str, address: str) -> Node | None:
    """Return the <interface> of a VIF: the one with its alias, else the only one with its address.

    An alias of another VIF says whose the <interface> is, whatever the address.
    """
    by_address = []
    for node in domain.interfaces():
        owner = _own_id(node)
        if owner == vif_id:
            return node
        if owner is None and (node.value("mac", "address") or "").lower() == address.lower():
            by_address.append(node)
    return by_address[0] if len(by_address) == 1 else None


def _own_id(node: Node) -> str | None:
    """Return the VIF's id that the alias of an <interface> has."""
    alias = node.value("alias", "name") or ""
    vif_id = alias.removeprefix(metadata.ALIAS).lower()
    return vif_id if alias.startswith(metadata.ALIAS) and UUID.pattern.fullmatch(vif_id) else None


def described(node: Node) -> dict[str, Any]:
    """Return what an <interface> says, as plain data."""
    port = node.find("virtualport")
    vlan = node.find("vlan")
    words = node.find("virtualport/parameters")
    return {
        "type": node.attributes.get("type"),
        "address": node.value("mac", "address"),
        "id": _own_id(node),
        "bridge": node.value("source", "bridge"),
        "dev": node.value("source", "dev"),
        "mode": node.value("source", "mode"),
        "target": node.value("target", "dev"),
        "mtu": _number(node.value("mtu", "size")),
        "tags": len(vlan.children) if vlan else 0,
        "model": node.value("model", "type"),
        "driver": node.value("driver", "name"),
        "queues": _number(node.value("driver", "queues")),
        "trusted": node.attributes.get("trustGuestRxFilters"),
        "port": {
            "type": (port.attributes.get("type") or "").lower() if port else "",
            **(words.attributes if words else {}),
        },
        "qos": {
            f"{way}_{limit}": number
            for way in ("inbound", "outbound")
            for limit in _LIMITS
            if (number := _number(node.value(f"bandwidth/{way}", limit))) is not None
        },
    }


def _number(text: str | None) -> int | str | None:
    """Return a number that stands in XML; other text stays, for the error."""
    if text is None or not re.fullmatch(r"0[xX][0-9a-fA-F]{1,8}|[0-9]{1,12}", text):
        return text
    return int(text, 16) if text[1:2] in ("x", "X") else int(text)


def vif_of(part: Any) -> VIF:
    """Return the VIF of a part. Raises InvalidVIF."""
    given = Given.whole(part, allowed=_ALLOWED)
    instance = {name: given.below("of").data.get(name) for name in ("uuid", "name")}
    nic = given.below("nic")
    if "text" not in given.data:
        return _adopted(nic, instance)
    vif_id = str(given.data.get("id"))
    fields = metadata.loaded(str(given.data["text"]), vif_id if given.vif_id != NO_VIF else "")
    if given.data.get("twice"):
        raise InvalidVIF(vif_id, "id", shown(vif_id), "one VIF of an id in a domain")
    if not nic.data:
        allowed = f"the alias {metadata.ALIAS}{vif_id}, or the VIF's address, at one <interface>"
        raise InvalidVIF(vif_id, "its <interface>", "missing", allowed)
    queues = {"queues": nic.data.get("queues")} if nic.has("queues") else {}
    address = nic.data.get("address")
    fields |= {**queues, "id": vif_id, "address": address, "instance": _known(instance)}
    return VIF.from_dict(fields, lenient=given.data.get("foreign") is True)


def _known(instance: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in instance.items() if value is not None}


def _adopted(nic: Given, instance: Mapping[str, Any]) -> VIF:
    """Return the VIF that a hand-made <interface> is. Raises InvalidVIF."""
    data, port = nic.data, nic.below("port").data
    port_type = port.get("type", "")
    address = str(data.get("address") or "").lower()
    vif_id = str(data.get("id") or uuid.uuid5(_NAMES, f"{instance['uuid']} {address}"))
    network: dict[str, Any] = {"mtu": data.get("mtu")}
    fields: dict[str, Any] = {"details": {}}
    kind = data.get("type")
    if kind == "bridge":
        network["bridge"] = data.get("bridge")
        fields |= {"vif_type": "bridge", "devname": data.get("target")}
        if port_type == "openvswitch":
            interface_id = str(port.get("interfaceid") or vif_id).lower()
            vif_id = data.get("id") or interface_id
            fields |= {"vif_type": "ovs", "interface_id": interface_id}
        elif port_type:
            raise InvalidVIF(vif_id, "virtualport", shown(port_type), "openvswitch")
        if data.get("tags"):
            raise InvalidVIF(vif_id, "vlan", "given", "none: no VIF has the VLAN of a guest's port")
    elif kind == "direct":
        network["interface"] = data.get("dev")
        fields["vif_type"] = _DIRECT.get(port_type, "macvtap")
        fields["details"] = {"macvtap_mode": data.get("mode") or "vepa"}
        if data.get("trusted") == "yes":
            fields["details"]["trusted"] = True
        if port_type == "802.1qbg":
            fields |= {ours: _number(port.get(name)) for ours, name in _QBG.items()}
            fields["instance_id"] = port.get("instanceid")
        elif port_type == "802.1qbh":
            fields |= {"profile_id": port.get("profileid"), "details": {}}
    else:
        raise InvalidVIF(vif_id, "the NIC's type", shown(kind), _NEEDS_METADATA)
    model = data.get("model")
    if model in _EMULATED:
        fields["model"] = model
    elif data.get("driver") in ("vhost", "qemu"):
        fields["driver"] = data["driver"]
    fields |= {"queues": data.get("queues"), "qos": dict(nic.below("qos").data)}
    fields |= {"network": _known(network), "instance": _known(instance)}
    return VIF.from_dict({"id": vif_id, "address": address, **_known(fields)})


def data_of(vif: VIF) -> dict[str, Any]:
    """Return a domain that has the VIF in its metadata, as libvirt would describe it."""
    entry = metadata.element([metadata.entry(vif)]).decode("ascii")
    instance = "".join(
        f"<{name}>{escaped(value).decode()}</{name}>"
        for name in ("name", "uuid")
        if (value := getattr(vif.instance, name)) is not None
    )
    driver = f'<driver queues="{vif.queues}"/>' if vif.queues is not None else ""
    nic = f'<mac address="{vif.address}"/>{driver}<alias name="{metadata.ALIAS}{vif.id}"/>'
    text = (
        f"<domain>{instance}<metadata>{entry}</metadata>"
        f'<devices><interface type="ethernet">{nic}</interface></devices></domain>'
    )
    return {"domain": text}
