# SPDX-License-Identifier: Apache-2.0
"""vif_type macvtap: a macvtap on a device of the host. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from vifplug.fields import DEVICE, PCI, VLAN, declared
from vifplug.model.host import Host
from vifplug.model.vif import VIF
from vifplug.wiring import Wiring
from vifplug_vepa.direct import (
    MODE,
    DirectPlugin,
    function_of,
    macvtap,
    netdev_of,
    source_of,
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


class MacvtapPlugin(DirectPlugin):
    """vif_type ``macvtap``: a macvtap on a device of the host, in any of the kernel's modes."""

    details = MacvtapDetails
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
        if details.vlan is None:
            source, below, notes = source_of(vif, host, source)
            return macvtap(vif, host, source, details.macvtap_mode, below, notes=notes)
        if uplink is None:
            needed = f"{DEVICE.allowed} (details.vlan needs it)"
            raise vif.refuse("details.physical_interface", None, needed)
        if source == uplink:
            source = f"vlan{details.vlan}"
        source, below = vlan_on(vif, host, source, uplink, details.vlan)
        return macvtap(vif, host, source, details.macvtap_mode, below)
