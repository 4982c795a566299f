# SPDX-License-Identifier: Apache-2.0
"""A fault at every step of every planning case, in the real privileged daemon on a real kernel.

The cases are those whose steps differ; what each fault must leave is in tests/faults/matrix.py.
Links, addresses, routes, sysctls, qdiscs and alternative names are compared in full.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
from oslo_config.fixture import Config

from tests.faults import matrix
from tests.faults.every_step import (  # noqa: F401 - collected here
    saboteur,
    test_a_caller_killed_at_any_step,
    test_a_daemon_killed_at_any_step,
    test_a_fault_at_any_step,
)
from tests.planning import Case, good, on_a_kernel
from tests.realhost import prepare
from vifplug import GenericVIFDriver
from vifplug.testing import NetworkNamespace
from vifplug_bridge import privileged

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


def steps(case: Case) -> tuple[Any, ...]:
    """Return what a case's plan does, whatever values it sets."""
    return tuple((type(one), getattr(one, "attribute", "")) for one in case.plan().operations)


def distinct() -> list[Case]:
    """Return a case for each list of steps; in the other, slower kernel one for all of them."""
    found = {steps(case): case for case in reversed(good("bridge"))}
    seen: set[Any] = set()
    for known in sorted(found, key=len, reverse=True):
        if found[known].vif.network.should_create_vlan:
            if set(known) <= seen:
                del found[known]
            seen |= set(known)
    return [case for known, case in found.items() if known]


def _prepare(
    case: Case, conf: Config, host: NetworkNamespace, stack: ExitStack
) -> GenericVIFDriver:
    return prepare(case, conf, host)


@pytest.fixture(params=on_a_kernel(distinct()))
def subject(request: pytest.FixtureRequest, conf: Config) -> matrix.Subject:
    case: Case = request.param
    conf.config(group="vifplug_bridge", remove_unused=True)
    return matrix.Subject(case.vif, partial(_prepare, case, conf), privileged.context)
