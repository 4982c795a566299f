# SPDX-License-Identifier: Apache-2.0
"""What is asked for of each VIF, what was done for it so far, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from vifplug.errors import PlugFailed, VifplugError
from vifplug.model.mark import Owner
from vifplug.operations.links import MakeLink, RemoveLink
from vifplug.operations.operation import Operation
from vifplug.parts import Part
from vifplug_ovs.order import Order


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What a plug or unplug did: whether it changed the host, and the VIF's own devices."""

    changed: bool
    devices: tuple[str, ...]


Outcome = Applied | VifplugError


@dataclass(kw_only=True)
class Job:
    """One VIF to be plugged, what was done for it so far, last what can be taken back."""

    owner: Owner
    parts: Sequence[Part]
    done: list[Operation] = field(default_factory=list)
    standing: str = "the first step"
    outcome: Outcome | None = None

    def at_database(self, order: Order) -> None:
        """Note that the database's changes are the step at which it stands."""
        if order.inside:
            self.standing = str(order.inside[0])

    def forget_database(self) -> None:
        """Leave out what was not done in the database after all."""
        self.done = [operation for operation in self.done if not operation.in_database]

    def fail(self, error: BaseException, take_back: Callable[[Operation], None]) -> None:
        """Take back what was done, last first; the error is what becomes of the VIF."""
        left = undo(self.done, take_back)
        self.done = []
        if isinstance(error, VifplugError) and not left:
            self.outcome = error.about(self.owner.vif_id)
        else:
            self.outcome = PlugFailed(self.owner.vif_id, self.standing, words(error), left)


@dataclass(frozen=True, kw_only=True)
class Departure:
    """One VIF to be unplugged; of its ``interface_id`` nothing may be known but what marks say."""

    vif_id: str
    interface_id: str | None = None


def undo(done: Sequence[Operation], take_back: Callable[[Operation], None]) -> list[str]:
    """Take back what was done, last first; return what could not be."""
    left = []
    for operation in reversed(done):
        back = operation.undo()
        if back is None:
            continue
        try:
            take_back(back)
        except Exception as error:
            # The device that the plan itself made may be gone, or never have come.
            made = any(isinstance(o, MakeLink) and o.device == back.device for o in done)
            if not (made and not isinstance(back, RemoveLink)):
                left.append(f"{back}: {words(error)}")
    return left


def words(error: BaseException) -> str:
    """Return an error in a few words."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
