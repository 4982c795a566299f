# SPDX-License-Identifier: Apache-2.0
"""vif_type hw_veb: a virtual function on the switch of its network card. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from vifplug.fields import BOOLEAN, PCI, VLAN, declared
from vifplug.model.host import Host
from vifplug.model.use import Use, Uses
from vifplug.model.vif import VIF
from vifplug.parts import Part
from vifplug.wiring import Wiring
from vifplug_vepa.direct import (
    MACVTAP,
    DirectPlugin,
    function_of,
    macvtap,
    netdev_of,
    whole_function,
)
from vifplug_vepa.parts import PASSTHROUGH, Function, VirtualFunction


@dataclass(frozen=True, kw_only=True)
class HwVebDetails:
    """The details of vif_type hw_veb; ``vlan`` is by default the network's, else none."""

    pci_slot: str = declared(PCI)
    vlan: int | None = declared(VLAN, default=None)
    trusted: bool | None = declared(BOOLEAN, default=None)
    spoofchk: bool | None = declared(BOOLEAN, default=None)


_FUNCTION: Uses = (
    "address",
    "network.mtu",
    "details.pci_slot",
    "details.vlan",
    "details.trusted",
    "details.spoofchk",
    Use(
        "network.vlan",
        "without another details.vlan",
        lambda vif: vif.details.get("vlan") in (None, vif.network.vlan),
    ),
)


class HwVebPlugin(DirectPlugin):
    """vif_type ``hw_veb``: a virtual function on the switch that its network card is.

    vnic_type direct hands the function to the guest; vnic_type macvtap puts a macvtap on the
    function's device.
    """

    details = HwVebDetails
    uses: ClassVar[Mapping[str, Uses]] = {"": _FUNCTION, "macvtap": (*MACVTAP, *_FUNCTION)}
    vnic_types = ("direct", "macvtap")

    def wire(self, vif: VIF, host: Host) -> Wiring:
        details = self.details_of(vif)
        self.require_vnic_type(vif)
        parts: tuple[Part, ...] = (Function(pci=details.pci_slot, virtual=True),)
        vlan = details.vlan or vif.network.vlan or 0
        function = host.pci.get(details.pci_slot)
        if function and function.pf and function.vf is not None:
            settings = VirtualFunction(
                pci=details.pci_slot,
                device=function.pf,
                number=function.vf,
                address=vif.address,
                vlan=vlan,
                spoofchk=details.spoofchk,
                trust=details.trusted,
            )
            parts = (*parts, settings)
        if vif.vnic_type == "direct":
            return whole_function(vif, host, parts, details.pci_slot, vlan=vlan or None)
        function = function_of(vif, host, details.pci_slot, virtual=True)
        source = netdev_of(vif, details.pci_slot, function)
        trusted = details.trusted
        return macvtap(vif, host, source, PASSTHROUGH, parts, vlan=vlan or None, trusted=trusted)
