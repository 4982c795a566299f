# SPDX-License-Identifier: Apache-2.0
"""A VIF from os-vif: one of its VIF objects as serialised (``obj_to_primitive()``).

Source: os_vif/objects/ (vif.py, network.py, subnet.py, instance_info.py). os-vif has no vif_type:
the class and ``plugin`` say it, as nova/network/os_vif_util.py and Nova's renderer take them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vifplug.fields import CIDR, DEVICE, IP, LINE, MAC, MTU, UUID, WORD
from vifplug.model.mark import derived_name
from vifplug.model.vif import VIF, Network, Subnet
from vifplug.sources import binding, own
from vifplug.sources.given import FLAG, LABEL, Given, Number
from vifplug.sources.own import OWN

_ALLOWED = "a serialised VIF of os-vif's, bare or as {'vif': ..., 'instance_info': ...}"
_OBJECT = "versioned_object"
_NAME, _DATA = f"{_OBJECT}.name", f"{_OBJECT}.data"
_VERSIONS = {"Network": "1.1", "VIFVHostUser": "1.1", "VIFPortProfileOpenVSwitch": "1.4",
             "VIFPortProfile8021Qbg": "1.1", "VIFPortProfile8021Qbh": "1.1"}  # fmt: skip

_TYPES = {"linux_bridge": "bridge"}
"""The plugins of os-vif that are called other than their vif_type."""
_PLUGINS = {vif_type: plugin for plugin, vif_type in _TYPES.items()}
_OFFLOADED = ("agilio_ovs", "vrouter")
_QBG = ("manager_id", "type_id", "type_id_version", "instance_id")
_VEPA = {"VIFPortProfile8021Qbg": "802.1qbg", "VIFPortProfile8021Qbh": "802.1qbh"}
_PROFILES = {vif_type: profile for profile, vif_type in _VEPA.items()}


def vif_of(data: Any) -> VIF:
    """Return the VIF of a serialised os-vif VIF.

    ``data`` is the object; or an object with ``vif`` and ``instance_info``, the arguments of
    os_vif.plug(). Objects may be of any version. Raises InvalidVIF, which names os-vif's field.
    """
    wrapped = isinstance(data, Mapping) and "vif" in data
    id_at = ("vif", _DATA, "id") if wrapped else (_DATA, "id")
    document = Given.whole(data, allowed=_ALLOWED, id_at=id_at)
    outer = document.below("vif") if wrapped else document
    name, vif = _object(outer)
    if not name.startswith("VIF") or name.startswith("VIFPortProfile"):
        raise outer.refuse(_NAME, "a VIF: VIFBridge, VIFOpenVSwitch, VIFDirect ...")
    _, network = _object(vif.below("network"))
    profile_name, profile = _object(vif.below("port_profile"))
    _, instance = _object(document.below("instance_info"))
    vif_type, vnic_type = _types(name, vif, profile_name)
    found = {
        "id": vif.need(UUID, "id"),
        "vif_type": vif_type,
        "vnic_type": vnic_type,
        "address": vif.need(MAC, "address"),
        "devname": vif.take(DEVICE, "vif_name"),
        "filtered": vif.take(FLAG, "has_traffic_filtering"),
        "interface_id": profile.take(UUID, "interface_id"),
        "network": _network(network, vif, vif_type, name),
        "details": _details(name, vif_type, vif, profile),
        "instance": {"uuid": instance.take(UUID, "uuid"), "name": instance.take(LINE, "name")},
    }
    if profile_name in _VEPA:
        found |= {one: profile.take(Number(0, 0xFFFFFF), one) for one in _QBG[:3]}
        found["instance_id"] = profile.take(UUID, "instance_id")
        found["profile_id"] = profile.take(LINE, "profile_id")
    return own.vif_of(found, document.below(OWN))


def parts(document: Any) -> list[tuple[str, Any]]:
    """Return what of a document is a VIF, each with its place in it: one, or a list."""
    if isinstance(document, list):
        return [(f"[{at}]", one) for at, one in enumerate(document)]
    return [("", document)]


def _object(given: Given) -> tuple[str, Given]:
    """Return the class and the fields of a serialised object; both are empty where there is none.

    Raises InvalidVIF for an object of another kind.
    """
    if not given.data:
        return "", given
    # Paths leave out the wrapping, which every object has.
    name, data = given.take(LINE, _NAME), Given(given.vif_id, given.below(_DATA).data, given.at)
    if name is None or not given.has(_DATA):
        missing = _NAME if name is None else _DATA
        raise given.refuse(missing, "a serialised object of os-vif's (obj_to_primitive())")
    return name, data


def _listed(given: Given, name: str) -> list[Given]:
    """Return the fields of each object of a list object (SubnetList, FixedIPList)."""
    _, rows = _object(given.below(name))
    return [_object(one)[1] for one in rows.each("objects")]


def _types(name: str, vif: Given, profile: str) -> tuple[str, str | None]:
    """Return vif_type and vnic_type of an object's class, plugin and port profile."""
    plugin = vif.take(WORD, "plugin")
    if name == "VIFDirect":
        return _VEPA.get(profile, "macvtap"), None
    if name == "VIFVHostUser":
        return (plugin, "virtio-forwarder") if plugin in _OFFLOADED else ("vhostuser", None)
    if name == "VIFHostDevice":
        return (plugin, "direct") if plugin not in (None, "noop") else ("ovs", "remote-managed")
    if name == "VIFOpenVSwitch":
        return "ovs", None
    if plugin is None and name != "VIFBridge":
        raise vif.refuse("plugin", "the name of a plugin, which tells the vif_type")
    return _TYPES.get(plugin, plugin or "bridge"), None


def _details(name: str, vif_type: str, vif: Given, profile: Given) -> dict[str, Any]:
    plugin = vif.data.get("plugin")
    found: dict[str, Any] = {
        "datapath_type": profile.take(LINE, "datapath_type"),
        "ovs_create_tap": profile.take(FLAG, "create_tap") or None,
    }
    if name == "VIFOpenVSwitch":
        found["delegate_create"] = profile.take(FLAG, "create_port")
    if name == "VIFBridge" and plugin == "ovs":
        found["ovs_hybrid_plug"] = True
    if name == "VIFVHostUser":
        found["vhostuser_socket"] = vif.take(LINE, "path")
        found["vhostuser_mode"] = vif.take(LINE, "mode")
        found["vhostuser_ovs_plug"] = {"ovs": True, "noop": False}.get(str(plugin))
    if name == "VIFHostDevice":
        found["pci_slot"] = vif.take(LINE, "dev_address")
    if name == "VIFDirect" and vif_type == "macvtap":
        found["macvtap_mode"] = vif.take(LINE, "mode")
    return {name: value for name, value in found.items() if value not in (None, "")}


def _network(network: Given, vif: Given, vif_type: str, name: str) -> dict[str, Any]:
    bridge = network.take(binding.BRIDGE, "bridge")
    # A hybrid VIF's own bridge is the qbr; the switch is its network's.
    if name != "VIFBridge" or vif_type == "bridge":
        bridge = vif.take(binding.BRIDGE, "bridge_name") or bridge
    network_id = network.take(UUID, "id")
    if vif_type == "bridge":
        bridge = bridge or binding.quantum_bridge(network_id)
    return {
        "id": network_id,
        "label": network.take(LABEL, "label"),
        "mtu": network.take(Number(0, MTU.most), "mtu") or None,
        "bridge": bridge,
        "interface": network.take(DEVICE, "bridge_interface"),
        "vlan": network.take(Number(0, 4094), "vlan") or None,
        "multi_host": network.take(FLAG, "multi_host"),
        "should_create_bridge": network.take(FLAG, "should_provide_bridge"),
        "should_create_vlan": network.take(FLAG, "should_provide_vlan"),
        "subnets": [_subnet(one) for one in _listed(network, "subnets") if one.has("cidr")],
    }


def _subnet(subnet: Given) -> dict[str, Any]:
    ips = (one.take(IP, "address") for one in _listed(subnet, "ips"))
    return {
        "cidr": subnet.take(CIDR, "cidr"),
        "gateway": subnet.take(IP, "gateway"),
        "dhcp_server": subnet.take(IP, "dhcp_server"),
        "ips": [ip for ip in ips if ip],
    }


def data_of(vif: VIF) -> dict[str, Any]:
    """Return a VIF as a serialised os-vif VIF with its instance_info beside.

    :func:`vif_of` has the same VIF of it. What os-vif has no field for (the guest's side, limits
    of bandwidth, details of a plugin) is in ``vifplug`` beside the two.
    """
    hybrid = vif.vif_type == "ovs" and vif.details.get("ovs_hybrid_plug") is True
    name = {"ovs": "VIFOpenVSwitch", "bridge": "VIFBridge"}.get(vif.vif_type, "VIFGeneric")
    if vif.vif_type in _PROFILES:
        name = "VIFDirect"
    fields: dict[str, Any] = {
        "id": vif.id,
        "address": vif.address,
        "vif_name": vif.devname,
        "plugin": _PLUGINS.get(vif.vif_type, vif.vif_type),
        "has_traffic_filtering": vif.filtered,
        "network": _network_data(vif.network),
        "port_profile": _profile_data(vif),
        "mode": "vepa" if name == "VIFDirect" else None,
    }
    if hybrid:
        name, fields["bridge_name"] = "VIFBridge", derived_name("qbr", vif.id)
    elif name in ("VIFBridge", "VIFOpenVSwitch"):
        fields["bridge_name"] = vif.network.bridge
    instance = {"uuid": vif.instance.uuid, "name": vif.instance.name}
    data = {
        "vif": _serialised(name, fields),
        "instance_info": _serialised("InstanceInfo", instance),
    }
    if more := own.beside(vif, vif_of(data)):
        data[OWN] = more
    return data


def _serialised(name: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object as os-vif serialises it: a field that is None is one that nobody set."""
    return {
        _NAME: name,
        f"{_OBJECT}.namespace": "os_vif",
        f"{_OBJECT}.version": _VERSIONS.get(name, "1.0"),
        _DATA: {name: value for name, value in fields.items() if value is not None},
    }


def _several(name: str, objects: list[Any]) -> dict[str, Any]:
    return _serialised(name, {"objects": objects})


def _network_data(network: Network) -> dict[str, Any]:
    fields = {
        "id": network.id,
        "label": network.label,
        "mtu": network.mtu,
        "bridge": network.bridge,
        "bridge_interface": network.interface,
        "vlan": network.vlan,
        "multi_host": network.multi_host,
        "should_provide_bridge": network.should_create_bridge,
        "should_provide_vlan": network.should_create_vlan,
        "subnets": _several("SubnetList", [_subnet_data(one) for one in network.subnets]),
    }
    return _serialised("Network", fields)


def _subnet_data(subnet: Subnet) -> dict[str, Any]:
    ips = [_serialised("FixedIP", {"address": ip}) for ip in subnet.ips]
    fields = {
        "cidr": subnet.cidr,
        "gateway": subnet.gateway,
        "dhcp_server": subnet.dhcp_server,
        "ips": _several("FixedIPList", ips),
    }
    return _serialised("Subnet", fields)


def _profile_data(vif: VIF) -> dict[str, Any] | None:
    if vif.vif_type == "802.1qbh":
        return _serialised(_PROFILES[vif.vif_type], {"profile_id": vif.profile_id})
    if vif.vif_type == "802.1qbg":
        return _serialised(_PROFILES[vif.vif_type], {name: getattr(vif, name) for name in _QBG})
    if vif.vif_type != "ovs":
        return None
    fields = {
        "interface_id": vif.interface_id or vif.id,
        "datapath_type": vif.details.get("datapath_type"),
        "create_port": vif.details.get("delegate_create"),
        "create_tap": vif.details.get("ovs_create_tap"),
    }
    return _serialised("VIFPortProfileOpenVSwitch", fields)
