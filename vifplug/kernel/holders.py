# SPDX-License-Identifier: Apache-2.0
"""Who holds a macvtap: a guest that runs has its /dev/tapN open, N being the device's index.

Other users' descriptors can only be seen with CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH, other
process namespaces' only from the first one. Who can't see must not conclude that nobody holds it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FIRST_PID_NAMESPACE = 0xEFFFFFFC
_PROC = Path("/proc")
# In another mount namespace the path may begin otherwise.
_TAP = re.compile(r"(?:.*/)?tap([0-9]+)(?: \(deleted\))?")


@dataclass(frozen=True)
class Holders:
    """The indexes of the macvtaps that processes have open; ``whole``: all that are."""

    indexes: frozenset[int]
    whole: bool

    def of(self, index: int) -> bool | None:
        """Whether the macvtap of this index is held; None where that can't be seen."""
        return True if index in self.indexes else False if self.whole else None


def look() -> Holders:
    """Look through the descriptors of all processes."""
    whole = (_PROC / "self/ns/pid").stat().st_ino == _FIRST_PID_NAMESPACE
    found: set[int] = set()
    for process in _PROC.iterdir():
        if process.name.isdecimal():
            try:
                found.update(_held_by(process / "fd"))
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has ended
            except OSError:
                # Some machines show nobody their first process. It runs no guests.
                whole = whole and process.name == "1"
    return Holders(frozenset(found), whole)


def _held_by(descriptors: Path) -> Iterator[int]:
    for descriptor in descriptors.iterdir():
        try:
            target = str(descriptor.readlink())
        except FileNotFoundError:
            continue
        if tap := _TAP.fullmatch(target):
            yield int(tap[1])
