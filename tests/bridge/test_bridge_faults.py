# SPDX-License-Identifier: Apache-2.0
"""A fault at every step of every planning case, in the real privileged daemon on a real kernel.

The cases are those whose steps differ. What each fault must leave is in
vifplug.testing.faults.matrix.
Links, addresses, routes, sysctls, qdiscs and alternative names are compared in full.
"""

from __future__ import annotations

from typing import Any

import pytest
from oslo_config.fixture import Config

from tests.planning import BRIDGE, on_a_kernel
from vifplug.testing.cases import Case, good
from vifplug.testing.faults.every_step import (  # noqa: F401 - collected here
    saboteur,
    test_a_caller_killed_at_any_step,
    test_a_daemon_killed_at_any_step,
    test_a_fault_at_any_step,
)
from vifplug.testing.faults.scene import Subject

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


def distinct() -> list[Case]:
    """Return a case for each list of steps; in the other, slower kernel one for all of them."""
    found = {case.steps: case for case in reversed(good(BRIDGE))}
    seen: set[Any] = set()
    for known in sorted(found, key=len, reverse=True):
        if found[known].vif.network.should_create_vlan:
            if set(known) <= seen:
                del found[known]
            seen |= set(known)
    return [case for known, case in found.items() if known]


@pytest.fixture(params=on_a_kernel(distinct()))
def subject(request: pytest.FixtureRequest, conf: Config) -> Subject:
    conf.config(group="vifplug_bridge", remove_unused=True)
    return Subject.of(request.param, conf)
