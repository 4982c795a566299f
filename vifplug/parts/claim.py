# SPDX-License-Identifier: Apache-2.0
"""A VIF's use of a shared device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from vifplug.fields import DEVICE, Choice, declared
from vifplug.model.host import Host
from vifplug.model.mark import Owner
from vifplug.operations.claims import AddClaim, RemoveClaim
from vifplug.operations.operation import Operation
from vifplug.parts.part import Part
from vifplug.parts.roles import BRIDGE, HOST_DEVICE, Role

BRIDGED = ("bridge", "vlan")
"""Roles of claims on a device whose frames reach the VIF through a bridge or a VLAN device.

Another bridge may have such a device as its port: no VIF takes the device's frames for itself.
"""


def claimed_mtu(vif_id: str, device: str, host: Host) -> int | None:
    """Return the MTU of a device that a VIF has a claim on: a VIF without an MTU keeps it.

    None: the VIF has no claim there, or the device is gone.
    """
    link = host.link(device)
    if link is None or all(on != device for on, _ in host.claims_of(vif_id)):
        return None
    return link.mtu


@dataclass(frozen=True, kw_only=True)
class Claim(Part):
    """This VIF's use of a shared device that has no port of the VIF's own to show for it."""

    kind: ClassVar[str] = "claim"
    claim_roles: ClassVar[tuple[str, ...]] = BRIDGED
    joining_roles: ClassVar[tuple[str, ...]] = ("bridge",)

    on: str = declared(DEVICE)
    role: str = declared(Choice(*BRIDGED), default="bridge")

    @property
    def title(self) -> str:
        return self.on

    @property
    def detail(self) -> str:
        return "used by this VIF"

    @property
    def shared(self) -> tuple[str, ...]:
        return (self.on,)

    @property
    def places(self) -> tuple[str, ...]:
        return (self.on,) if self.role == "bridge" else ()

    @property
    def roles_claimed(self) -> tuple[str, ...]:
        return (self.role,)

    def roles(self, owner: Owner, host: Host) -> Mapping[str, Role]:
        return {self.on: BRIDGE if self.role == "bridge" else HOST_DEVICE}

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        claim = owner.claim(self.role)
        held = [on for on, found in host.claims_of(owner.vif_id) if str(found) == claim]
        changes: list[Operation] = [
            RemoveClaim(device=device, claim=claim) for device in held if device != self.on
        ]
        if self.on not in held:
            changes.append(AddClaim(device=self.on, claim=claim))
        return tuple(changes)

    def step(self, operations: tuple[Operation, ...], host: Host) -> tuple[str, str]:
        left = [o.device for o in operations if isinstance(o, RemoveClaim)]
        if left:
            return "move", f"from {left[0]}"
        return ("make" if operations else "keep"), self.detail
