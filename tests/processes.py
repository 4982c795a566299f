# SPDX-License-Identifier: Apache-2.0
"""Several processes that use vifplug at once."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable

from vifplug import GenericVIFDriver, VifplugError

HANGS = 30.0
"""Seconds that no call with a shorter deadline takes, however busy the machine: it would hang."""

Work = Callable[[GenericVIFDriver, int], object]
"""What a process does with a driver of its own and its number."""


def in_processes(count: int, work: Work) -> list[str]:
    """Do the work in processes of their own, all started at once; return what each says."""
    gate, said = multiprocessing.Barrier(count), multiprocessing.Queue()

    def one(number: int) -> None:
        driver = GenericVIFDriver()
        gate.wait()
        try:
            said.put(str(work(driver, number)))
        except VifplugError as error:
            said.put(f"{type(error).__name__}: {error}")
        driver.close()

    running = [multiprocessing.Process(target=one, args=(n,)) for n in range(count)]
    for process in running:
        process.start()
    found = [said.get(timeout=60) for _ in running]
    for process in running:
        process.join(timeout=10)
        assert process.exitcode == 0
    return found
