# SPDX-License-Identifier: Apache-2.0
"""vif_type macvtap: a macvtap on a device of the host. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from vifplug.fields import BOOLEAN, DEVICE, PCI, VLAN, declared
from vifplug.model.host import Host
from vifplug.model.use import Use, Uses
from vifplug.model.vif import VIF
from vifplug.wiring import Wiring
from vifplug_vepa.direct import (
    MACVTAP,
    MODE,
    DirectPlugin,
    function_of,
    macvtap,
    netdev_of,
    source_of,
    trusts,
    vlan_on,
)


@dataclass(frozen=True, kw_only=True)
class MacvtapDetails:
    """The details of vif_type macvtap, in Nova's words.

    ``macvtap_source`` is the device that the macvtap lies on, by default network.interface. With
    ``vlan`` it is a VLAN device of that name, by default "vlan" and the id, on
    ``physical_interface``.
    """

    macvtap_mode: str = declared(MODE, default="vepa")
    macvtap_source: str | None = declared(DEVICE, default=None)
    physical_interface: str | None = declared(DEVICE, default=None)
    vlan: int | None = declared(VLAN, default=None)
    pci_slot: str | None = declared(PCI, default=None)
    trusted: bool | None = declared(BOOLEAN, default=None)


def _is_below(vif: VIF, name: str | None) -> bool:
    """Whether the device of a name lies below the macvtap, or below the macvtap's VLAN device."""
    details = vif.details
    source = details.get("macvtap_source")
    return bool(details.get("vlan")) or source in (None, name)


def _uses_card(vif: VIF) -> bool:
    details = vif.details
    return not details.get("pci_slot") and _is_below(vif, details.get("physical_interface"))


def _uses_interface(vif: VIF) -> bool:
    details, name = vif.details, vif.network.interface
    other = details.get("pci_slot") or details.get("physical_interface") not in (None, name)
    return not other and _is_below(vif, name)


def _uses_vlan(vif: VIF) -> bool:
    made = vif.details.get("vlan")
    return vif.network.vlan == made if made else vif.network.should_create_vlan


_USES: Uses = (
    *MACVTAP,
    "network.should_create_vlan",
    Use(
        "network.vlan",
        "with network.should_create_vlan, and not beside another details.vlan",
        _uses_vlan,
    ),
    Use("network.interface", "where no details name another device", _uses_interface),
    "details.macvtap_mode",
    "details.macvtap_source",
    "details.trusted",
    "details.vlan",
    Use(
        "details.physical_interface",
        "without details.pci_slot, and beside another details.macvtap_source with details.vlan",
        _uses_card,
    ),
    Use(
        "details.pci_slot",
        "without details.macvtap_source, or with details.vlan",
        lambda vif: _is_below(vif, None),
    ),
)


class MacvtapPlugin(DirectPlugin):
    """vif_type ``macvtap``: a macvtap on a device of the host, in any of the kernel's modes."""

    details = MacvtapDetails
    uses: ClassVar[Mapping[str, Uses]] = {"": _USES}
    vnic_types = ("normal", "macvtap")

    def wire(self, vif: VIF, host: Host) -> Wiring:
        details = self.details_of(vif)
        uplink = details.physical_interface or vif.network.interface
        if details.pci_slot:
            function = function_of(vif, host, details.pci_slot, virtual=False)
            uplink = netdev_of(vif, details.pci_slot, function)
        source = details.macvtap_source or uplink
        if source is None:
            raise vif.refuse("details.macvtap_source", None, f"{DEVICE.allowed}, or the network's")
        mode, trusted = details.macvtap_mode, trusts(vif, details.trusted)
        if details.vlan is None:
            source, below = source_of(vif, host, source)
            return macvtap(vif, host, source, mode, below, trusted=trusted)
        if uplink is None:
            needed = f"{DEVICE.allowed} (details.vlan needs it)"
            raise vif.refuse("details.physical_interface", None, needed)
        if source == uplink:
            source = f"vlan{details.vlan}"
        source, below = vlan_on(vif, host, source, uplink, details.vlan)
        return macvtap(vif, host, source, mode, below, trusted=trusted)
