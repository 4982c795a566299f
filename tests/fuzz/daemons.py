# SPDX-License-Identifier: Apache-2.0
"""What the privileged daemons take of the machine: it may not grow with the requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_WARM = 60
"""Requests after which a daemon has loaded all that it needs."""

_MEMORY = 24 << 10
"""kB by which a daemon may be larger than it was then: Python keeps some of what it freed."""


@dataclass(frozen=True)
class _Size:
    descriptors: int
    threads: int
    memory: int

    @classmethod
    def of(cls, pid: int) -> _Size:
        status = Path(f"/proc/{pid}/status").read_text()
        lines = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        return cls(descriptors, int(lines["Threads"]), int(lines["VmRSS"].split()[0]))


class Footprint:
    """The sizes of some daemons, which are forks of this process."""

    def __init__(self, contexts: Sequence[Any]) -> None:
        self._pids = {str(each.pypath): int(each.channel.pid) for each in contexts}
        self._first: dict[str, _Size] = {}

    def grown(self, requests: int) -> list[str]:
        """Return what a daemon has more of than once it was warm, looked at now and then."""
        if requests % _WARM:
            return []
        sizes = {name: _Size.of(pid) for name, pid in self._pids.items()}
        if not self._first:
            self._first = sizes
            return []
        return [
            f"{name} after {requests} requests: {now}, was {then}"
            for name, now in sizes.items()
            if _is_larger(then := self._first[name], now)
        ]


def _is_larger(then: _Size, now: _Size) -> bool:
    # A thread may still wait for the database, and holds a connection.
    more = now.descriptors > then.descriptors + 2 or now.threads > then.threads + 2
    return more or now.memory > then.memory + _MEMORY
