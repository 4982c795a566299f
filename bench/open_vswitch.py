# SPDX-License-Identifier: Apache-2.0
"""Open vSwitch, beside os-vif and the commands: each side has a namespace and an OVS of its own.

All ends when the port has its ofport. Each call begins when both switches are quiet, since
ovs-vswitchd works on for a while after a plug; but for plugs in a row, each of which begins when
the one before ends. The userspace datapath stands for both: what is measured (links, OVSDB,
ovs-vswitchd's answer) is the same with the kernel's.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from measuring import ROOT, RUNS, Row, peer, timed
from oslo_config import cfg

from vifplug import VIF, GenericVIFDriver
from vifplug.errors import NO_VIF
from vifplug.kernel.claims import ClaimsFolder
from vifplug.kernel.netlink import Netlink
from vifplug.kernel.perform import Kernel, perform
from vifplug.operations.links import MakeLink, SetLink
from vifplug.operations.operation import Operation
from vifplug.testing import NetworkNamespace, OpenVSwitch
from vifplug.testing.openvswitch import SWITCH
from vifplug_ovs import opts
from vifplug_ovs.operations.ports import AddPort
from vifplug_ovs.ovsdb.connection import Connection, first_error
from vifplug_ovs.snapshot import IFACE_ID, VIF_ID, OvsPort

SIZES = (10, 100, 500)
BATCH = 100
BATCHES = 5
FASTER_PLUG, FASTER_BATCH, FASTER_BATCH_UNPLUG, NEAR_FLOOR = 1 / 4, 1 / 10, 1 / 4, 1.4

MADE = {
    "manual": "tuntap add {0}t mode tap\nlink set {0}t mtu 1450 up\n",
    "hybrid": (
        "link add {0}b mtu 1450 type bridge forward_delay 0 ageing_time 0 stp_state 0\n"
        "link set {0}b up\n"
        "link add {0}v mtu 1450 type veth peer name {0}t mtu 1450\n"
        "link set {0}t up\nlink set {0}v up\nlink set {0}v master {0}b\n"
    ),
}
STILL = 4
"""How many hundredths of a second a switch must have used no processor time."""

REMOVED = {"manual": "link del {0}t\n", "hybrid": "link del {0}t\nlink del {0}b\n"}


class Theirs:
    """os-vif in a process of its own, with its Open vSwitch."""

    def __init__(self, process: subprocess.Popen[str], ovs: OpenVSwitch) -> None:
        self._process = process
        self.ovs = ovs

    def __call__(self, call: str, process: str, numbers: range) -> list[float]:
        """Return the seconds that each VIF took."""
        assert self._process.stdin and self._process.stdout
        asked = {"call": call, "process": process, "numbers": list(numbers)}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        seconds: list[float] = json.loads(self._process.stdout.readline())
        return seconds


class Ours:
    """Our driver in the bench's own process, its daemon running."""

    def __init__(self, endpoint: str, folder: str) -> None:
        conf = cfg.CONF  # which the daemon inherits
        conf.register_opts(opts.OPTS, group=opts.GROUP)
        GenericVIFDriver()
        conf.set_override("ovsdb_connection", endpoint, group=opts.GROUP)
        conf.set_override("lock_path", f"{folder}/locks", group="vifplug")
        conf.set_override("libvirt_version", "9.0.0", group="vifplug")
        conf.set_override("virt_type", "kvm", group="vifplug")
        self.driver = GenericVIFDriver()
        self._options = self.driver.registry.plugin("ovs", vif_id=NO_VIF).options

    @staticmethod
    def vif(number: int, process: str) -> VIF:
        """Return the VIF of a number."""
        vif_id = uuid.uuid5(uuid.NAMESPACE_DNS, f"ours{process}{number}")
        return VIF.from_dict(
            {
                "id": str(vif_id),
                "vif_type": "ovs",
                "address": f"fa:16:3e:00:{number >> 8 & 255:02x}:{number & 255:02x}",
                "network": {"bridge": "br-int", "mtu": 1450},
            }
        )

    def plug(self, process: str, numbers: range) -> float:
        """Plug VIFs as a batch; return the seconds that it took."""
        self._options["process"] = process
        vifs = [(None, self.vif(number, process)) for number in numbers]
        found: list[Any] = []
        seconds = timed(lambda: found.extend(self.driver.plug_all(vifs)))
        for one in found:
            if isinstance(one, Exception):
                raise one
        return seconds

    def unplug(self, process: str, numbers: range) -> float:
        """Unplug VIFs as a batch; return the seconds that it took."""
        vifs = [(None, self.vif(number, process)) for number in numbers]
        found: list[Any] = []
        seconds = timed(lambda: found.extend(self.driver.unplug_all(vifs)))
        for one in found:
            if isinstance(one, Exception):
                raise one
        return seconds


class Floor:
    """ip(8) and ovs-vsctl(8), one process each a VIF: no comparing, no marks, no second look."""

    def __init__(self, ovs: OpenVSwitch) -> None:
        self._vsctl = ["ovs-vsctl", f"--db={ovs.endpoint}"]

    def plug(self, process: str, number: int) -> float:
        """Return the seconds for one VIF."""
        name = f"floor{number}"
        vsctl = [*self._vsctl, "add-port", "br-int", f"{name}t"]
        return timed(lambda: (_ip(MADE[process].format(name)), subprocess.run(vsctl, check=True)))

    def unplug(self, process: str, number: int) -> float:
        """Return the seconds for one VIF."""
        name = f"floor{number}"
        vsctl = [*self._vsctl, "del-port", "br-int", f"{name}t"]
        return timed(
            lambda: (subprocess.run(vsctl, check=True), _ip(REMOVED[process].format(name)))
        )


class Bare:
    """The least that a plug can be: the devices, one transaction, and a wait for the ofport.

    From a process that has both sockets open, and without privilege to ask for; nothing is read,
    compared, locked, looked at or taken back.
    """

    def __init__(self, ovs: OpenVSwitch) -> None:
        self._kernel = Kernel(Netlink(), ClaimsFolder("/nowhere"))
        self._database = Connection(ovs.endpoint, deadline=_later())

    def plug(self, process: str, number: int) -> float:
        """Return the seconds for one VIF."""
        name = f"bare{number}"
        port = OvsPort(external_ids={IFACE_ID: str(uuid.uuid4())}, marks={VIF_ID: name},
                       mtu_request=1450)  # fmt: skip
        rows = AddPort(device=f"{name}t", bridge="br-int", port=port).requests()
        wait = {"op": "wait", "timeout": 10000, "table": "Interface",
                "where": [["name", "==", f"{name}t"], ["ofport", ">", 0]],
                "columns": ["_uuid"], "until": "!=", "rows": []}  # fmt: skip

        def plug() -> None:
            self._database.transact(rows, deadline=_later())
            for operation in BARE[process](name):
                perform(operation, self._kernel)
            free = self._kernel.let_go  # a tap is the guest's to open
            if first_error(self._database.transact([wait], deadline=_later(), meanwhile=free)):
                raise TimeoutError(f"{name}t has no ofport")

        return timed(plug)

    def unplug(self, process: str, number: int, ovs: OpenVSwitch) -> None:
        """Remove one VIF, unmeasured."""
        ovs.vsctl("del-port", "br-int", f"bare{number}t")
        _ip(REMOVED[process].format(f"bare{number}"))


def _tap(name: str) -> tuple[Operation, ...]:
    tap = MakeLink(device=f"{name}t", kind="tap", mark=name, mtu=1450, address="fe:16:3e:00:00:01")
    return (tap, SetLink(device=f"{name}t", attribute="up", value=True))


def _wire(name: str) -> tuple[Operation, ...]:
    wire = MakeLink(device=f"{name}v", kind="veth", mark=f"{name}:v", mtu=1450,
                    peer=f"{name}t", peer_mark=f"{name}:t")  # fmt: skip
    bridge = MakeLink(device=f"{name}b", kind="bridge", mark=f"{name}:b", forward_delay=0,
                      stp=False, ageing_time=0, multicast_snooping=False)  # fmt: skip
    up = (SetLink(device=f"{name}{end}", attribute="up", value=True) for end in "tvb")
    port = SetLink(device=f"{name}v", attribute="master", value=f"{name}b")
    return (wire, bridge, *up, port)


BARE = {"manual": _tap, "hybrid": _wire}


def _later() -> float:
    return time.monotonic() + 30


def _quiet(*switches: OpenVSwitch) -> None:
    """Return once no ovs-vswitchd has anything to do; each wakes up some times a second."""
    worked = [-1] * len(switches)
    still = 0
    while still < STILL:
        before, worked = worked, [_ticks(ovs.pid(SWITCH)) for ovs in switches]
        still = still + 1 if worked == before else 0
        time.sleep(0.01)


def _ticks(process: int) -> int:
    """Return the processor time that a process has used, in the system's ticks."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def _ip(batch: str) -> None:
    subprocess.run(["ip", "-batch", "-"], input=batch.encode(), check=True)


def measured() -> Iterator[Row]:
    """Yield the rows of all that is measured here, each once it is measured."""
    with contextlib.ExitStack() as stack:
        theirs = stack.enter_context(_theirs())
        # Where the locks are by default, /run, is a tmpfs too.
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm"))
        namespace = stack.enter_context(NetworkNamespace(enter=True))
        ovs = stack.enter_context(OpenVSwitch(namespace))
        ovs.add_bridge("br-int")
        ours, floor, bare = Ours(ovs.endpoint, folder), Floor(ovs), Bare(ovs)
        ours.plug("manual", range(1))  # the daemon runs
        ours.unplug("manual", range(1))
        for process in ("manual", "hybrid"):
            for size in SIZES:
                yield from _one_by_one(process, size, ours, theirs, floor, bare, ovs)
            yield from _batches(process, ours, theirs, ovs)
        ours.driver.close()


def _one_by_one(
    process: str,
    size: int,
    ours: Ours,
    theirs: Theirs,
    floor: Floor,
    bare: Bare,
    ovs: OpenVSwitch,
) -> list[Row]:
    there = range(1000, 1000 + size)
    ours.plug(process, there)
    theirs("plug", process, there)
    times: list[list[float]] = [[] for _ in range(7)]
    for number in range(RUNS + 1):
        one = range(number, number + 1)
        calls = (
            lambda one=one: ours.plug(process, one),
            lambda one=one: theirs("plug", process, one)[0],
            lambda number=number: floor.plug(process, number),
            lambda number=number: bare.plug(process, number),
            lambda one=one: ours.unplug(process, one),
            lambda one=one: theirs("unplug", process, one)[0],
            lambda number=number: floor.unplug(process, number),
        )
        for place, call in zip(times, calls, strict=True):
            _quiet(ovs, theirs.ovs)
            seconds = call()
            if number:  # the first warms the caches
                place.append(seconds)
        bare.unplug(process, number, ovs)
    row = range(500, 500 + RUNS)
    _quiet(ovs, theirs.ovs)
    in_a_row = [ours.plug(process, range(number, number + 1)) for number in row]
    _quiet(ovs, theirs.ovs)
    in_a_row_theirs = theirs("plug", process, row)
    for numbers in (row, there):
        ours.unplug(process, numbers)
        theirs("unplug", process, numbers)
    words = f"ovs {process}, {size} ports there"
    plug, plug_theirs, plug_floor, plug_bare, unplug, unplug_theirs, unplug_floor = times
    return [
        (f"{words}: plug : os-vif", plug, plug_theirs, FASTER_PLUG),
        (f"{words}: plug, in a row : os-vif", in_a_row, in_a_row_theirs, FASTER_PLUG),
        (f"{words}: plug : ip and ovs-vsctl", plug, plug_floor, None),
        (f"{words}: plug : bare requests", plug, plug_bare, None),
        (f"{words}: bare requests : os-vif", plug_bare, plug_theirs, None),
        (f"{words}: unplug : os-vif", unplug, unplug_theirs, None),
        (f"{words}: unplug : ip and ovs-vsctl", unplug, unplug_floor, NEAR_FLOOR),
    ]


def _batches(process: str, ours: Ours, theirs: Theirs, ovs: OpenVSwitch) -> list[Row]:
    batch = range(BATCH)
    times: list[list[float]] = [[] for _ in range(4)]
    for _ in range(BATCHES):
        calls = (
            lambda: ours.plug(process, batch),
            lambda: sum(theirs("plug", process, batch)),
            lambda: ours.unplug(process, batch),
            lambda: sum(theirs("unplug", process, batch)),
        )
        for place, call in zip(times, calls, strict=True):
            _quiet(ovs, theirs.ovs)
            place.append(call())
    plug, plug_theirs, unplug, unplug_theirs = times
    words = f"ovs {process}, batch of {BATCH}"
    bar = FASTER_BATCH if process == "hybrid" else FASTER_PLUG
    return [
        (f"{words}: plug : os-vif", plug, plug_theirs, bar),
        (f"{words}: unplug : os-vif", unplug, unplug_theirs, FASTER_BATCH_UNPLUG),
    ]


@contextlib.contextmanager
def _theirs() -> Iterator[Theirs]:
    programs = peer()
    with (
        NetworkNamespace(enter=True) as namespace,
        OpenVSwitch(namespace) as ovs,
        tempfile.TemporaryDirectory() as folder,
    ):
        ovs.add_bridge("br-int")
        file = Path(folder) / "os-vif.conf"
        helper = f"{programs}/privsep-helper --config-file {file}"
        file.write_text(
            f"[os_vif_ovs]\novsdb_connection = {ovs.endpoint}\n"
            f"[vif_plug_ovs_privileged]\nhelper_command = {helper}\n"
        )
        words = [programs / "python", ROOT / "bench/peer_ovs.py", file]
        piped = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(words, **piped, stderr=subprocess.DEVNULL, text=True) as process:  # type: ignore[call-overload]
            try:
                yield Theirs(process, ovs)
            finally:
                process.terminate()  # our daemon has its standard input too, which never ends then
