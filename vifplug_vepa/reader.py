# SPDX-License-Identifier: Apache-2.0
"""Asks lldpad on which devices it has agreed on EVB with the switch (802.1Qbg).

lldpad answers only root: an ordinary user's plan doesn't know; plug's privileged side does.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vifplug.model.host import Host
from vifplug.model.vif import VIF
from vifplug_vepa.snapshot import Edge, Lldpad

_SOCKETS = Path("/proc/thread-self/net/netlink")
_ROUTE = "0"
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
_MOST = 5.0
"""Seconds that lldpad may take to answer."""


def read(
    options: Mapping[str, Any], vifs: Sequence[VIF] | None, host: Host, *, deadline: float
) -> Lldpad:
    """Return what this host's lldpad says; ``deadline`` is absolute CLOCK_MONOTONIC.

    ``vifs`` is ignored: lldpad is asked device by device.
    """
    return lldpad(options["lldpad_pid_file"], deadline)


def lldpad(pid_file: str, deadline: float, *, must: bool = False) -> Lldpad:
    """Return what lldpad says of each device; planning's first question about a device asks it.

    ``must``: an lldpad that we may not ask counts as a missing one.
    """
    return Lldpad(edges=RunningEdges(Path(pid_file), deadline, must))


@dataclass
class RunningEdges(Mapping[str, Edge]):
    """What the lldpad of this network namespace says, asked when a device is first looked up."""

    pid_file: Path
    deadline: float
    must: bool = False
    _known: dict[str, Edge] = field(default_factory=dict)

    def __getitem__(self, device: str) -> Edge:
        if device not in self._known:
            edge = self._missing() or _edge_of(device, self.deadline)
            unknown = edge.evb is None and self.must
            self._known[device] = replace(edge, evb=False) if unknown else edge
        return self._known[device]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def _missing(self) -> Edge | None:
        """Return an edge that says why libvirt would find no lldpad, or None.

        libvirt speaks to the netlink port whose number is in the file.
        """
        try:
            port = self.pid_file.read_text().strip("\0 \n")  # lldpad fills it up with zeros
        except PermissionError:
            return Edge(why="only root may ask lldpad")
        except OSError as error:
            return Edge(evb=False, why=f"no lldpad: {self.pid_file}: {error.strerror}")
        for line in _SOCKETS.read_text().splitlines():
            words = line.split()
            if words[1:3] == [_ROUTE, port]:
                return None
        return Edge(evb=False, why=f"no lldpad: {self.pid_file} names one that has ended")


def _edge_of(device: str, deadline: float) -> Edge:
    """Return what lldptool says of a device."""
    command = ("lldptool", "-t", "-i", device, "-g", "ncb", "-V", "evb")
    wait = max(min(deadline - time.monotonic(), _MOST), 0.05)
    try:
        done = subprocess.run(  # noqa: S603 - the name was checked, and no shell sees it
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=wait,
            check=False, env=_ENVIRONMENT,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Edge(evb=False, why=f"lldpad does not answer ({wait:.1f} s)")
    except OSError as error:
        return Edge(why=f"lldptool: {error.strerror}")
    text = " ".join(f"{done.stdout} {done.stderr}".split())
    if done.returncode:
        if "timed out" in text:
            return Edge(evb=False, why="lldpad does not answer")
        refused = "R0a" in text  # lldpad's answer to a user who is not root
        why = "only root may ask lldpad" if refused else f"lldpad has no EVB on it: {text[:120]}"
        return Edge(evb=None if refused else False, why=why)
    return _parsed(text)


def _parsed(text: str) -> Edge:
    """Return the edge that the output of ``lldptool -V evb`` describes."""
    bridge = next((word for word in text.split() if word.startswith("bridge:")), None)
    if bridge is None:
        return Edge(evb=False, why="no switch has announced EVB on it")
    if "rrctr" not in bridge:
        return Edge(evb=False, why="its switch has no reflective relay on")
    return Edge(evb=True, why="EVB")
