# SPDX-License-Identifier: Apache-2.0
"""A fault at every step of the planning cases whose devices a namespace can show.

What each fault must leave is in vifplug.testing.faults.matrix. 802.1Qbg's steps are the same ones;
virtual functions' are in test_vepa_functions.py.
"""

from __future__ import annotations

from typing import Any

import pytest
from oslo_config.fixture import Config

from tests.planning import VEPA
from vifplug.testing.cases import Case, good
from vifplug.testing.faults.every_step import (  # noqa: F401 - collected here
    saboteur,
    test_a_caller_killed_at_any_step,
    test_a_daemon_killed_at_any_step,
    test_a_fault_at_any_step,
)
from vifplug.testing.faults.scene import Subject

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")

TAKES_NOTHING_BACK = ("macvtap-leaked",)
"""Cases of which a step can't be undone, which is why it stands last."""


def distinct() -> list[Any]:
    """Return a case for each list of steps, marked for what it needs of the kernel."""
    found: dict[tuple[Any, ...], Case] = {}
    for case in good(VEPA):
        shown = case.vif.vif_type == "macvtap" and not case.host.pci
        # In the slower kernel one case for all.
        shown = shown and ("vlan" not in case.name or case.name == "macvtap-nova-vlan")
        if shown and case.steps and case.name not in TAKES_NOTHING_BACK:
            found.setdefault(case.steps, case)
    vlan = pytest.mark.kernel("8021q")
    return [
        pytest.param(case, id=case.name, marks=[vlan] if "vlan" in case.name else [])
        for case in found.values()
    ]


@pytest.fixture(params=distinct())
def subject(request: pytest.FixtureRequest, conf: Config) -> Subject:
    return Subject.of(request.param, conf)
