# SPDX-License-Identifier: Apache-2.0
"""The tests of a fault at every step, the same for every family.

A test module imports them, and has a fixture ``subject``: what is plugged, on a host that is made
anew for each step. One whose steps are not all the kernel's has a ``saboteur`` of its own besides.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults import matrix
from tests.faults.saboteur import FAULTS, KILLS, Saboteur
from vifplug.apply import means


@pytest.fixture
def saboteur(monkeypatch: pytest.MonkeyPatch) -> Saboteur:
    found = Saboteur()
    monkeypatch.setattr(means, "perform", found.perform)
    return found


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("tried", [matrix.faulty_plugs, matrix.faulty_unplugs])
def test_a_fault_at_any_step(
    tried: Callable[[matrix.Subject, Saboteur, str], int],
    fault: str,
    subject: matrix.Subject,
    saboteur: Saboteur,
) -> None:
    assert tried(subject, saboteur, fault) > 0


@pytest.mark.parametrize("fault", KILLS)
@pytest.mark.parametrize("call", ["plug", "unplug"])
def test_a_daemon_killed_at_any_step(
    call: str, fault: str, subject: matrix.Subject, saboteur: Saboteur
) -> None:
    assert matrix.killed_daemons(subject, saboteur, fault, call) > 0


def test_a_caller_killed_at_any_step(subject: matrix.Subject, saboteur: Saboteur) -> None:
    assert matrix.killed_callers(subject, saboteur) > 0
