# SPDX-License-Identifier: Apache-2.0
"""A fault at every step of the planning cases whose devices a namespace can show.

What each fault must leave is in tests/faults/matrix.py. 802.1Qbg's steps are the same ones; virtual
functions' are in test_vepa_functions.py.
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
from tests.planning import Case, good
from tests.realhost import prepare
from vifplug import GenericVIFDriver
from vifplug.testing import NetworkNamespace
from vifplug_vepa import privileged

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")

TAKES_NOTHING_BACK = ("macvtap-leaked",)
"""Cases of which a step can't be undone, which is why it stands last."""


def steps(case: Case) -> tuple[Any, ...]:
    return tuple((type(one), getattr(one, "attribute", "")) for one in case.plan().operations)


def distinct() -> list[Any]:
    """Return a case for each list of steps, marked for what it needs of the kernel."""
    found: dict[tuple[Any, ...], Case] = {}
    for case in good("vepa"):
        shown = case.vif.vif_type == "macvtap" and not case.host.pci
        # In the slower kernel one case for all.
        shown = shown and ("vlan" not in case.name or case.name == "macvtap-nova-vlan")
        if shown and steps(case) and case.name not in TAKES_NOTHING_BACK:
            found.setdefault(steps(case), case)
    vlan = pytest.mark.kernel("8021q")
    return [
        pytest.param(case, id=case.name, marks=[vlan] if "vlan" in case.name else [])
        for case in found.values()
    ]


def _prepare(
    case: Case, conf: Config, host: NetworkNamespace, stack: ExitStack
) -> GenericVIFDriver:
    return prepare(case, conf, host)


@pytest.fixture(params=distinct())
def subject(request: pytest.FixtureRequest, conf: Config) -> matrix.Subject:
    case: Case = request.param
    return matrix.Subject(case.vif, partial(_prepare, case, conf), privileged.context)
