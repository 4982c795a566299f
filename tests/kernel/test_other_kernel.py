# SPDX-License-Identifier: Apache-2.0
"""The tests that need what the running kernel lacks, each as it ended in another kernel."""

from __future__ import annotations

import pytest

from tests.kernel import ids
from tests.kernel.inside import Inside, run, test_of
from vifplug.testing.faults.points import POINTS, WRONG

IDS = ids.kept()


@pytest.fixture(scope="session")
def inside(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Inside:
    """One run inside, of the tests that this run selected, or of all if those are most."""
    wanted = {test for item in request.session.items if (test := test_of(item))}
    alone = not any(item.name == test_the_list_is_whole.__name__ for item in request.session.items)
    selection = sorted(wanted) if alone and wanted < set(IDS) else ["-m", "kernel"]
    found = run(
        selection, root=request.config.rootpath, folder=tmp_path_factory.mktemp("other-kernel")
    )
    POINTS.update(found.points)
    WRONG.update(found.wrong)
    return found


@pytest.mark.kernel
@pytest.mark.parametrize("test", IDS, ids=IDS)
def test_in_the_other_kernel(test: str, inside: Inside) -> None:
    outcome, text = inside.outcome(test)
    if outcome == "xfailed":
        pytest.xfail(text)
    if outcome != "passed":
        pytest.fail(f"{outcome} in the other kernel\n{text}", pytrace=False)


def test_the_list_is_whole(request: pytest.FixtureRequest) -> None:
    found: list[str] | None
    if any("inside" in getattr(item, "fixturenames", ()) for item in request.session.items):
        inside = request.getfixturevalue("inside")
        found = inside.collected
        assert found is not None, f"nothing was collected inside\n{inside.ended}"
    else:
        found = ids.collected()
    missing, extra = sorted(set(found) - set(IDS)), sorted(set(IDS) - set(found))
    assert (missing, extra) == ([], []), (
        f"tests/kernel/ids.txt lacks {missing} and has {extra} that are no tests with the marker; "
        "python -m tests.kernel.ids writes it anew"
    )
    assert sorted(IDS) == IDS, "python -m tests.kernel.ids sorts tests/kernel/ids.txt"
