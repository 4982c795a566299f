# SPDX-License-Identifier: Apache-2.0
"""Planning: what a VIF needs on a given host, as people and libvirt see it."""

from __future__ import annotations

import pytest

from tests.planning import BRIDGE, OVS, PLUGINS, VEPA
from vifplug.parts import build
from vifplug.plan.compare import plan
from vifplug.testing import validate
from vifplug.testing.cases import Case, good

pytestmark = pytest.mark.unit

ALL = [*BRIDGE, *OVS, *VEPA]
GOOD = good(ALL)


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_a_case_gives_what_its_folder_says(case: Case) -> None:
    assert case.expected(), "the folder says nothing of what comes of it"
    actual = case.actual()
    assert actual == case.expected()
    assert all(len(line) <= 80 for line in actual.get("plan.txt", "").splitlines())


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.name)
def test_the_interface_keeps_to_libvirts_schema(case: Case) -> None:
    validate(case.wiring.interface.to_xml())


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.name)
def test_after_its_own_plan_nothing_is_left_to_do(case: Case) -> None:
    host = case.host.planning()
    assert bool(plan(case.owner, case.wiring, host)) == bool(case.plan())
    assert not plan(case.owner, case.wiring, host).operations


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.name)
def test_parts_survive_the_way_to_the_privileged_side(case: Case) -> None:
    for part in case.wiring.parts:
        assert build(part.to_dict(), PLUGINS.kinds) == part
