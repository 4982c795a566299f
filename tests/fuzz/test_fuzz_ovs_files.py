# SPDX-License-Identifier: Apache-2.0
"""Hostile VIFs on a host with an Open vSwitch."""

from __future__ import annotations

from tests.fuzz.scenario import FILE
from tests.fuzz.soundness import require_nothing_found


def test_vifs_change_nothing_of_others() -> None:
    require_nothing_found(FILE, "", count=150, with_switch=True)
