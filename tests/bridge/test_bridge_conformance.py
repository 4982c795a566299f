# SPDX-License-Identifier: Apache-2.0
"""vifplug_bridge passes the suite for every plugin: its planning cases, and what goes wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

from tests.planning import kernel_marks
from vifplug.testing.cases import Case, good
from vifplug.testing.conformance import PluginTests


class TestBridge(PluginTests):
    vif_type = "bridge"
    options: ClassVar[dict[str, Any]] = {"remove_unused": True}
    drifts: ClassVar[dict[str, Any]] = {
        "bridge down": lambda at, vif: at.ip("link", "set", vif.network.bridge, "down"),
    }

    def marks(self, case: Case) -> Sequence[pytest.MarkDecorator]:
        return kernel_marks(case)

    def chosen_cases(self) -> list[Case]:
        """Return one without an uplink: a device that a test deletes has no addresses of a host."""
        return [case for case in self.real_cases() if case.name == "tap-made-beforehand"]

    def fault_cases(self) -> list[Case]:
        """Return a case for each list of steps; in the other, slower kernel one for all of them."""
        found = {case.steps: case for case in reversed(good(self.all_cases()))}
        seen: set[Any] = set()
        for known in sorted(found, key=len, reverse=True):
            if found[known].vif.network.should_create_vlan:
                if set(known) <= seen:
                    del found[known]
                seen |= set(known)
        return [case for known, case in found.items() if known and self.is_real(case)]


class TestTap(PluginTests):
    vif_type = "tap"
