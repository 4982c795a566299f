# SPDX-License-Identifier: Apache-2.0
"""Several processes that use vifplug at once, and daemons that are killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from vifplug import GenericVIFDriver, VifplugError
from vifplug.plugin import VIFPlugin
from vifplug.privileged import Context
from vifplug.testing.configured import fork

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


def kill_when_asked(context: Context, pid: int) -> None:
    """Kill a plugin's daemon, which hangs, as soon as a call waits for its reply."""
    channel = context.channel
    assert channel

    def wait_and_kill() -> None:
        while not channel.outstanding_msgs:
            time.sleep(0.005)
        os.kill(pid, signal.SIGKILL)

    threading.Thread(target=wait_and_kill, daemon=True).start()


def killed_at(
    monkeypatch: pytest.MonkeyPatch,
    plugin: type[VIFPlugin],
    target: Any,
    name: str,
    *,
    after: bool,
) -> None:
    """Have a plugin's daemon killed before or after it calls a function, and start it with that."""
    original = getattr(target, name)

    def fatal(*args: Any, **more: Any) -> Any:
        if after:
            original(*args, **more)
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(target, name, fatal)
    fork(plugin)
    monkeypatch.undo()
