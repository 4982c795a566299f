# SPDX-License-Identifier: Apache-2.0
"""What claims on one Open vSwitch bridge cost, as their number grows. Run it with our Python.

Each row is a plug and an unplug of one automatic VIF while others have claims there: the time
that the caller waits, the processor time of all who take part, and the octets that a program
receives which watches the Bridge table, as vswitchd and agents do. Medians of 20; needs root.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from measuring import RUNS, timed
from oslo_config import cfg
from oslo_privsep.priv_context import Method

from vifplug import VIF, GenericVIFDriver, VifplugError
from vifplug.testing import NetworkNamespace, OpenVSwitch
from vifplug.testing.openvswitch import SERVER, SWITCH
from vifplug_ovs import opts, privileged

THERE = (0, 100, 1000)
BATCH = 100
QUIET = 0.15
"""Seconds without an octet, after which a watcher has received all that a plug sent it."""

_WATCHED = {"columns": ["name", "external_ids", "ports"]}


class Watcher:
    """A program that watches the Bridge table by one of OVSDB's methods."""

    def __init__(self, ovs: OpenVSwitch, method: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(ovs.socket))
        self._socket.settimeout(QUIET)
        params = ["Open_vSwitch", "watch", {"Bridge": [_WATCHED]}]
        request = {"id": 0, "method": method, "params": params}
        self._socket.sendall(json.dumps(request).encode())
        self.at_first = self.received()

    def received(self) -> int:
        """Return how many octets came since the last look."""
        count = 0
        while True:
            try:
                count += len(self._socket.recv(1 << 20))
            except TimeoutError:
                return count

    def close(self) -> None:
        """End it."""
        self._socket.close()


def vif(number: int) -> VIF:
    """Return the VIF of a number."""
    return VIF.from_dict(
        {
            "id": str(uuid.uuid5(uuid.NAMESPACE_DNS, f"claim{number}")),
            "vif_type": "ovs",
            "address": f"fa:16:3e:00:{number >> 8 & 255:02x}:{number & 255:02x}",
            "network": {"bridge": "br-int", "mtu": 1450},
        }
    )


def used(*processes: int) -> float:
    """Return the seconds that processes have had of a processor."""
    threads = (t for process in processes for t in Path(f"/proc/{process}/task").iterdir())
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


def measured(ovs: OpenVSwitch, driver: GenericVIFDriver, daemon: int) -> dict[str, float]:
    """Return what a plug and an unplug cost with the claims that are there."""
    watchers = {method: Watcher(ovs, method) for method in ("monitor", "monitor_cond")}
    rows: dict[str, list[float]] = {}
    who = {"caller, daemon": (os.getpid(), daemon), "server": (ovs.pid(SERVER),),
           "vswitchd": (ovs.pid(SWITCH),)}  # fmt: skip

    def note(word: str, value: float) -> None:
        rows.setdefault(word, []).append(value)

    def note_all(call: str, work: Callable[[], object]) -> None:
        before = {name: used(*processes) for name, processes in who.items()}
        note(f"{call}, ms", timed(work) * 1e3)
        for method, watcher in watchers.items():
            note(f"{call}, octets by {method}", watcher.received())
        for name, processes in who.items():
            note(f"{call}, CPU ms of {name}", (used(*processes) - before[name]) * 1e3)

    for number in range(RUNS):
        one = vif(100000 + number)
        note_all("plug", lambda one=one: driver.plug(None, one))
        note_all("re-plug", lambda one=one: driver.plug(None, one))
        note_all("unplug", lambda one=one: driver.unplug(None, one))
        driver.plug(None, one)
        note_all("unplug by id", lambda one=one: driver.unplug_ids([one.id]))
    found = {word: statistics.median(values) for word, values in rows.items()}
    for method, watcher in watchers.items():
        found[f"all at first, octets by {method}"] = watcher.at_first
        watcher.close()
    return found


def main() -> None:
    """Print the table."""
    with (
        tempfile.TemporaryDirectory(dir="/dev/shm") as folder,
        NetworkNamespace(enter=True) as namespace,
        OpenVSwitch(namespace) as ovs,
    ):
        ovs.add_bridge("br-int")
        cfg.CONF.register_opts(opts.OPTS, group=opts.GROUP)
        GenericVIFDriver()
        cfg.CONF.set_override("ovsdb_connection", ovs.endpoint, group=opts.GROUP)
        cfg.CONF.set_override("process", "automatic", group=opts.GROUP)
        cfg.CONF.set_override("lock_path", f"{folder}/locks", group="vifplug")
        cfg.CONF.set_override("libvirt_version", "9.0.0", group="vifplug")
        cfg.CONF.set_override("virt_type", "kvm", group="vifplug")
        driver = GenericVIFDriver()
        privileged.context.start(Method.FORK)
        daemon = privileged.context.channel.pid
        columns: list[dict[str, float]] = []
        there = 0
        for wanted in THERE:
            for first in range(there, wanted, BATCH):
                some = [(None, vif(n)) for n in range(first, min(first + BATCH, wanted))]
                for outcome in driver.plug_all(some):
                    if isinstance(outcome, VifplugError):
                        raise outcome
            there = wanted
            time.sleep(0.5)
            columns.append(measured(ovs, driver, daemon))
        driver.close()
    print(f"| with so many claims there | {' | '.join(map(str, THERE))} |")
    print("|---" * (len(THERE) + 1) + "|")
    for word in columns[0]:
        print(f"| {word} | {' | '.join(f'{column[word]:.1f}' for column in columns)} |")


if __name__ == "__main__":
    main()
