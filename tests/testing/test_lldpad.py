# SPDX-License-Identifier: Apache-2.0
"""Lldpad, edge_wire and IndexRange: two labs at once, and none that leaves anything."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vifplug.testing import (
    IndexRange,
    Libvirt,
    Lldpad,
    NetworkNamespace,
    edge_wire,
)

LAB = """
import json, sys
from vifplug.testing import *
with (IndexRange() as indexes,
      NetworkNamespace(ifindex_from=indexes.first) as host, NetworkNamespace() as switch):
    edge_wire(host, "ep0", switch, "ep1")
    with (Libvirt(host) as libvirt, Lldpad(switch, "ep1", role="bridge") as bridge,
          Lldpad(host, "ep0", role="station", libvirt=libvirt) as station):
        station.wait_for_evb()
        guest = libvirt.start_guest(sys.argv[1])
        (link,) = host.ip_json("link", "show", "type", "macvtap")
        print(json.dumps({
            "pids": [libvirt.pid, station.pid, bridge.pid, guest.pid],
            "index": link["ifindex"], "first": indexes.first,
            "associated": "mode = assoc" in station.associations(),
        }), flush=True)
        sys.stdin.read()
"""
XML = """<interface type='direct'>
<mac address='fa:16:3e:00:00:01'/><source dev='ep0' mode='vepa'/>
<virtualport type='802.1Qbg'><parameters managerid='11' typeid='1193047' typeidversion='2'
instanceid='09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f'/></virtualport><model type='virtio'/>
</interface>"""


def test_two_labs_at_once_and_killed_they_leave_nothing(tmp_path: Path) -> None:
    mounts = Path("/proc/self/mounts").read_text()
    labs = [
        subprocess.Popen([sys.executable, "-c", LAB, XML], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, env=os.environ | {"TMPDIR": str(tmp_path)})
        for _ in range(2)
    ]  # fmt: skip
    try:
        said = []
        for lab in labs:
            assert lab.stdout
            said.append(json.loads(lab.stdout.readline()))
        ends = [os.pidfd_open(pid) for one in said for pid in one["pids"]]
        assert [one["associated"] for one in said] == [True, True]
        assert said[0]["first"] != said[1]["first"]
        taps = [Path(f"/dev/tap{one['index']}") for one in said]
        assert all(tap.exists() for tap in taps) and taps[0] != taps[1]
    finally:
        for lab in labs:
            lab.send_signal(signal.SIGKILL)
            lab.communicate()
    for end in ends:
        assert select.select([end], [], [], 20)[0], "a daemon lives on"
        os.close(end)
    for tap in taps:
        _wait_until_gone(tap)
    assert Path("/proc/self/mounts").read_text() == mounts


def _wait_until_gone(path: Path) -> None:
    # The kernel takes namespaces away in its own time.
    for _ in range(400):
        if not path.exists():
            return
        select.select([], [], [], 0.05)
    raise AssertionError(f"{path} is still there")


def test_ranges_do_not_meet_and_are_free_again() -> None:
    with IndexRange() as one, IndexRange() as two:
        assert abs(one.first - two.first) >= 60
        first = one.first
    with IndexRange() as again:
        assert again.first <= first


def test_lldpad_says_why_it_did_not_start() -> None:
    with NetworkNamespace() as host, Libvirt(host) as libvirt:
        (libvirt.root / "run/lldpad.pid").mkdir()
        with pytest.raises(RuntimeError, match="lldpad on ep0 is not ready"):
            Lldpad(host, "ep0", role="station", libvirt=libvirt).setUp()


def test_the_switch_hangs_and_goes_on() -> None:
    with NetworkNamespace() as host, NetworkNamespace() as switch:
        edge_wire(host, "ep0", switch, "ep1")
        with Lldpad(switch, "ep1", role="bridge") as bridge:
            for stop, go in ((bridge.pause, True), (bridge.resume, False)):
                stop()
                until = time.monotonic() + 5
                while ("T (stopped)" in Path(f"/proc/{bridge.pid}/status").read_text()) != go:
                    assert time.monotonic() < until
