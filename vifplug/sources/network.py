# SPDX-License-Identifier: Apache-2.0
"""The VIF that a port of a libvirt network is: from what libvirt tells hooks/network. Pure.

The network's metadata has the VIFs' template, without the fields that the port or its guest has:

    <vifplug:vif xmlns:vifplug="urn:vifplug:network:1">{"vif_type": "bridge", ...}</vifplug:vif>

Source: https://libvirt.org/hooks.html, https://libvirt.org/formatnetworkport.html.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from vifplug.errors import NO_VIF, InvalidVIF, shown
from vifplug.fields import UUID
from vifplug.model.vif import VIF
from vifplug.sources.domain import Node, tree

PREFIX = "urn:vifplug:network:"
"""How the namespace of every version begins; the network hook looks for it."""

VERSION = "1"

_ALLOWED = "a port and its network, as libvirt gives them to hooks/network"
_THE_PORTS = ("id", "address", "instance", "interface_id")
_THE_GUESTS = ("devname", "model", "driver", "queues", "qos")


@dataclass(frozen=True, kw_only=True)
class NetworkPort:
    """A port of a network: one NIC of type network, of a guest that runs or is about to.

    ``id`` is that of its VIF: the interface id of its virtual port, else the port's own UUID.
    ``bridge`` is the bridge to which libvirt joins the tap that it makes; empty if there is none.
    """

    id: str
    network: str
    bridge: str
    virtualport: str
    mode: str
    guest: str
    uuid: str
    address: str
    template: str | None
    other_version: str | None = None

    @property
    def title(self) -> str:
        """The guest and the network, for an error."""
        return f"{shown(self.guest)[1:-1]} on network {shown(self.network)[1:-1]}"

    def vif(self) -> VIF:
        """Return the port's VIF. Raises InvalidVIF."""
        fields = self._template()
        if not self.bridge:
            needed = 'bridge, as in <forward mode="bridge"/> <bridge name="br100"/>'
            raise InvalidVIF(self.id, "forward mode of the network", shown(self.mode), needed)
        network = fields.get("network", {})
        if isinstance(network, dict):
            named = network.setdefault("bridge", self.bridge)
            if named != self.bridge:
                allowed = f"{self.bridge}, the bridge of the network {self.network}"
                raise InvalidVIF(self.id, "network.bridge", shown(named), allowed)
        instance = {"name": self.guest, "uuid": self.uuid}
        known = {name: value for name, value in instance.items() if value}
        return VIF.from_dict(
            {**fields, "network": network, "id": self.id, "address": self.address,
             "instance": known}
        )  # fmt: skip

    def _template(self) -> dict[str, object]:
        if self.template is None and self.other_version is not None:
            found = shown(self.other_version)
            raise InvalidVIF(self.id, "version of the network's metadata", found, VERSION)
        try:
            fields = json.loads(self.template or "")
        except (ValueError, RecursionError):
            fields = None
        if not isinstance(fields, dict):
            found = "without <vif>" if self.template is None else shown(self.template.strip())
            allowed = "<vif> with a VIF's fields as a JSON object"
            raise InvalidVIF(self.id, "the network's metadata", found, allowed)
        for names, who in ((_THE_PORTS, "the network's port"), (_THE_GUESTS, "the domain")):
            for name in (name for name in names if name in fields):
                allowed = f"nothing: {who} says it"
                raise InvalidVIF(self.id, f"{name} in the network's metadata",
                                 shown(fields[name]), allowed)  # fmt: skip
        return fields


def parse(text: bytes) -> NetworkPort:
    """Return the port that libvirt tells a hook. Raises InvalidVIF for any other text."""
    root = tree(text, "hookData", _ALLOWED)
    network, port = root.find("network"), root.find("networkport")
    if network is None or port is None:
        missing = "<network>" if network is None else "<networkport>"
        raise InvalidVIF(NO_VIF, "hookData", f"without {missing}", _ALLOWED)
    own_id = _text(port, "uuid").lower()
    vif_id = (port.value("virtualport/parameters", "interfaceid") or own_id).lower()
    if not UUID.pattern.fullmatch(vif_id):
        raise InvalidVIF(NO_VIF, "the port's UUID", shown(vif_id), UUID.allowed)
    plugged = port.value("plug", "type") == "bridge"
    template, other_version = _metadata(network)
    return NetworkPort(
        id=vif_id,
        network=_text(network, "name"),
        bridge=(port.value("plug", "bridge") or "") if plugged else "",
        virtualport=(port.value("virtualport", "type") or "").lower(),
        mode=network.value("forward", "mode") or ("nat" if network.find("forward") else "none"),
        guest=_text(port, "owner/name"),
        uuid=_text(port, "owner/uuid").lower(),
        address=port.value("mac", "address") or "",
        template=template,
        other_version=other_version,
    )


def _text(node: Node, path: str) -> str:
    found = node.find(path)
    return found.text.strip() if found else ""


def _metadata(network: Node) -> tuple[str | None, str | None]:
    """Return the template in the metadata, and the version of what we can't read there."""
    template = other_version = None
    found = network.find("metadata")
    for child in found.children if found else ():
        namespace, _, name = child.tag.rpartition(" ")
        if namespace == PREFIX + VERSION:
            template = child.text if name == "vif" else None
        elif namespace.startswith(PREFIX):
            other_version = namespace.removeprefix(PREFIX)
    return template, other_version
