# SPDX-License-Identifier: Apache-2.0
"""The tests of a fault at every step, the same for every plugin.

A test module imports them, and has a fixture ``subject``: what is plugged, on a host that is made
anew for each step. A plugin with a switch imports no ``saboteur``, but has a fixture of that name
that returns ``Saboteur(monkeypatch, switch=...)``.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from vifplug.testing.faults import matrix
from vifplug.testing.faults.saboteur import FAULTS, KILLS, Saboteur
from vifplug.testing.faults.scene import Subject

__all__ = [
    "saboteur",
    "test_a_caller_killed_at_any_step",
    "test_a_daemon_killed_at_any_step",
    "test_a_fault_at_any_step",
]


@pytest.fixture
def saboteur(monkeypatch: pytest.MonkeyPatch) -> Saboteur:
    """Return a saboteur of the kernel's steps."""
    return Saboteur(monkeypatch)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("tried", [matrix.faulty_plugs, matrix.faulty_unplugs])
def test_a_fault_at_any_step(
    tried: Callable[[Subject, Saboteur, str], int],
    fault: str,
    subject: Subject,
    saboteur: Saboteur,
) -> None:
    """A fault at each step of a plug leaves the host as it was; the next unplug leaves nothing."""
    assert tried(subject, saboteur, fault) > 0


@pytest.mark.parametrize("fault", KILLS)
@pytest.mark.parametrize("call", ["plug", "unplug"])
def test_a_daemon_killed_at_any_step(
    call: str, fault: str, subject: Subject, saboteur: Saboteur
) -> None:
    """A daemon that is killed at each step: the next plug converges, and unplug leaves nothing."""
    assert matrix.killed_daemons(subject, saboteur, fault, call) > 0


def test_a_caller_killed_at_any_step(subject: Subject, saboteur: Saboteur) -> None:
    """A caller that is killed at each step of a plug: the daemon finishes by itself."""
    assert matrix.killed_callers(subject, saboteur) > 0
