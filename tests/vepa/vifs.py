# SPDX-License-Identifier: Apache-2.0
"""VIFs of the direct family, and the macvtaps that guests leave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vifplug import VIF
from vifplug.testing import NetworkNamespace
from vifplug.testing.claims import kept_of

CASES = Path(__file__).parent / "cases"
IDS = tuple(f"0b6a9d0e-7a3c-4a6e-9d55-3f1f0a3c2b{number:02x}" for number in range(16))


def direct_vif(vif_type: str = "macvtap", number: int = 0, **fields: Any) -> VIF:
    """Return a VIF; each number has its own id and address."""
    address = f"fa:16:3e:11:22:{number:02x}"
    data = {"id": IDS[number], "vif_type": vif_type, "address": address, **fields}
    data.setdefault("network", {"interface": "eth1"})
    return VIF.from_dict(data)


def qbg_vif(number: int = 0, *, interface: str = "ep0", **fields: Any) -> VIF:
    """Return the VIF of the case qbg, on another device."""
    given = json.loads((CASES / "qbg/vif.json").read_text())
    same = {name: given[name] for name in given if name not in ("id", "address", "vif_type")}
    return direct_vif("802.1qbg", number, **{**same, "network": {"interface": interface}, **fields})


def card(namespace: NetworkNamespace, name: str = "eth1", *, up: bool = True) -> None:
    """Make what serves as a network card: a device that lies on no other one."""
    namespace.ip("link", "add", name, "type", "ifb")
    if up:
        namespace.ip("link", "set", name, "up")


def macvtap(namespace: NetworkNamespace, vif: VIF, mode: str = "vepa", *, on: str = "eth1",
            name: str = "macvtap0") -> int:  # fmt: skip
    """Make a guest's macvtap, as libvirt does; return its index."""
    more = ("address", vif.address, "type", "macvtap", "mode", mode)
    namespace.ip("link", "add", "link", on, "name", name, *more)
    namespace.ip("link", "set", name, "up")
    return int(namespace.ip_json("link", "show", name)[0]["ifindex"])


def claims(
    namespace: NetworkNamespace, device: str = "eth1", *, lock_path: Path | None = None
) -> list[str]:
    """Return the names of ours on a device, and the claims on it.

    ``lock_path`` is that of a command or of a user, who have a configuration of their own.
    """
    with namespace.entered():
        return kept_of(device, lock_path)
