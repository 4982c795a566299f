# SPDX-License-Identifier: Apache-2.0
"""vif_type hostdev_physical: a PCI function that the guest gets whole. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from vifplug.fields import PCI, declared
from vifplug.guest.interface import GuestSide, Interface
from vifplug.model.host import Host
from vifplug.model.vif import VIF
from vifplug.wiring import Wiring
from vifplug_vepa.direct import DirectPlugin, left_out_of_function
from vifplug_vepa.parts import Function


@dataclass(frozen=True, kw_only=True)
class HostdevDetails:
    """The details of vif_type hostdev_physical."""

    pci_slot: str = declared(PCI)


class HostdevPlugin(DirectPlugin):
    """vif_type ``hostdev_physical``: the guest gets a network card's function as it is."""

    details = HostdevDetails
    vnic_types = ("normal", "direct-physical")

    def wire(self, vif: VIF, host: Host) -> Wiring:
        if vif.vnic_type not in ("normal", "direct-physical"):
            raise vif.refuse("vnic_type", vif.vnic_type, "direct-physical, for hostdev_physical")
        pci = self.details_of(vif).pci_slot
        interface = Interface(type="pci", mac=vif.address, guest=GuestSide(), pci=pci)
        return Wiring(
            parts=(Function(pci=pci),), interface=interface, notes=left_out_of_function(vif)
        )
