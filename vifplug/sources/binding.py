# SPDX-License-Identifier: Apache-2.0
"""What a port's binding says, in the words that Neutron and Nova share: type, details, profile.

Source: neutron-lib's portbindings extension; nova/network/model.py (VIF_DETAILS_*, qbg_params,
qbh_params). Folsom and Grizzly had no details, Havana said port_filter in binding:capabilities.
"""

from __future__ import annotations

from typing import Any

from vifplug.fields import DEVICE, LINE, UUID, WORD, Kind
from vifplug.model.mark import derived_name
from vifplug.model.vif import ALIASES, VIF
from vifplug.sources.given import FLAG, Given, Number

_WHEN_BOUND = "a vif_type, which a port has once Neutron has bound it to this host"
_UNBOUND = ("unbound", "binding_failed")
_VEPA = ("802.1qbg", "802.1qbh")
_INTERFACES = ("interface", "physical_interface")

# Ours, then libvirt's spelling, which Nova's qbg_params and qbh_params have too.
_PORT_IDS: dict[str, tuple[Kind, tuple[str, str]]] = {
    "manager_id": (Number(0, 255), ("manager_id", "managerid")),
    "type_id": (Number(0, 0xFFFFFF), ("type_id", "typeid")),
    "type_id_version": (Number(0, 255), ("type_id_version", "typeidversion")),
    "instance_id": (UUID, ("instance_id", "instanceid")),
    "profile_id": (LINE, ("profile_id", "profileid")),
}
_OF_THE_VIF = {"port_filter", "bridge_name", *(n for _, names in _PORT_IDS.values() for n in names)}
_OF_THE_PROFILE = ("pci_slot", "trusted", "physical_network")
_TEXT_TOO: dict[str, Kind] = {
    "vlan": Number(0, 4095),
    "trusted": FLAG,
    "ovs_hybrid_plug": FLAG,
    "ovs_create_tap": FLAG,
}


class _Bridge(Kind):
    """A bridge's name; one that no device can have is cut to 14, as Nova and the agents do."""

    allowed = DEVICE.allowed

    def check(self, value: Any, *, lenient: bool) -> str:
        long = isinstance(value, str) and len(value) > 15
        return DEVICE.check(value[:14] if long else value, lenient=lenient)


BRIDGE = _Bridge()


def type_of(given: Given, *names: str, absent: str = _WHEN_BOUND) -> str:
    """Return the vif_type under the first of the names that is there.

    Raises InvalidVIF where there is none yet. ``absent`` is what that error allows where the
    document tells no vif_type at all.
    """
    name = next((name for name in names if given.has(name)), names[0])
    vif_type = given.take(WORD, name)
    if vif_type is None or vif_type in _UNBOUND:
        raise given.refuse(name, absent if vif_type is None else _WHEN_BOUND)
    return ALIASES.get(vif_type, str(vif_type))


def read(vif_type: str, details: Given, profile: Given, *more: Given) -> dict[str, Any]:
    """Return the fields of a VIF that its binding gives.

    ``more`` are further places of the ids of 802.1Qbg and 802.1Qbh, which are looked at first.
    Raises InvalidVIF.
    """
    places = [*more, details, profile]
    places += [place.below("port_profile") for place in (details, profile)]
    found: dict[str, Any] = {"vif_type": vif_type, "filtered": details.take(FLAG, "port_filter")}
    for name, (kind, names) in _PORT_IDS.items():
        taken = (place.take(kind, *names) for place in places)
        found[name] = next((value for value in taken if value is not None), None)
    network: dict[str, Any] = {"bridge": details.take(BRIDGE, "bridge_name")}
    if vif_type in _VEPA:
        network["interface"] = details.take(DEVICE, *_INTERFACES)
    return {**found, "network": network, "details": _details(vif_type, details, profile)}


def _details(vif_type: str, details: Given, profile: Given) -> dict[str, Any]:
    left = _OF_THE_VIF | {"port_profile"} | set(_INTERFACES if vif_type in _VEPA else ())
    found = {
        name: value
        for name, value in details.data.items()
        if isinstance(name, str) and name not in left and details.has(name)
    }
    found |= {name: profile.data[name] for name in _OF_THE_PROFILE if profile.has(name)}
    for name, kind in _TEXT_TOO.items():
        if name in found:
            of_profile = name in _OF_THE_PROFILE and profile.has(name)
            found[name] = (profile if of_profile else details).take(kind, name)
    # Neutron says 0 for an untagged network.
    return {name: value for name, value in found.items() if (name, value) != ("vlan", 0)}


def write(vif: VIF) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return details and profile of a VIF, from which :func:`read` has the same fields."""
    details = {name: value for name, value in vif.details.items() if name not in _OF_THE_PROFILE}
    profile = {name: value for name, value in vif.details.items() if name in _OF_THE_PROFILE}
    details["port_filter"] = vif.filtered
    if vif.network.bridge:
        details["bridge_name"] = vif.network.bridge
    if vif.vif_type in _VEPA and vif.network.interface:
        details["interface"] = vif.network.interface
    for name, (_, (_, spelt)) in _PORT_IDS.items():
        if getattr(vif, name) is not None:
            details[spelt] = getattr(vif, name)
    return details, profile


def quantum_bridge(network_id: str | None) -> str | None:
    """Return the bridge that Neutron's Linux bridge agent makes for a network."""
    return derived_name("brq", network_id) if network_id else None
