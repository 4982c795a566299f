# SPDX-License-Identifier: Apache-2.0
"""Switches as the daemon takes them: a small one for a slow one, so that rows come first."""

from __future__ import annotations

import pytest

from vifplug_ovs import privileged
from vifplug_ovs.pace import Pace


class AlwaysSlow(Pace):
    """What counts as slow whatever it shows: its rows come before their devices."""

    def __init__(self) -> None:
        super().__init__(slow=True)

    def missed(self) -> None:
        """Learn nothing of a port that the switch looked for too early."""


def rows_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the daemons that are forked from here on put rows before devices."""
    monkeypatch.setattr(privileged, "pace", AlwaysSlow())
