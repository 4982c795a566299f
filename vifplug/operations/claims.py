# SPDX-License-Identifier: Apache-2.0
"""Changes of the claims on a shared device: which VIFs use it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from vifplug.model.host import Host
from vifplug.model.mark import Mark
from vifplug.operations.operation import Operation


@dataclass(frozen=True, kw_only=True)
class ClaimOperation(Operation):
    """One change of a device's claims; ``claim`` is the text of a claim."""

    device: str
    claim: str

    @property
    def mark(self) -> Mark:
        """The claim as a value. Raises ValueError for a text that is no claim."""
        found = Mark.parse(self.claim)
        if found is None or not found.claim:
            raise ValueError(f"{self.claim!r} is no claim")
        return found


@dataclass(frozen=True, kw_only=True)
class AddClaim(ClaimOperation):
    """Note that a VIF uses a device."""

    def __str__(self) -> str:
        return f"claim {self.device}"

    def foresee(self, host: Host) -> None:
        host.planned_links.put_claim(self.device, self.mark, True)

    def undo(self) -> Operation:
        return RemoveClaim(device=self.device, claim=self.claim)


@dataclass(frozen=True, kw_only=True)
class RemoveClaim(ClaimOperation):
    """Note that a VIF uses a device no more. A claim that is gone is removed already."""

    def __str__(self) -> str:
        return f"unclaim {self.device}"

    def foresee(self, host: Host) -> None:
        host.planned_links.put_claim(self.device, self.mark, False)

    def undo(self) -> Operation:
        return AddClaim(device=self.device, claim=self.claim)
