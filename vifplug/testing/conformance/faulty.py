# SPDX-License-Identifier: Apache-2.0
"""Check 14: a fault at every step, the same tests as those of vifplug.testing.faults."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from oslo_config.fixture import Config

from vifplug.testing.cases import Case
from vifplug.testing.conformance.checks import check
from vifplug.testing.conformance.given import Given
from vifplug.testing.faults import every_step, matrix
from vifplug.testing.faults.saboteur import FAULTS, KILLS, Saboteur
from vifplug.testing.faults.scene import Subject

__all__ = ["FaultTests"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
class FaultTests(Given):
    """Check 14."""

    @pytest.fixture
    def faulted(self, fault_case: Case, conf: Config) -> Subject:
        """What is plugged, on a host that is made anew for each step."""
        return self.subject(fault_case, conf)

    @check(14)
    @pytest.mark.parametrize("fault", FAULTS)
    @pytest.mark.parametrize("tried", [matrix.faulty_plugs, matrix.faulty_unplugs])
    def test_a_fault_at_any_step(
        self,
        tried: Callable[[Subject, Saboteur, str], int],
        fault: str,
        faulted: Subject,
        saboteur: Saboteur,
    ) -> None:
        every_step.test_a_fault_at_any_step(tried, fault, faulted, saboteur)

    @check(14)
    @pytest.mark.parametrize("fault", KILLS)
    @pytest.mark.parametrize("call", ["plug", "unplug"])
    def test_a_daemon_killed_at_any_step(
        self, call: str, fault: str, faulted: Subject, saboteur: Saboteur
    ) -> None:
        every_step.test_a_daemon_killed_at_any_step(call, fault, faulted, saboteur)

    @check(14)
    def test_a_caller_killed_at_any_step(self, faulted: Subject, saboteur: Saboteur) -> None:
        every_step.test_a_caller_killed_at_any_step(faulted, saboteur)
