# SPDX-License-Identifier: Apache-2.0
"""The direct family's own operations, beside the core's. ``vifplug_vepa.perform`` performs them."""

from __future__ import annotations

from dataclasses import dataclass

from vifplug.model.link import Link
from vifplug.operations import LinkOperation


@dataclass(frozen=True, kw_only=True)
class RemoveLeaked(LinkOperation):
    """Remove a macvtap that a guest left behind and that no process holds. It has no undo.

    The macvtap must lie on ``lower`` and have this ``address``. A guest that starts meanwhile would
    not get the address.
    """

    lower: str
    address: str

    @property
    def removed(self) -> tuple[str, ...]:
        return (self.device,)

    def __str__(self) -> str:
        return f"remove {self.device}, which no guest holds"

    def on(self, link: Link | None) -> None:
        return None

    def undo(self) -> None:
        return None
