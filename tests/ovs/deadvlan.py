# SPDX-License-Identifier: Apache-2.0
"""A guest's frame, and how a port is in the dead VLAN or in none."""

from __future__ import annotations

from typing import Any

from vifplug.testing import OpenVSwitch

PAYLOAD = b"\x88\xb5" + b"from the guest".ljust(60, b".")
FRAME = bytes.fromhex("ffffffffffff" + "020000000001") + PAYLOAD

DEAD, PLAIN = (4095, "trunk", 4095), ([], [], [])
"""What :func:`port_row` returns of a port in the dead VLAN, and of one that is a trunk of all."""


def tagged(vlan: int) -> bytes:
    """Return the frame with a tag of the guest's own."""
    return FRAME[:12] + bytes.fromhex(f"8100{vlan:04x}") + PAYLOAD


def port_row(ovs: OpenVSwitch, name: str) -> tuple[Any, Any, Any]:
    """Return a port's tag, vlan_mode and trunks."""
    (row,) = [row for row in ovs.rows("Port") if row["name"] == name]
    return row["tag"], row["vlan_mode"], row["trunks"]
