# SPDX-License-Identifier: Apache-2.0
"""vif_type hostdev_physical: a PCI function that the guest gets whole. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from vifplug.fields import PCI, declared
from vifplug.guest.interface import GuestSide, Interface
from vifplug.model.host import Host
from vifplug.model.use import Uses
from vifplug.model.vif import VIF
from vifplug.wiring import Wiring
from vifplug_vepa.direct import DirectPlugin
from vifplug_vepa.parts import Function


@dataclass(frozen=True, kw_only=True)
class HostdevDetails:
    """The details of vif_type hostdev_physical."""

    pci_slot: str = declared(PCI)


class HostdevPlugin(DirectPlugin):
    """vif_type ``hostdev_physical``: the guest gets a network card's function as it is."""

    details = HostdevDetails
    uses: ClassVar[Mapping[str, Uses]] = {"": ("details.pci_slot",)}
    vnic_types = ("normal", "direct-physical")

    def wire(self, vif: VIF, host: Host) -> Wiring:
        self.require_vnic_type(vif)
        pci = self.details_of(vif).pci_slot
        interface = Interface(type="pci", mac=vif.address, guest=GuestSide(), pci=pci)
        return Wiring(parts=(Function(pci=pci),), interface=interface)
