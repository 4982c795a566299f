# SPDX-License-Identifier: Apache-2.0
"""The five drivers, and the pairs of network and mapping that each of them was given in Folsom."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from vifplug.legacy import (
    LegacyVIFDriver,
    LibvirtBridgeDriver,
    LibvirtHybridOVSBridgeDriver,
    LibvirtOpenVswitchDriver,
    LibvirtOpenVswitchVirtualPortDriver,
    QuantumLinuxBridgeVIFDriver,
)

BRIDGE, MANUAL, HYBRID, AUTOMATIC, QUANTUM = FIVE = (
    LibvirtBridgeDriver,
    LibvirtOpenVswitchDriver,
    LibvirtHybridOVSBridgeDriver,
    LibvirtOpenVswitchVirtualPortDriver,
    QuantumLinuxBridgeVIFDriver,
)
IDS = {driver: str(uuid.uuid5(uuid.NAMESPACE_DNS, driver.__name__)) for driver in FIVE}
MACS = {driver: f"fa:16:3e:11:22:{number:02x}" for number, driver in enumerate(FIVE)}
NETWORK = "5d1f3b62-90ce-4c58-8f1c-7a6cbb1e0a44"
BRQ = "brq5d1f3b62-90"
INSTANCE = {"uuid": "7f2d9c1a-3b5e-4e8f-a1d2-6c9b8e7f5a33", "name": "instance-00000001"}

Pair = tuple[dict[str, Any], dict[str, Any]]


def make(driver: type[LegacyVIFDriver]) -> LegacyVIFDriver:
    """Return a driver; it says that it is deprecated."""
    with pytest.warns(DeprecationWarning, match=rf"{driver.__name__} is deprecated: use vifplug"):
        return driver()


def pair(driver: type[LegacyVIFDriver]) -> Pair:
    """Return a new pair as 2012.2 gave it: nova-network's for its driver, Quantum's for others."""
    ours = driver is BRIDGE
    network = {
        "bridge": "br100" if ours else "",
        "id": NETWORK,
        "cidr": "10.0.0.0/24",
        "cidr_v6": "2001:db8::/64",
        "vlan": None,
        "injected": False,
        "multi_host": False,
        "bridge_interface": "eth1" if ours else None,
    }
    mapping = {
        "label": "private",
        "broadcast": "10.0.0.255",
        "mac": MACS[driver],
        "vif_uuid": IDS[driver],
        "rxtx_cap": 0,
        "dns": ["10.0.0.3"],
        "ips": [{"enabled": "1", "ip": "10.0.0.5", "netmask": "255.255.255.0"}],
        "ip6s": [{"enabled": "1", "ip": "2001:db8::5", "netmask": 64}],
        "gateway": "10.0.0.1",
        "gateway_v6": "2001:db8::1",
        "dhcp_server": "10.0.0.2",
        "should_create_bridge": ours,
        "should_create_vlan": False,
    }
    return network, mapping


def name(prefix: str, driver: type[LegacyVIFDriver]) -> str:
    """Return a device's name as the original derived it."""
    return prefix + IDS[driver][:11]
