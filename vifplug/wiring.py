# SPDX-License-Identifier: Apache-2.0
"""Wiring: everything that one VIF needs. A plain value."""

from __future__ import annotations

from dataclasses import dataclass

from vifplug.fields import Text
from vifplug.guest.interface import Interface
from vifplug.parts.part import Part

PROCESS = Text(r"[a-z]{0,16}", "a process' name: at most 16 of a-z")


@dataclass(frozen=True, kw_only=True)
class Wiring:
    """What ``VIFPlugin.wire()`` returns.

    ``parts`` are in building order. ``process`` names how the VIF is connected where its type
    knows several ways, ``why`` says what decided. ``today`` is the process that it would get if it
    were not plugged, where that is another. ``notes`` are things that a person should know, such
    as a wish that could not be met. ``passed_over`` are notes on fields that are not used because
    of other fields; the core adds those that the VIF's type does not use.
    """

    parts: tuple[Part, ...]
    interface: Interface
    process: str = ""
    why: str = ""
    today: str = ""
    notes: tuple[str, ...] = ()
    passed_over: tuple[str, ...] = ()

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices that are, or will be, the VIF's own."""
        return tuple(name for part in self.parts for name in part.devices)
