# SPDX-License-Identifier: Apache-2.0
"""The kinds of VIF that other programs act on: where each is, and how its guest is attached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vifplug.model.mark import derived_name

ID = "0b6a9d0e-7a3c-4a6e-9d55-3f1f0a3c2b11"
ADDRESS = "fa:16:3e:11:22:33"
TAP, QBR, QVB, QVO = (derived_name(prefix, ID) for prefix in ("tap", "qbr", "qvb", "qvo"))
MACVTAP = "macvtap0"
INSTANCE = {"uuid": "5d1d1c02-0e0a-4a86-a7bd-5f1a9a5a0a01", "name": "web1"}

Settings = Mapping[str, Mapping[str, object]]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A kind of VIF. ``place`` is the bridge or card of its network, ``wrong`` one of another.

    ``devices`` are those of the VIF; ``tap`` is the guest's, ``port`` the one in Open vSwitch.
    ``libvirts``: libvirt makes the guest's device, with any settings.
    """

    name: str
    vif_type: str
    place: str
    wrong: str
    devices: tuple[str, ...]
    port: str = ""
    libvirts: bool = True
    settings: Settings = field(default_factory=dict)

    @property
    def tap(self) -> str:
        """The device of the guest."""
        return self.devices[0]

    @property
    def vif(self) -> dict[str, Any]:
        """The VIF, as a file has it."""
        where = "interface" if self.vif_type == "macvtap" else "bridge"
        return {
            "id": ID,
            "vif_type": self.vif_type,
            "address": ADDRESS,
            "network": {where: self.place},
            "instance": INSTANCE,
        }


def _ovs(process: str, name: str, devices: tuple[str, ...], *, libvirts: bool = True) -> Shape:
    return Shape(
        name=name,
        vif_type="ovs",
        place="br-int",
        wrong="br-wrong",
        devices=devices,
        port=devices[-1],
        libvirts=libvirts,
        settings={"vifplug_ovs": {"process": process}},
    )


BRIDGE = Shape(
    name="bridge",
    vif_type="bridge",
    place="br100",
    wrong="br200",
    devices=(TAP,),
    libvirts=False,
    settings={"vifplug_bridge": {"create_tap": True}},
)
LIBVIRTS = Shape(
    name="bridge, libvirt's tap", vif_type="bridge", place="br100", wrong="br200", devices=(TAP,)
)
MANUAL = _ovs("manual", "ovs manual", (TAP,), libvirts=False)
AUTOMATIC = _ovs("automatic", "ovs automatic", (TAP,))
HYBRID = _ovs("hybrid", "hybrid", (TAP, QBR, QVB, QVO))
DIRECT = Shape(name="macvtap", vif_type="macvtap", place="card0", wrong="card1", devices=(MACVTAP,))
SHAPES = (BRIDGE, LIBVIRTS, MANUAL, AUTOMATIC, HYBRID, DIRECT)
