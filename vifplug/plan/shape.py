# SPDX-License-Identifier: Apache-2.0
"""What holds for the parts of one VIF together, whatever the host has. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from vifplug.parts.part import Part


def require_used(parts: Iterable[Part]) -> None:
    """Raise ValueError where a VIF has a shared device that it neither claims nor joins.

    Such a device would stay for ever: no unplug finds that the VIF has used it.
    """
    every = tuple(parts)
    used = {name for part in every for name in part.uses}
    for part in every:
        for name in part.needs_user:
            if name not in used:
                raise ValueError(
                    f"part {part.kind}: {name} has no claim or port of this VIF; "
                    "allowed: a shared device that the VIF claims or joins"
                )
