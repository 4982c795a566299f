# SPDX-License-Identifier: Apache-2.0
"""VIFs for the tests of vifplug_bridge."""

from __future__ import annotations

from vifplug import VIF

IDS = (
    "0b6a9d0e-7a3c-4a6e-9d55-3f1f0a3c2b11",
    "1c7bae1f-8b4d-4b7f-8e66-4a2a1b4d3c22",
    "2d8cbf20-9c5e-4c80-9f77-5b3b2c5e4d33",
)


def bridge_vif(number: int = 0, **network: object) -> VIF:
    """Return the VIF of a number, on br100, which a plug makes."""
    network = {"bridge": "br100", "should_create_bridge": True, "mtu": 1450, **network}
    address = f"fa:16:3e:11:22:{number:02x}"
    data = {"id": IDS[number], "vif_type": "bridge", "address": address, "network": network}
    return VIF.from_dict(data)


def tap_of(vif: VIF) -> str:
    """Return the name of a VIF's tap."""
    return f"tap{vif.id[:11]}"
