# SPDX-License-Identifier: Apache-2.0
"""Several test processes at once (pytest-xdist): what each gets, and what it tells of its tests.

Each test has a namespace, daemons, locks and indexes of its own, so any two may run at once. Only
what the tests of a file share (a libvirtd, a Nova, another kernel) keeps these in one process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

NOVA = "tests/nova/"
"""A folder whose files share what takes long to make: it goes to one process as a whole."""

LONGEST = ("tests/kernel/test_other_kernel.py", NOVA, "tests/stacks/test_stacks.py")
"""What takes longest, and begins first."""

SHARE_NOTHING = ("_conformance.py", "_faults.py", "_uplink.py")
"""How the files' names end whose tests go to whatever process is free; they are long as well."""

TOLD = "vifplug"
"""The key of what a process tells at its end."""


class Scheduling(LoadScopeScheduling):
    """Hand out whole files, in the order of :func:`turn`, and at last tests one by one."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        if file.startswith(NOVA):
            return NOVA
        return nodeid if file.endswith(SHARE_NOTHING) else file


def turn(item: pytest.Item) -> int:
    """Return the place of a test in the order in which tests are handed out."""
    file = item.nodeid.partition("::")[0]
    return 2 if file.endswith(SHARE_NOTHING) else 0 if file.startswith(LONGEST) else 1


def is_worker(config: pytest.Config) -> bool:
    """Tell if this is one of several test processes."""
    return hasattr(config, "workerinput")


def tell(config: pytest.Config, **found: Any) -> None:
    """Leave what is found, as plain data, for the process that started this one."""
    config.workeroutput[TOLD] = found  # type: ignore[attr-defined]


def told(node: WorkerController) -> dict[str, Any]:
    """Return what a process left; nothing if it crashed."""
    found: dict[str, Any] = getattr(node, "workeroutput", {}).get(TOLD, {})
    return found
