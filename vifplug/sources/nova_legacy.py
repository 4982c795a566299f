# SPDX-License-Identifier: Apache-2.0
"""A VIF from the pair of network and mapping that Folsom's and Grizzly's VIF drivers took.

Source: NetworkInfo.legacy() of nova/network/model.py, 2012.2 and 2013.1. Folsom's has no vif_type
and, with Quantum, an empty bridge.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vifplug.errors import NO_VIF, InvalidVIF, shown
from vifplug.fields import CIDR, DEVICE, IP, MAC, UUID
from vifplug.model.vif import VIF
from vifplug.sources import binding
from vifplug.sources.given import FLAG, LABEL, Given, Number

_ALLOWED = "a pair of network and mapping"


def is_pair(data: Any) -> bool:
    """Whether data is a pair, or an object with both: of what else Nova has, nothing is."""
    if isinstance(data, Mapping):
        return "mapping" in data
    mapping = data[1] if isinstance(data, (list, tuple)) and len(data) == 2 else None
    return isinstance(mapping, Mapping) and ("vif_uuid" in mapping or "mac" in mapping)


def vif_of(data: Any, *, vif_type: str | None = None) -> VIF:
    """Return the VIF of a pair; ``vif_type`` goes before what the pair says of its own.

    Neither of the two is changed. Raises InvalidVIF, which names Nova's field.
    """
    return VIF.from_dict(fields_of(data, vif_type=vif_type), lenient=True)


def fields_of(data: Any, *, vif_type: str | None = None) -> dict[str, Any]:
    """Return a VIF's fields of a pair, as :func:`vif_of`."""
    if not is_pair(data):
        raise InvalidVIF(NO_VIF, "it", shown(data), _ALLOWED)
    pair = data if isinstance(data, Mapping) else {"network": data[0], "mapping": data[1]}
    whole = Given.whole(pair, allowed=_ALLOWED, id_at=("mapping", "vif_uuid"))
    network, mapping = whole.below("network"), whole.below("mapping")
    vif_id = mapping.need(UUID, "vif_uuid")
    vif_type = vif_type or _type(network, mapping)
    nothing = Given(whole.vif_id, {})  # details and profile came with later releases
    params = (mapping.below("qbg_params"), mapping.below("qbh_params"))
    bound = binding.read(vif_type, nothing, nothing, *params)
    return {
        **bound,
        "id": vif_id,
        "address": mapping.need(MAC, "mac"),
        "devname": mapping.take(DEVICE, "vif_devname"),
        "interface_id": mapping.take(UUID, "ovs_interfaceid"),
        "network": _network(network, mapping, vif_type),
    }


def _type(network: Given, mapping: Given) -> str:
    """Return the vif_type; in Folsom, which had none, only nova-network named a bridge."""
    if mapping.has("vif_type") or not network.has("bridge"):
        return binding.type_of(mapping, "vif_type")
    return "bridge"


def _network(network: Given, mapping: Given, vif_type: str) -> dict[str, Any]:
    network_id = network.take(UUID, "id")
    bridge = network.take(binding.BRIDGE, "bridge")
    if vif_type == "bridge":
        bridge = bridge or binding.quantum_bridge(network_id)
    return {
        "id": network_id,
        "label": mapping.take(LABEL, "label"),
        "bridge": bridge,
        "interface": network.take(DEVICE, "interface", "bridge_interface"),
        "vlan": network.take(Number(0, 4094), "vlan") or None,
        "multi_host": network.take(FLAG, "multi_host"),
        "should_create_bridge": mapping.take(FLAG, "should_create_bridge"),
        "should_create_vlan": mapping.take(FLAG, "should_create_vlan"),
        "subnets": [*_subnet(network, mapping, ""), *_subnet(network, mapping, "_v6")],
    }


def _subnet(network: Given, mapping: Given, family: str) -> list[dict[str, Any]]:
    """Return the pair's one subnet of a family, if it has one."""
    cidr = network.take(CIDR, f"cidr{family}")
    if cidr is None:
        return []
    ips = [one.take(IP, "ip") for one in mapping.each("ip6s" if family else "ips")]
    return [
        {
            "cidr": cidr,
            "gateway": mapping.take(IP, f"gateway{family}"),
            "dhcp_server": None if family else mapping.take(IP, "dhcp_server"),
            "ips": [ip for ip in ips if ip],
        }
    ]
