# SPDX-License-Identifier: Apache-2.0
"""Hostile parts for the daemon of vifplug_bridge."""

from __future__ import annotations

from tests.fuzz.scenario import PARTS
from tests.fuzz.soundness import require_nothing_found


def test_parts_change_nothing_of_others() -> None:
    require_nothing_found(PARTS, "bridge", count=900)
