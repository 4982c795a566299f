# SPDX-License-Identifier: Apache-2.0
"""The checks of the suite by number, as a vendor's table has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["CHECKS", "NOT_HERE", "PURE", "check", "number_of"]

CHECKS = {
    1: "the vif_type is claimed once, and its modules and options are in order",
    2: "the schema takes the cases; what is unknown or missing is named",
    3: "wire() and doctor() read nothing, write nothing, and are repeatable",
    4: "the parts survive the way to the daemon",
    5: "a plan fits 80 columns, and foresees all that it does",
    6: "libvirt's schema takes the interface; no wish is dropped in silence",
    7: "the reader answers in time, whatever the switch does",
    8: "the planning cases give what their folders say",
    9: "plug, check, list, plug again, unplug: as planned, and nothing is left",
    10: "unplug by id, batches, and several processes at once",
    11: "drift is seen and mended; another program's device is left alone",
    12: "after a reboot, an unplug leaves nothing",
    13: "a switch that is stopped or hangs is an error in time, and leaves nothing",
    14: "a fault at every step of plug and unplug; a killed daemon or caller",
    15: "an ordinary user plans, checks and lists; a forged request is refused",
    16: "a VIF of another plugin is served beside it",
    17: "an option that changes while a VIF is plugged",
    18: "what the guest sends arrives",
}
"""The checks, each by its number."""

PURE = range(1, 9)
"""Those that need neither root nor a daemon."""

NOT_HERE = "not for this plugin: "
"""How the reason starts for which a check is skipped because the plugin has no use for it."""

F = TypeVar("F", bound=Callable[..., Any])


def check(number: int) -> Callable[[F], F]:
    """Note of which check a test is a part."""

    def noted(test: F) -> F:
        test.vifplug_check = number  # type: ignore[attr-defined]
        return test

    return noted


def number_of(test: object) -> int | None:
    """Return the number of the check that a test is a part of, or None."""
    found: int | None = getattr(test, "vifplug_check", None)
    return found
