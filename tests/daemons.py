# SPDX-License-Identifier: Apache-2.0
"""What holds for a privileged daemon whatever it is asked: its answers, and what it takes.

A test of hostile requests asks by :func:`ask` and compares :class:`Usage` before and after.
"""

from __future__ import annotations

import importlib
import multiprocessing.synchronize
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from vifplug.errors import VifplugError
from vifplug.parts import Part

_FIELDS = {"changed": bool, "devices": tuple, "made": tuple, "removed": tuple, "dropping": tuple}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_LONGEST = 2000
"""Characters of an error: what it tells of a request is cut."""

Reply = dict[str, Any]


def ask(entrypoint: Callable[[Any], Any], request: Any) -> list[Reply]:
    """Call a daemon's entry point; return its replies, which are well formed, one for each VIF.

    Where the request is refused as a whole there are none. Any other error than a VifplugError is
    raised.
    """
    try:
        replies = entrypoint(request)
    except VifplugError as error:
        require_short(str(error))
        return []
    assert isinstance(replies, (list, tuple))
    assert len(replies) == len(request["vifs"])
    for reply in replies:
        require_well_formed(reply)
    return list(replies)


def plan_slowly(
    monkeypatch: pytest.MonkeyPatch,
    kind: type[Part],
    seconds: float,
    begun: multiprocessing.synchronize.Event | None = None,
) -> None:
    """Have each part of a kind take its time in a plan, in daemons that are forked from now on.

    ``begun`` is set when the first one is planned.
    """
    operations = kind.operations

    def slowly(self: Part, *args: Any) -> Any:
        if begun:
            begun.set()
        time.sleep(seconds)
        return operations(self, *args)

    monkeypatch.setattr(kind, "operations", slowly)


def require_well_formed(reply: Any) -> None:
    """Require that a reply is an error of vifplug's, or tells what was done."""
    assert isinstance(reply, dict)
    if "error" not in reply:
        assert {name: type(value) for name, value in reply.items()} == _FIELDS
        return
    assert set(reply) == {"error"}
    error = reply["error"]
    module, _, name = error["class"].partition(":")
    kind = getattr(importlib.import_module(module), name)
    assert issubclass(kind, VifplugError)
    assert str(kind(*error["args"])) == error["text"]
    require_short(error["text"])


def require_short(text: str) -> None:
    """Require that a text is one line that a terminal may get."""
    assert 0 < len(text) <= _LONGEST
    assert not _CONTROL.search(text)


@dataclass(frozen=True)
class Usage:
    """What a daemon takes: threads, open files, and KiB of memory."""

    threads: int
    files: int
    memory: int

    @classmethod
    def of(cls, pid: int) -> Usage:
        """Return what a process takes at the moment."""
        found = status(pid)
        files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        return cls(int(found["Threads"]), files, int(found["VmRSS"].split()[0]))


def status(pid: int) -> dict[str, str]:
    """Return what the kernel tells of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def require_flat(pid: int, before: Usage, *, grown: int = 16 << 10) -> None:
    """Require that a daemon comes to take no more than before, but for KiB that it may have grown.

    oslo.privsep starts its threads when they are needed, one a processor.
    """
    threads = max(before.threads, 1 + (os.cpu_count() or 1))
    until = time.monotonic() + 15
    while True:
        now = Usage.of(pid)
        flat = now.threads <= threads and now.files <= before.files
        if flat and now.memory <= before.memory + grown:
            return
        assert time.monotonic() < until, f"{before}, then {now}"
        time.sleep(0.05)


def ended(pid: int, *, within: float = 15) -> bool:
    """Wait until a process has ended; whether it has."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        try:
            if status(pid)["State"].startswith("Z"):
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.02)
    return False
