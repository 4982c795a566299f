# SPDX-License-Identifier: Apache-2.0
"""VIFs for the tests of vifplug_ovs."""

from __future__ import annotations

import uuid
from typing import Any

from vifplug import VIF

IDS = tuple(str(uuid.uuid5(uuid.NAMESPACE_DNS, f"vif{number}")) for number in range(64))


def ovs_vif(number: int = 0, *, interface_id: str | None = None, devname: str | None = None,
            **network: Any) -> VIF:  # fmt: skip
    """Return the VIF of a number, on br-int."""
    data = {
        "id": IDS[number],
        "vif_type": "ovs",
        "address": f"fa:16:3e:11:22:{number:02x}",
        "interface_id": interface_id,
        "devname": devname,
        "network": {"bridge": "br-int", "mtu": 1500, **network},
    }
    return VIF.from_dict(data)
