# SPDX-License-Identifier: Apache-2.0
"""Asks lldpad what it has agreed on with the switch (802.1Qbg), as far as we may.

lldpad answers root alone, so an ordinary user's plan doesn't know; plug's privileged side does.
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
from vifplug.query.links import RunningLinks
from vifplug_vepa.snapshot import Edge

_SOCKETS = Path("/proc/thread-self/net/netlink")
_ROUTE = "0"
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
_MOST = 5.0
"""Seconds that lldpad may take to answer."""


def look(
    options: Mapping[str, Any], vifs: Sequence[VIF] | None, host: Host, *, deadline: float
) -> Host:
    """Return the host with what lldpad says, asked device by device; ``vifs`` are no matter.

    ``deadline`` is absolute CLOCK_MONOTONIC. What somebody told us is left as it is.
    """
    of_another = not isinstance(host.links, RunningLinks)
    if of_another or host.edges is not None:
        return host
    return add(host, options["lldpad_pid_file"], deadline)


def add(host: Host, pid_file: str, until: float, *, must: bool = False) -> Host:
    """Return the host with what lldpad says of each device when it is asked for.

    ``must``: if it can't be asked, that is as if there were none.
    """
    return replace(host, edges=RunningEdges(Path(pid_file), until, must))


@dataclass
class RunningEdges(Mapping[str, Edge]):
    """What the lldpad of this network namespace says of devices, each when it is asked for."""

    pid_file: Path
    until: float
    must: bool = False
    _known: dict[str, Edge] = field(default_factory=dict)

    def __getitem__(self, device: str) -> Edge:
        if device not in self._known:
            edge = self._alive() or _said(device, self.until)
            unknown = edge.evb is None and self.must
            self._known[device] = replace(edge, evb=False) if unknown else edge
        return self._known[device]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def _alive(self) -> Edge | None:
        """Return why there is no lldpad that libvirt would find, or None.

        libvirt speaks to the netlink port whose number stands in the file.
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


def _said(device: str, until: float) -> Edge:
    command = ("lldptool", "-t", "-i", device, "-g", "ncb", "-V", "evb")
    wait = max(min(until - time.monotonic(), _MOST), 0.05)
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
        refused = "R0a" in text  # what lldpad answers those who are not root
        why = "only root may ask lldpad" if refused else f"lldpad has no EVB on it: {text[:120]}"
        return Edge(evb=None if refused else False, why=why)
    return _read(text)


def _read(text: str) -> Edge:
    """Return what ``lldptool -V evb`` prints of the device's switch."""
    bridge = next((word for word in text.split() if word.startswith("bridge:")), None)
    if bridge is None:
        return Edge(evb=False, why="no switch has announced EVB on it")
    if "rrctr" not in bridge:
        return Edge(evb=False, why="its switch has no reflective relay on")
    return Edge(evb=True, why="EVB")
