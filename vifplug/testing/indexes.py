# SPDX-License-Identifier: Apache-2.0
"""Interface indexes of a test's own: macvtap's /dev/tapN exists once on a machine, N the index."""

from __future__ import annotations

import fcntl
import os
import struct
import time
from pathlib import Path

from vifplug.testing.fixture import PlainFixture

_FIRST, _SIZE, _RANGES = 1000, 60, 200
# Every test of the machine has this file, and a lock on a place of it leaves nothing behind.
_COMMON, _PLACE = "/dev/null", 0x76700000
_LOCK = "hhqqi4x"


class IndexRange(PlainFixture):
    """A range of 60 indexes that no other test of this machine has; ``first`` is where it begins.

    For ``NetworkNamespace(ifindex_from=...)``. The kernel frees it with the test process.
    """

    def _setUp(self) -> None:  # noqa: N802 (fixtures' name)
        descriptor = os.open(_COMMON, os.O_RDWR | os.O_CLOEXEC)
        self.addCleanup(os.close, descriptor)
        for number in range(_RANGES):
            first = _FIRST + number * _SIZE
            if _in_use(first):
                continue
            lock = struct.pack(_LOCK, fcntl.F_WRLCK, os.SEEK_SET, _PLACE + number, 1, 0)
            try:
                fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, lock)
            except BlockingIOError:
                continue
            self.first = first
            return
        raise RuntimeError("no range of interface indexes is free")

    def wait_until_free(self) -> None:
        """Wait until no macvtap has an index of the range; a namespace that ended takes a moment.

        RuntimeError after 10 seconds.
        """
        until = time.monotonic() + 10
        while _in_use(self.first):
            if time.monotonic() > until:
                raise RuntimeError(f"a macvtap with an index from {self.first} on is still there")
            time.sleep(0.01)


def _in_use(first: int) -> bool:
    return any(Path(f"/dev/tap{index}").exists() for index in range(first, first + _SIZE))
