# SPDX-License-Identifier: Apache-2.0
"""Plug and unplug of one VIF time and again in one process: what it takes must stay the same."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.daemons import Usage
from tests.soak.hosts import vif
from vifplug import GenericVIFDriver
from vifplug.plugin import VIFPlugin
from vifplug.testing.configured import context_of

GROWN = 8 << 10
"""KiB that a process may grow after the first tenth, as Python's allocator does by itself."""

_TENTHS = 10


@dataclass(frozen=True)
class Tenth:
    """A tenth of a run: the latencies of its calls in ms, and what each process took at its end.

    ``processor`` is the ms of processor time that a process took for a cycle. Other programs slow
    the calls down, but not that.
    """

    plugs: Sequence[float]
    unplugs: Sequence[float]
    usage: dict[str, Usage]
    processor: dict[str, float]


@dataclass(frozen=True)
class Run:
    """All cycles of one way of connecting a VIF."""

    way: str
    cycles: int
    tenths: Sequence[Tenth]

    @property
    def leaks(self) -> list[str]:
        """What a process holds more of at the end than after the first tenth."""
        first, last = self.tenths[0].usage, self.tenths[-1].usage
        found = []
        for name, before in first.items():
            now = last[name]
            # oslo.privsep starts its threads when they are needed, one a processor.
            threads = max(before.threads, 1 + (os.cpu_count() or 1))
            if now.files > before.files or now.threads > threads:
                found.append(f"{self.way}: {name}: {before}, then {now}")
            if now.memory > before.memory + GROWN:
                found.append(f"{self.way}: {name}: {before.memory} KiB, then {now.memory} KiB")
        return found

    def __str__(self) -> str:
        """Return a table: the first tenth and the last one."""
        lines = [f"{self.cycles:,} cycles of {self.way}", f"{'':24}{'first tenth':>14}{'last':>14}"]
        ends = (self.tenths[0], self.tenths[-1])
        for word, of in (("plug", [t.plugs for t in ends]), ("unplug", [t.unplugs for t in ends])):
            lines.append(_row(f"{word} median, ms", [f"{statistics.median(x):.2f}" for x in of]))
            lines.append(_row(f"{word} 99%, ms", [f"{_percentile(x):.2f}" for x in of]))
        for name in ends[0].usage:
            lines.append(_row(f"{name} ms a cycle", [f"{e.processor[name]:.2f}" for e in ends]))
            for word, field in (("KiB", "memory"), ("descriptors", "files"),
                                ("threads", "threads")):  # fmt: skip
                values = [f"{getattr(end.usage[name], field):,}" for end in ends]
                lines.append(_row(f"{name} {word}", values))
        return "\n".join(lines)


def _row(title: str, values: Sequence[str]) -> str:
    return f"{title:24}" + "".join(f"{value:>14}" for value in values)


def _percentile(values: Sequence[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]


def _processor(pid: int) -> float:
    """Return the ms of processor time that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return 1000 * (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(driver: GenericVIFDriver, plugin: type[VIFPlugin], way: str, cycles: int) -> Run:
    """Plug and unplug a VIF so often. ``plugin`` is that of its vif_type: its daemon is watched."""
    asked, tenths = vif(0, way), []
    driver.plug(None, asked)  # what is loaded or connected once is no part of a cycle
    driver.unplug(None, asked)
    channel = context_of(plugin).channel
    assert channel
    pids = {"caller": os.getpid(), "daemon": int(channel.pid)}
    for _ in range(_TENTHS):
        plugs, unplugs = [], []
        before = {name: _processor(pid) for name, pid in pids.items()}
        for _ in range(cycles // _TENTHS):
            start = time.perf_counter()
            assert driver.plug(None, asked).changed
            middle = time.perf_counter()
            assert driver.unplug(None, asked).changed
            plugs.append(1000 * (middle - start))
            unplugs.append(1000 * (time.perf_counter() - middle))
        took = {name: (_processor(pid) - before[name]) / len(plugs) for name, pid in pids.items()}
        usage = {name: Usage.of(pid) for name, pid in pids.items()}
        tenths.append(Tenth(plugs, unplugs, usage, took))
    return Run(way, cycles, tenths)
