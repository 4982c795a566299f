# SPDX-License-Identifier: Apache-2.0
"""vif_type 802.1qbh: a virtual function with a port profile. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from vifplug.fields import BOOLEAN, DEVICE, PCI, declared
from vifplug.guest.interface import VirtualPort
from vifplug.model.host import Host
from vifplug.model.use import Use, Uses
from vifplug.model.vif import VIF
from vifplug.parts import Part
from vifplug.wiring import Wiring
from vifplug_vepa.direct import (
    MACVTAP,
    MODE,
    DirectPlugin,
    function_of,
    macvtap,
    netdev_of,
    trusts,
    whole_function,
)
from vifplug_vepa.parts import PASSTHROUGH, Function, PortProfile

_MOST_PROFILE = 39
"""Bytes that libvirt and the kernel allow for a port profile's name."""


@dataclass(frozen=True, kw_only=True)
class QbhDetails:
    """The details of vif_type 802.1qbh.

    ``pci_slot`` names the virtual function. By default it is that of the device network.interface.
    """

    macvtap_mode: str | None = declared(MODE, default=None)
    pci_slot: str | None = declared(PCI, default=None)
    trusted: bool | None = declared(BOOLEAN, default=None)


_PROFILE: Uses = ("address", "profile_id", "network.mtu", "details.pci_slot")


class QbhPlugin(DirectPlugin):
    """vif_type ``802.1qbh``: a virtual function whose driver passes a port profile to the switch.

    vnic_type direct hands the function to the guest; any other puts a macvtap on its device.
    """

    details = QbhDetails
    vnic_types = ("normal", "direct", "macvtap")
    required = ("profile_id",)
    uses: ClassVar[Mapping[str, Uses]] = {
        "": (
            *MACVTAP,
            *_PROFILE,
            "details.macvtap_mode",
            "details.trusted",
            Use(
                "network.interface",
                "without details.pci_slot",
                lambda vif: not vif.details.get("pci_slot"),
            ),
        ),
        "direct": _PROFILE,
    }

    def wire(self, vif: VIF, host: Host) -> Wiring:
        details, profile = self.details_of(vif), vif.profile_id or ""
        if len(profile.encode()) > _MOST_PROFILE:
            needed = f"at most {_MOST_PROFILE} bytes, as UTF-8"
            raise vif.refuse("profile_id", profile, needed)
        port = VirtualPort(type="802.1Qbh", parameters=(("profileid", profile),))
        if vif.vnic_type == "direct":
            pci = _pci_slot(vif, details.pci_slot)
            parts: tuple[Part, ...] = (Function(pci=pci, virtual=True),)
            if (function := host.pci.get(pci)) and function.pf:
                parts = (*parts, PortProfile(device=function.pf, pci=pci))
            return whole_function(vif, host, parts, pci, port=port)
        if details.pci_slot:
            mode = details.macvtap_mode or PASSTHROUGH
            function = function_of(vif, host, details.pci_slot, virtual=True)
            source = netdev_of(vif, details.pci_slot, function)
        elif vif.network.interface:
            mode, source = details.macvtap_mode or "vepa", vif.network.interface
        else:
            raise vif.refuse("network.interface", None, f"{DEVICE.allowed}, or details.pci_slot")
        before, trusted = (PortProfile(device=source),), trusts(vif, details.trusted)
        return macvtap(vif, host, source, mode, before, port=port, trusted=trusted)


def _pci_slot(vif: VIF, pci: str | None) -> str:
    if pci is None:
        raise vif.refuse("details.pci_slot", None, f"{PCI.allowed} (vnic_type direct needs it)")
    return pci
