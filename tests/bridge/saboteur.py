# SPDX-License-Identifier: Apache-2.0
"""Makes one step of the real privileged daemon go wrong, in one of the ways that steps go wrong."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
from typing import Any

from tests.bridge.planning import GOOD, Case
from vifplug.netlink import Netlink
from vifplug.operations import Operation

FAULTS = ("refused", "done but failed", "not done")
KILLS = ("daemon killed before", "daemon killed after", "caller killed")
NONE = -1


class Saboteur:
    """Makes one of the daemon's steps go wrong; shared with the daemon, which is forked later."""

    def __init__(self) -> None:
        self._at = multiprocessing.Value("i", NONE)
        self._fault = multiprocessing.Value("i", 0)
        self._count = multiprocessing.Value("i", 0)
        self._hits = multiprocessing.Value("i", 0)
        self._perform = Netlink.perform

    def perform(self, netlink: Netlink, operation: Operation) -> None:
        position, self._count.value = self._count.value, self._count.value + 1
        if position != self._at.value:
            return self._perform(netlink, operation)
        self._hits.value += 1
        fault = (*FAULTS, *KILLS)[self._fault.value]
        if fault == "not done":
            return None
        if fault == "caller killed":
            os.kill(os.getppid(), signal.SIGKILL)
            return self._perform(netlink, operation)
        if fault == "daemon killed before":
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "done but failed":
            self._perform(netlink, operation)
        if fault == "daemon killed after":
            self._perform(netlink, operation)
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(errno.EPERM, f"sabotaged: {operation}")

    def arm(self, position: int, fault: str) -> None:
        self._fault.value = (*FAULTS, *KILLS).index(fault)
        self._count.value = self._hits.value = 0
        self._at.value = position

    @property
    def hits(self) -> int:
        return int(self._hits.value)


def distinct() -> list[Case]:
    """Return a case for each list of steps that any case has."""
    found: dict[Any, Case] = {}
    for case in GOOD:
        found.setdefault(tuple(map(repr, case.plan().operations)), case)
    return [case for steps, case in found.items() if steps]
