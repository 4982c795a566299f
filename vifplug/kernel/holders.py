# SPDX-License-Identifier: Apache-2.0
"""Who holds a tap or macvtap.

A guest that runs has its macvtap open as /dev/tapN, N being the device's index. It has a tap open
as /dev/net/tun, and the descriptor's fdinfo names the tap.

Other users' descriptors can only be seen with CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH, other
process namespaces' only from the first one. Who can't see must not conclude that nobody holds it.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from vifplug.kernel.namespace import network_namespace

_FIRST_PID_NAMESPACE = 0xEFFFFFFC
_PROC = Path("/proc")
# In another mount namespace the path may begin otherwise.
_TAP = re.compile(r"(?:.*/)?tap([0-9]+)(?: \(deleted\))?")
_TUN = re.compile(r"^iff:\t(\S+)$", re.MULTILINE)


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


def held_taps() -> frozenset[str]:
    """Return the names of taps that processes have open, as far as the caller may look.

    A tap that is down shows no carrier although it is held.
    """
    here, found = network_namespace(), set[str]()
    for process in _PROC.iterdir():
        if process.name.isdecimal():
            try:
                if (process / "ns/net").stat().st_ino == here:
                    for descriptor in (process / "fd").iterdir():
                        if str(descriptor.readlink()).endswith("/net/tun"):
                            info = process / "fdinfo" / descriptor.name
                            found.update(_TUN.findall(info.read_text()))
            except OSError:
                continue
    return frozenset(found)


def name_of_holder(device: str) -> str:
    """Return which process has a tap or macvtap open: its guest's name, if any, and its pid.

    Empty where no process that the caller may look at has it open. A process in this network
    namespace goes first, because another namespace may have a device of the same name.
    """
    here, elsewhere = network_namespace(), ""
    try:
        index = socket.if_nametoindex(device)
    except OSError:
        index = 0
    for process in _PROC.iterdir():
        if process.name.isdecimal():
            try:
                if any(_is_open(each, device, index) for each in (process / "fd").iterdir()):
                    found = f"{_command(process)} (pid {process.name})"
                    if (process / "ns/net").stat().st_ino == here:
                        return found
                    elsewhere = elsewhere or found
            except OSError:
                continue
    return elsewhere


def _is_open(descriptor: Path, device: str, index: int) -> bool:
    """Whether a process' descriptor is that of a tap, or of the macvtap of an index."""
    try:
        target = str(descriptor.readlink())
        if target.endswith("/net/tun"):
            info = descriptor.parent.with_name("fdinfo") / descriptor.name
            return f"iff:\t{device}\n" in info.read_text()
    except FileNotFoundError:
        return False  # the process has closed it meanwhile
    tap = _TAP.fullmatch(target)
    return tap is not None and int(tap[1]) == index


def _command(process: Path) -> str:
    """Return the name of the guest that a process runs, or that of its program."""
    words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
    for option, value in pairwise(words):
        if option == "-name":
            return value.removeprefix("guest=").partition(",")[0]
    return (process / "comm").read_text().strip()


def _held_by(descriptors: Path) -> Iterator[int]:
    for descriptor in descriptors.iterdir():
        try:
            target = str(descriptor.readlink())
        except FileNotFoundError:
            continue
        if tap := _TAP.fullmatch(target):
            yield int(tap[1])
