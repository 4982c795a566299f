# SPDX-License-Identifier: Apache-2.0
"""A VIF from Neutron: a port, with its network, subnets and QoS policy where they are given.

Source: Neutron's API v2 (ports, networks, subnets, qos); names as ``binding:vif_type``, or as
``binding_vif_type``, which ``openstack port show -f json`` prints. How the fields go together is
as in nova/network/neutron.py.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from vifplug.errors import NO_VIF, InvalidVIF, shown
from vifplug.fields import CIDR, IP, LINE, MAC, MTU, UUID, VLAN, WORD, Choice, NotAllowed
from vifplug.model.mark import derived_name
from vifplug.model.vif import VIF, VNIC_TYPES, QoS
from vifplug.sources import binding, own
from vifplug.sources.given import FLAG, LABEL, Given, Number
from vifplug.sources.own import OWN

_ALLOWED = "a port of Neutron's, bare or as {'port': ..., 'network': ..., 'subnets': [...]}"
_SHOW = "openstack port show -f json"
_SHOWN = f"as '{_SHOW}' of python-openstackclient 4.0 or newer prints it"
_OF_THE_ROLE = f"a vif_type, which only an administrator or a service may read ('{_SHOW}')"
_BESIDE = ("network", "subnets", "qos_policy", "dhcp_ports")
_SEVERAL = ("networks", "subnets", "qos_policies")
_OWNER = "compute:"
_NOT_GUESTS = "network:"
_LIMIT = Number(0, 2**31 - 1)
_DIRECTIONS = {"ingress": "inbound", "egress": "outbound"}
"""Neutron's and libvirt's words for the same: both are the guest's point of view."""


def vif_of(data: Any) -> VIF:
    """Return the VIF of a port.

    ``data`` is a port, or an object with ``port`` and beside it, each of which may be absent:
    ``network``, ``subnets`` (a list), ``qos_policy`` (with its ``rules``) and ``dhcp_ports``, the
    network's ports of device_owner network:dhcp. Raises InvalidVIF, which names Neutron's field;
    for a port that is not bound, too.
    """
    _require_a_port(data)
    wrapped = isinstance(data, Mapping) and "port" in data
    document = Given.whole(data, allowed=_ALLOWED, id_at=("port", "id") if wrapped else ("id",))
    port = document.below("port") if wrapped else document
    if port.has("ID") and not port.has("id"):
        raise _listed(port)
    vif_id, network_id = port.need(UUID, "id"), port.take(UUID, "network_id")
    network = document.below("network")
    if network.take(UUID, "id") not in (None, network_id):
        raise network.refuse("id", f"the port's network_id, {network_id}")
    if str(port.take(LABEL, "device_owner") or "").startswith(_NOT_GUESTS):
        raise port.refuse("device_owner", "that of a guest's port, which starts with compute:")
    vif_type = binding.type_of(port, *_names(port, "vif_type"), absent=_OF_THE_ROLE)
    details = _both(port, "vif_details")
    profile = _both(port, "profile")
    found = binding.read(vif_type, details, profile)
    if found["filtered"] is None:
        found["filtered"] = _both(port, "capabilities").take(FLAG, "port_filter")
    vnic_type = port.take(Choice(*VNIC_TYPES), *_names(port, "vnic_type"))
    found |= {
        "id": vif_id,
        "address": port.need(MAC, "mac_address"),
        "vnic_type": vnic_type,
        "devname": _devname(vif_id, vif_type, vnic_type, details),
        "interface_id": vif_id if vif_type in ("ovs", "vhostuser") else None,
        "network": _network(network, network_id, vif_type, found["network"])
        | {"subnets": _subnets(document, port)},
        "qos": _qos(document.below("qos_policy")),
        "instance": _instance(port),
    }
    return own.vif_of(found, profile.below(OWN))


def parts(document: Any) -> list[tuple[str, Any]]:
    """Return what of a document is a port: each with its place in it, and what stands beside.

    A port, ``{"port": ...}``, ``{"ports": [...]}``, a list of any. Beside ports may stand
    ``networks``, ``subnets``, ``qos_policies`` and ``dhcp_ports``, of which each gets its own.
    """
    if not isinstance(document, list):
        return _parts(document)
    return [
        (f"[{at}]{place}", part) for at, one in enumerate(document) for place, part in _parts(one)
    ]


def _parts(document: Any) -> list[tuple[str, Any]]:
    if not isinstance(document, Mapping) or not isinstance(document.get("ports"), list):
        return [("", document)]
    rows = {name: _by_id(document.get(name)) for name in _SEVERAL}
    return [
        (f".ports[{at}]", {"port": port} | _beside(document, port, rows))
        for at, port in enumerate(document["ports"])
    ]


def _by_id(rows: Any) -> dict[str, Any]:
    found = (row for row in rows if isinstance(row, Mapping)) if isinstance(rows, list) else ()
    return {row["id"]: row for row in found if isinstance(row.get("id"), str)}


def _beside(
    document: Mapping[str, Any], port: Any, rows: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Return what of a document of several ports belongs to one: of thousands, a few rows."""
    found = {name: document[name] for name in _BESIDE if name in document}
    if not isinstance(port, Mapping):
        return found
    for several, one, key in (
        ("networks", "network", "network_id"),
        ("qos_policies", "qos_policy", "qos_policy_id"),
    ):
        if isinstance(port.get(key), str) and port[key] in rows[several]:
            found[one] = rows[several][port[key]]
    if rows["subnets"]:
        fixed = port.get("fixed_ips") if isinstance(port.get("fixed_ips"), list) else []
        ids = [one.get("subnet_id") for one in fixed or () if isinstance(one, Mapping)]
        wanted = dict.fromkeys(one for one in ids if isinstance(one, str))
        found["subnets"] = [rows["subnets"][one] for one in wanted if one in rows["subnets"]]
    return found


def _require_a_port(data: Any) -> None:
    """Raise InvalidVIF for a document of several ports whose list is none."""
    if isinstance(data, Mapping) and "ports" in data:
        raise InvalidVIF(NO_VIF, "ports", shown(data["ports"]), "a list of ports")


def _listed(port: Given) -> InvalidVIF:
    """Return the error for a row of 'openstack port list', which tells of no binding."""
    try:
        vif_id = UUID.check(port.data["ID"], lenient=True)
    except NotAllowed:
        vif_id = NO_VIF
    command = _SHOW if vif_id == NO_VIF else f"{_SHOW} {vif_id}"
    allowed = f"the port as '{command}' prints it"
    return InvalidVIF(vif_id, port.at or "it", "a row of 'openstack port list'", allowed)


def _names(port: Given, name: str) -> tuple[str, str]:
    """Return both names of a field of the port's binding, the document's own spelling first."""
    api, command = f"binding:{name}", f"binding_{name}"
    if api not in port.data and any(str(one).startswith("binding_") for one in port.data):
        return command, api
    return api, command


def _both(port: Given, name: str) -> Given:
    """Return an object of the port's binding. Raises InvalidVIF for anything else."""
    for spelt in _names(port, name):
        if isinstance(port.data.get(spelt), str) and port.has(spelt):
            raise port.refuse(spelt, f"an object, {_SHOWN}")
    return port.below(*_names(port, name))


def _devname(vif_id: str, vif_type: str, vnic_type: str | None, details: Given) -> str | None:
    # libvirt names a macvtap, as its agents expect.
    if vnic_type not in (None, "normal") or vif_type.startswith(("802.1", "macvtap")):
        return None
    switch = vif_type == "vhostuser" and details.take(FLAG, "vhostuser_ovs_plug")
    return derived_name("vhu" if switch else "tap", vif_id)


def _network(
    network: Given, network_id: str | None, vif_type: str, bound: Mapping[str, Any]
) -> dict[str, Any]:
    found = {
        "id": network_id,
        "label": network.take(LABEL, "name"),
        "mtu": network.take(Number(0, MTU.most), "mtu") or None,
        **bound,
    }
    if network.data.get("provider:network_type") == "vlan":
        found["vlan"] = network.take(VLAN, "provider:segmentation_id")
    if vif_type == "bridge":
        found["bridge"] = bound["bridge"] or binding.quantum_bridge(network_id)
        found["should_create_bridge"] = True
    return found


def _subnets(document: Given, port: Given) -> list[dict[str, Any]]:
    """Return the subnets in which the port has an address; what isn't given beside is unknown."""
    servers = {
        fixed.take(LINE, "subnet_id"): fixed.take(IP, "ip_address")
        for other in document.each("dhcp_ports")
        for fixed in other.each("fixed_ips")
    }
    if isinstance(port.data.get("fixed_ips"), str) and port.has("fixed_ips"):
        raise port.refuse("fixed_ips", f"a list, {_SHOWN}")
    ips: dict[str, list[str]] = {}
    for fixed in port.each("fixed_ips"):
        if ip := fixed.take(IP, "ip_address"):
            ips.setdefault(str(fixed.take(LINE, "subnet_id")), []).append(ip)
    return [
        {
            "cidr": subnet.need(CIDR, "cidr"),
            "gateway": subnet.take(IP, "gateway_ip"),
            "dhcp_server": servers.get(subnet_id),
            "ips": ips[subnet_id],
        }
        for subnet in document.each("subnets")
        if (subnet_id := str(subnet.take(LINE, "id"))) in ips
    ]


def _qos(policy: Given) -> dict[str, int]:
    """Return bandwidth limits in libvirt's units, rounded up: 0 would mean no limit."""
    found: dict[str, int] = {}
    for rule in policy.each("rules"):
        if rule.take(WORD, "type") not in (None, "bandwidth_limit") or not rule.has("max_kbps"):
            continue
        direction = rule.take(Choice(*_DIRECTIONS), "direction") or "egress"
        for ours, theirs in (("average", "max_kbps"), ("burst", "max_burst_kbps")):
            if limit := rule.take(_LIMIT, theirs):
                found[f"{_DIRECTIONS[direction]}_{ours}"] = -(-limit * 1000 // 8192)
    return found


def _instance(port: Given) -> dict[str, str]:
    """Return the guest of a port. Its device_id is any text: Nova's is the instance's UUID."""
    owner = port.take(LABEL, "device_owner")
    device = port.take(LABEL, "device_id")
    if not (owner and owner.startswith(_OWNER) and device):
        return {}
    try:
        return {"uuid": UUID.check(device, lenient=True)}
    except NotAllowed:
        return {"name": device}


def data_of(vif: VIF) -> dict[str, Any]:
    """Return a VIF as a port with its network beside, from which :func:`vif_of` has it again.

    What Neutron has no field for (the guest's side, the uplink ...) is in ``vifplug`` in the
    port's binding:profile.
    """
    details, profile = binding.write(vif)
    network = vif.network
    ids = [_subnet_id(vif, subnet.cidr) for subnet in network.subnets]
    subnets = [
        {"id": subnet_id, "cidr": subnet.cidr, "gateway_ip": subnet.gateway}
        for subnet_id, subnet in zip(ids, network.subnets, strict=True)
    ]
    fixed = [
        {"subnet_id": subnet_id, "ip_address": ip}
        for subnet_id, subnet in zip(ids, network.subnets, strict=True)
        for ip in subnet.ips
    ]
    device = vif.instance.uuid or vif.instance.name or ""
    port: dict[str, Any] = {
        "id": vif.id,
        "network_id": network.id,
        "mac_address": vif.address,
        "fixed_ips": fixed,
        "device_id": device,
        "device_owner": f"{_OWNER}nova" if device else "",
        "binding:vif_type": vif.vif_type,
        "binding:vnic_type": vif.vnic_type,
        "binding:vif_details": details,
        "binding:profile": profile,
    }
    data: dict[str, Any] = {
        "port": port,
        "network": {"id": network.id, "name": network.label or "", "mtu": network.mtu},
        "subnets": subnets,
        "qos_policy": {"rules": list(_rules(vif.qos))},
    }
    if network.vlan:
        vlan = {"provider:network_type": "vlan", "provider:segmentation_id": network.vlan}
        data["network"] |= vlan
    if more := own.beside(vif, vif_of(data)):
        profile[OWN] = more
    return data


def _subnet_id(vif: VIF, cidr: str) -> str:
    return str(uuid.uuid5(uuid.UUID(vif.network.id or vif.id), cidr))


def _rules(qos: QoS) -> Iterable[dict[str, Any]]:
    for theirs, ours in _DIRECTIONS.items():
        both = (getattr(qos, f"{ours}_average"), getattr(qos, f"{ours}_burst"))
        average, burst = ((limit or 0) * 8192 // 1000 for limit in both)
        if average and max(average, burst) <= _LIMIT.most:
            yield {
                "type": "bandwidth_limit",
                "direction": theirs,
                "max_kbps": average,
                "max_burst_kbps": burst,
            }
