# SPDX-License-Identifier: Apache-2.0
"""Makes one step of the real privileged daemon go wrong, in one of the ways that steps go wrong."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence

import pytest

from vifplug.apply import means
from vifplug.kernel.messages.links import GETLINK
from vifplug.kernel.netlink import KernelError, Netlink, Request
from vifplug.kernel.perform import Kernel, perform
from vifplug.operations import Operation, SwitchOperation
from vifplug.switch import Switch

__all__ = [
    "AFTER",
    "BEFORE",
    "FAULTS",
    "HALF",
    "KILLS",
    "LATE",
    "ORPHANED",
    "REFUSED",
    "UNDONE",
    "Saboteur",
]

REFUSED, HALF, UNDONE, LATE = "refused", "done but failed", "not done", "too late"
BEFORE, AFTER, ORPHANED = "daemon killed before", "daemon killed after", "caller killed"
FAULTS = (REFUSED, HALF, UNDONE, LATE)
KILLS = (BEFORE, AFTER)
_ALL = (*FAULTS, *KILLS, ORPHANED)

_NONE = -1
_GETS = (GETLINK, 22, 26)


class Saboteur:
    """Makes one of the daemon's steps go wrong; shared with the daemon, which is forked later.

    A step is an operation of a plan, or with ``messages`` each change that is asked of the kernel.
    """

    def __init__(
        self,
        patching: pytest.MonkeyPatch,
        *,
        messages: bool = False,
        switch: type[Switch] | None = None,
    ) -> None:
        """``switch`` is the class of the plugin's, if it has one; its steps are the saboteur's too.

        The saboteur is in every daemon that is forked until the patching is undone.
        """
        shared = multiprocessing.get_context("fork")
        self._at = shared.Value("i", _NONE)
        self._fault = shared.Value("i", 0)
        self._count = shared.Value("i", 0)
        self._hits = shared.Value("i", 0)
        self._lateness = shared.Value("d", 0.0)
        self.messages = messages
        self._perform, self._exchange = perform, Netlink.exchange
        self._lost = False
        if messages:
            patching.setattr(Netlink, "exchange", lambda link, asked: self.exchange(link, asked))
        else:
            patching.setattr(means, "perform", self.perform)
        if switch:
            self._send, self._confirm = switch.send, switch.confirm
            patching.setattr(switch, "send", lambda one, groups: self.send(one, groups))
            patching.setattr(switch, "confirm", lambda one: self.confirm(one))

    def perform(self, operation: Operation, kernel: Kernel) -> None:
        """Stand in for :func:`vifplug.kernel.perform.perform`."""
        self._step(lambda: self._perform(operation, kernel), str(operation))

    def send(self, switch: Switch, groups: Sequence[Sequence[SwitchOperation]]) -> None:
        """Stand in for a switch's ``send``: to ask for a transaction is one step."""
        self._lost = True

        def do() -> None:
            self._lost = False
            self._send(switch, groups)

        self._step(do, "asking for a transaction")

    def confirm(self, switch: Switch) -> None:
        """Stand in for a switch's ``confirm``; what was not asked for is not waited for."""
        do = (lambda: None) if self._lost else (lambda: self._confirm(switch))
        self._step(do, "a transaction")

    def exchange(
        self, netlink: Netlink, requests: Sequence[Request]
    ) -> list[tuple[list[bytes], KernelError | None]]:
        """Stand in for :meth:`vifplug.kernel.netlink.Netlink.exchange`."""
        if all(kind in _GETS for kind, _, _ in requests):
            return self._exchange(netlink, requests)
        found: list[list[tuple[list[bytes], KernelError | None]]] = []
        self._step(lambda: found.append(self._exchange(netlink, requests)), "a message")
        return found[0]

    def _step(self, do: Callable[[], None], name: str) -> None:
        position, self._count.value = self._count.value, self._count.value + 1
        if position != self._at.value:
            return do()
        self._hits.value += 1
        match _ALL[self._fault.value]:
            case "not done":
                return None
            case "too late":
                time.sleep(self._lateness.value)
                return do()
            case "caller killed":
                os.kill(os.getppid(), signal.SIGKILL)
                return do()
            case "daemon killed before":
                os.kill(os.getpid(), signal.SIGKILL)
            case "daemon killed after":
                do()
                os.kill(os.getpid(), signal.SIGKILL)
            case "done but failed":
                do()
        raise KernelError(errno.EPERM, f"sabotaged: {name}")

    def arm(self, position: int, fault: str, *, lateness: float = 0.0) -> None:
        """Have the next call's step of this position go wrong; one that is late, by so much."""
        self._lateness.value = lateness
        self._fault.value = _ALL.index(fault)
        self._count.value = self._hits.value = 0
        self._at.value = position

    def rest(self) -> None:
        """Let everything go well from here on, and count steps anew."""
        self._at.value, self._count.value = _NONE, 0

    @property
    def hits(self) -> int:
        """How many steps went wrong since it was armed."""
        return int(self._hits.value)

    @property
    def steps(self) -> int:
        """How many steps there were since it was armed or put to rest."""
        return int(self._count.value)
