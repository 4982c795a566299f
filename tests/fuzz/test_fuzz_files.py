# SPDX-License-Identifier: Apache-2.0
"""Hostile VIFs, as anybody may write them into a file."""

from __future__ import annotations

from tests.fuzz.scenario import FILE
from tests.fuzz.soundness import require_nothing_found


def test_vifs_change_nothing_of_others() -> None:
    require_nothing_found(FILE, "", count=300)
