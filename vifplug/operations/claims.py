# SPDX-License-Identifier: Apache-2.0
"""Changes of the claims on a shared device, or on a switch's bridge: which VIFs use it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vifplug.model.host import Host
from vifplug.model.mark import Mark
from vifplug.model.thing import Thing, device
from vifplug.operations.operation import Operation, SwitchOperation


@dataclass(frozen=True, kw_only=True)
class ClaimOperation(Operation):
    """One change of a device's claims; ``claim`` is the text of a claim.

    A ``token`` leads to the claims on a bridge of a switch, which ``device`` names. A plugin's
    subclass then notes on its own snapshot what the change will have done. Without a token, one of
    the device's names leads to its claims.
    """

    device: str
    claim: str
    token: str = ""

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

    def things(self, host: Host) -> tuple[Thing, ...]:
        return (device(self.device, host),)

    def foresee(self, host: Host) -> None:
        host.planned_links.put_claim(self.device, self.mark, True)

    def undo(self) -> Operation:
        return RemoveClaim(device=self.device, claim=self.claim, token=self.token)


@dataclass(frozen=True, kw_only=True)
class RemoveClaim(ClaimOperation):
    """Note that a VIF uses a device no more. A claim that is gone is removed already."""

    def __str__(self) -> str:
        return f"unclaim {self.device}"

    def things(self, host: Host) -> tuple[Thing, ...]:
        return ()  # a claim is its VIF's own, whatever it is on

    def foresee(self, host: Host) -> None:
        host.planned_links.put_claim(self.device, self.mark, False)

    def undo(self) -> Operation:
        return AddClaim(device=self.device, claim=self.claim, token=self.token)


def without_claims(
    operations: Iterable[Operation],
) -> tuple[tuple[SwitchOperation, ...], tuple[RemoveClaim, ...]]:
    """Split what takes a VIF out of a switch: the switch's own changes, and the claims' removal.

    The claims go last. Until then, they tell where the VIF was.
    """
    every = tuple(operations)
    inside = tuple(each for each in every if isinstance(each, SwitchOperation))
    return inside, tuple(each for each in every if isinstance(each, RemoveClaim))
