# SPDX-License-Identifier: Apache-2.0
"""What became of a VIF, and how operations are undone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vifplug.errors import VifplugError
from vifplug.operations.links import MakeLink, RemoveLink
from vifplug.operations.operation import LinkOperation, Operation


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What a plug or unplug did: whether it changed the host, and the VIF's own devices."""

    changed: bool
    devices: tuple[str, ...]


Outcome = Applied | VifplugError


def undo(done: Sequence[Operation], take_back: Callable[[Operation], None]) -> list[str]:
    """Undo operations, the newest first; return what could not be undone."""
    left = []
    for operation in reversed(done):
        back = operation.undo()
        if back is None:
            continue
        try:
            take_back(back)
        except Exception as error:
            if not _gone_with_its_device(back, done):
                left.append(f"{back}: {words(error)}")
    return left


def _gone_with_its_device(back: Operation, done: Sequence[Operation]) -> bool:
    """Whether an undo failed on a device that the same plan made: it may never have come."""
    if isinstance(back, RemoveLink) or not isinstance(back, LinkOperation):
        return False
    return any(isinstance(each, MakeLink) and each.device == back.device for each in done)


def words(error: BaseException) -> str:
    """Return an error in a few words."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
