# SPDX-License-Identifier: Apache-2.0
"""A VIF from Nova: one entry of its network model, as in an instance's network_info cache.

Source: nova/network/model.py, from Folsom to today. What a model's class does not know goes to
``meta`` there, but only once it has been through JSON; so each such field is read in both places.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from vifplug.errors import NO_VIF, InvalidVIF, shown
from vifplug.fields import CIDR, DEVICE, IP, LINE, MAC, MTU, UUID, Choice, Kind
from vifplug.model.vif import VIF, VNIC_TYPES, Network, QoS, Subnet
from vifplug.sources import binding, nova_legacy, own
from vifplug.sources.given import FLAG, LABEL, Given, Number
from vifplug.sources.own import OWN

_ALLOWED = (
    "a VIF of Nova's network model, bare or as {'vif': ..., 'instance': ..., 'flavor': ...}, "
    "or a pair of network and mapping"
)
_SINCE_GRIZZLY = ("details", "vnic_type", "profile")
_QUOTAS = tuple(
    f"{direction}_{word}"
    for direction in ("inbound", "outbound")
    for word in ("average", "peak", "burst")
)
_ROW = "network_info"
_BESIDE = ("instance", "instance_uuid", "flavor")
_DELEGATE = "delegate_create"
"""Of the VIF, not its details: the port is to be there before the guest."""
_VLAN = Number(0, 4094)
_RATE = Number(0, 2**32 - 1)


def vif_of(data: Any) -> VIF:
    """Return the VIF of an entry of Nova's network model.

    ``data`` is the entry; or an object with ``vif`` and beside it ``instance`` (uuid and name) and
    ``flavor`` (its extra_specs hold the quota:vif_* limits), which may be absent; or the pair of
    network and mapping that Folsom's and Grizzly's drivers took. Raises InvalidVIF, which names
    Nova's field; for an entry that is not bound, too.
    """
    if nova_legacy.is_pair(data):
        return nova_legacy.vif_of(data)
    if isinstance(data, Mapping) and _ROW in data:
        _entries(data[_ROW])
        raise InvalidVIF(NO_VIF, _ROW, shown(data[_ROW]), "a single VIF, not a row of several")
    wrapped = isinstance(data, Mapping) and "vif" in data
    document = Given.whole(data, allowed=_ALLOWED, id_at=("vif", "id") if wrapped else ("id",))
    if wrapped and nova_legacy.is_pair(document.data["vif"]):
        found = nova_legacy.fields_of(document.data["vif"])
        return VIF.from_dict(found | _beside(document), lenient=True)
    vif = document.below("vif") if wrapped else document
    vif_id, network = vif.need(UUID, "id"), vif.below("network")
    vif_type = _type(vif, network)
    profile = vif.below("profile")
    bound = binding.read(
        vif_type, vif.below("details"), profile, vif.below("qbg_params"), vif.below("qbh_params")
    )
    if vif_type == "ovs" and vif.take(FLAG, _DELEGATE):
        bound["details"][_DELEGATE] = True
    found = {
        **bound,
        "id": vif_id,
        "address": vif.need(MAC, "address"),
        "vnic_type": vif.take(Choice(*VNIC_TYPES), "vnic_type"),
        "devname": vif.take(DEVICE, "devname"),
        "interface_id": vif.take(UUID, "ovs_interfaceid"),
        "network": _network(network, vif_type, bound["network"]),
    }
    return own.vif_of(found | _beside(document), profile.below(OWN))


def parts(document: Any) -> list[tuple[str, Any]]:
    """Return what of a document is a VIF: each with its place in it, and what stands beside.

    An entry of the model, a pair, a list of these, and an object with ``network_info``, which
    holds such a list, also as text: that is a row of the database's instance_info_caches. A row
    without a network_info has no VIF. :func:`vif_of` refuses a row whose network_info is no list.
    """
    if not isinstance(document, list) or nova_legacy.is_pair(document):
        return _parts(document)
    return [
        (f"[{at}]{place}", part) for at, one in enumerate(document) for place, part in _parts(one)
    ]


def _parts(document: Any) -> list[tuple[str, Any]]:
    if not isinstance(document, Mapping) or _ROW not in document:
        return [("", document)]
    uuid = document.get("instance_uuid")
    of = f" (instance {uuid})" if isinstance(uuid, str) and uuid.isprintable() else ""
    try:
        entries = _entries(document[_ROW])
    except InvalidVIF:
        return [(of, document)]  # refused when it is read, so that it stops no other row
    beside = {name: document[name] for name in _BESIDE if name in document}
    return [(f".{_ROW}[{at}]{of}", {"vif": one} | beside) for at, one in enumerate(entries)]


def _entries(row: Any) -> list[Any]:
    """Return the entries of a row's network_info. Raises InvalidVIF where it is no list."""
    found = row
    if isinstance(row, str):
        try:
            found = json.loads(row) if row.strip() else None
        except (ValueError, RecursionError) as error:
            raise InvalidVIF(NO_VIF, _ROW, shown(row), f"JSON ({error})") from None
    if found is None:
        return []
    if not isinstance(found, list):
        raise InvalidVIF(NO_VIF, _ROW, shown(row), "a list, also as text; or nothing")
    return found


def _type(vif: Given, network: Given) -> str:
    """Return the vif_type; in Folsom, which had none, only nova-network named a bridge."""
    if vif.has("type") or any(vif.has(name) for name in _SINCE_GRIZZLY):
        return binding.type_of(vif, "type")
    return "bridge" if network.has("bridge") else binding.type_of(vif, "type")


def _beside(document: Given) -> dict[str, Any]:
    """Return the fields of the VIF that stand beside it: its instance and the flavor's limits."""
    instance, specs = document.below("instance"), document.below("flavor").below("extra_specs")
    uuid = instance.take(UUID, "uuid") or document.take(UUID, "instance_uuid")
    return {
        "instance": {"uuid": uuid, "name": instance.take(LINE, "name")},
        "qos": {name: specs.take(_RATE, f"quota:vif_{name}") for name in _QUOTAS},
    }


def _network(network: Given, vif_type: str, bound: Mapping[str, Any]) -> dict[str, Any]:
    meta = network.below("meta")

    def kept(kind: Kind, *names: str) -> Any:
        value = meta.take(kind, *names)
        return network.take(kind, *names) if value is None else value

    network_id = network.take(UUID, "id")
    # A live migration to a host with another bridge changes the details only.
    bridge = bound["bridge"] or network.take(binding.BRIDGE, "bridge")
    if vif_type == "bridge":
        bridge = bridge or binding.quantum_bridge(network_id)
    return {
        "id": network_id,
        "label": network.take(LABEL, "label"),
        "mtu": kept(Number(0, MTU.most), "mtu") or None,
        "bridge": bridge,
        "interface": bound.get("interface") or kept(DEVICE, "interface", "bridge_interface"),
        "vlan": kept(_VLAN, "vlan") or None,
        "should_create_bridge": kept(FLAG, "should_create_bridge"),
        "should_create_vlan": kept(FLAG, "should_create_vlan"),
        "multi_host": kept(FLAG, "multi_host"),
        "subnets": [_subnet(one) for one in network.each("subnets") if one.has("cidr")],
    }


def _subnet(subnet: Given) -> dict[str, Any]:
    return {
        "cidr": subnet.take(CIDR, "cidr"),
        "gateway": _address(subnet, "gateway"),
        "dhcp_server": subnet.below("meta").take(IP, "dhcp_server"),
        "ips": [ip for one in subnet.each("ips") if (ip := one.take(IP, "address"))],
    }


def _address(subnet: Given, name: str) -> Any:
    """Return an address, which is an object or, in old caches, text."""
    if isinstance(subnet.data.get(name), str):
        return subnet.take(IP, name)
    return subnet.below(name).take(IP, "address")


def data_of(vif: VIF) -> dict[str, Any]:
    """Return a VIF as an entry of the network model with its instance and flavor beside.

    :func:`vif_of` has the same VIF of it. What Nova has no field for (the guest's side) is in
    ``vifplug`` in the VIF's profile.
    """
    details, profile = binding.write(vif)
    delegate = vif.vif_type == "ovs" and details.pop(_DELEGATE, False)
    entry: dict[str, Any] = {
        "id": vif.id,
        "address": vif.address,
        "type": vif.vif_type,
        "vnic_type": vif.vnic_type,
        "devname": vif.devname,
        "ovs_interfaceid": vif.interface_id,
        "details": details,
        "profile": profile,
        "network": _network_data(vif.network),
        "qbg_params": None,
        "qbh_params": None,
        "active": True,
        _DELEGATE: delegate,
        "meta": {},
    }
    data = {
        "vif": entry,
        "instance": {"uuid": vif.instance.uuid, "name": vif.instance.name},
        "flavor": {"extra_specs": _quotas(vif.qos)},
    }
    if more := own.beside(vif, vif_of(data)):
        profile[OWN] = more
    return data


def _network_data(network: Network) -> dict[str, Any]:
    return {
        "id": network.id,
        "label": network.label,
        "bridge": network.bridge,
        "subnets": [_subnet_data(subnet) for subnet in network.subnets],
        "meta": {
            "mtu": network.mtu,
            "bridge_interface": network.interface,
            "vlan": network.vlan,
            "should_create_bridge": network.should_create_bridge,
            "should_create_vlan": network.should_create_vlan,
            "multi_host": network.multi_host,
        },
    }


def _subnet_data(subnet: Subnet) -> dict[str, Any]:
    return {
        "cidr": subnet.cidr,
        "gateway": {"address": subnet.gateway, "type": "gateway", "meta": {}},
        "ips": [{"address": ip, "type": "fixed", "meta": {}} for ip in subnet.ips],
        "meta": {"dhcp_server": subnet.dhcp_server} if subnet.dhcp_server else {},
    }


def _quotas(qos: QoS) -> dict[str, str]:
    limits = {name: getattr(qos, name) for name in _QUOTAS}
    return {f"quota:vif_{name}": str(v) for name, v in limits.items() if v is not None}
