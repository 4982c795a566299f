# SPDX-License-Identifier: Apache-2.0
"""The answers that callers get: of a plug or an unplug, and of the doctor. Plain values."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from vifplug.errors import VifplugError


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a plug or unplug did for one VIF; ``devices`` are the VIF's own.

    ``made`` and ``removed`` are the names of devices, bridges and ports.
    """

    id: str
    vif_type: str
    process: str | None
    changed: bool
    devices: tuple[str, ...]
    made: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the result as ``-f json`` prints it."""
        names = {each: list(getattr(self, each)) for each in ("devices", "made", "removed")}
        return {**dataclasses.asdict(self), **names, "error": None}


Outcomes = list[Result | VifplugError]
"""What became of each VIF, in the order of the VIFs."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line of ``vifplug doctor``: what was looked at, whether it is well, how to mend it."""

    check: str
    ok: bool
    detail: str
    mend: str = ""
