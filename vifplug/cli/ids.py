# SPDX-License-Identifier: Apache-2.0
"""VIFs named on the command line: by an id, or by its start where one VIF of this host has it."""

from __future__ import annotations

from collections.abc import Sequence

from vifplug.driver import GenericVIFDriver
from vifplug.errors import NO_VIF, InvalidVIF, shown
from vifplug.fields import UUID

SHORTEST = 4
"""Characters by which a VIF may be named at least."""

_NAMED = 8
"""Candidates that an error names."""

_ALLOWED = f"{UUID.allowed}, or its first {SHORTEST} or more characters, which one VIF has"


def whole(ids: Sequence[str], driver: GenericVIFDriver, timeout: float | None) -> Sequence[str]:
    """Return ids; one that is shortened is completed by what the host has.

    Raises InvalidVIF for a short id that no VIF here has, or several have.
    """
    if all(UUID.pattern.fullmatch(vif_id) for vif_id in ids):
        return ids
    known = [one.id for one in driver.listing(timeout=timeout)[0]]
    return [vif_id if UUID.pattern.fullmatch(vif_id) else the_one(vif_id, known) for vif_id in ids]


def the_one(start: str, known: Sequence[str], *, allowed: str = _ALLOWED) -> str:
    """Return the one id with this start. Raises InvalidVIF where there is none, or several.

    ``allowed`` is the error's.
    """
    found = sorted({vif_id for vif_id in known if vif_id.startswith(start.lower())})
    if len(start) >= SHORTEST and len(found) == 1:
        return found[0]
    words = shown(start)
    if len(start) >= SHORTEST and found:
        more = ", ..." if len(found) > _NAMED else ""
        words += f", the start of {', '.join(found[:_NAMED])}{more}"
    raise InvalidVIF(NO_VIF, "id", words, allowed)
