# SPDX-License-Identifier: Apache-2.0
"""The soak in short: ``make soak`` has the long form."""

from __future__ import annotations

import pytest

from tests.soak.__main__ import a_crowd, long_runs

# oslo.privsep leaves the pipe of a helper open.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_many_cycles_in_one_process_take_no_more_than_the_first() -> None:
    assert long_runs(bridge=120, hybrid=40) == []


def test_a_crowd_gets_explained_errors_only_and_leaves_nothing() -> None:
    assert a_crowd(6, 4.0, "1") == []
