# SPDX-License-Identifier: Apache-2.0
"""Daemons that always have rows and devices made at once, or never, whatever they see."""

from __future__ import annotations

from collections import defaultdict

import pytest

from vifplug_ovs import privileged
from vifplug_ovs.race import Race


class Always(Race):
    """Races whatever it has seen."""

    def lost(self) -> None:
        """Learn nothing."""


class Never(Race):
    """Makes devices first."""

    def enter(self) -> bool:
        return False


def racing(monkeypatch: pytest.MonkeyPatch, *, always: bool) -> None:
    """Have the daemons that are forked from here on race always, or never."""
    monkeypatch.setattr(privileged, "races", defaultdict(Always if always else Never))
