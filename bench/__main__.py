# SPDX-License-Identifier: Apache-2.0
"""Speed beside os-vif and the floor, all in one run: ``make bench``.

Whole processes are timed in turn (ours, theirs, the floor, ours ...), medians of 20. Times of one
run compare; those of two machines, or of two runs, don't. Ends with 1 where a bar is missed.
"""

from __future__ import annotations

import ctypes
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import open_vswitch
from measuring import ROOT, RUNS, Row, peer, timed

CASE = ROOT / "tests/bridge/cases/libvirt-makes-the-tap/vif.json"
FORBIDDEN = ("oslo_privsep", "pyroute2", "ovs")
_NEWNET = 0x40000000


def in_turn(*commands: Sequence[str]) -> list[list[float]]:
    """Return the wall seconds of each command, run one after the other, again and again."""
    times: list[list[float]] = [[] for _ in commands]
    for turn in range(RUNS + 1):
        for place, command in zip(times, commands, strict=True):
            start = time.perf_counter()
            quiet = subprocess.DEVNULL
            subprocess.run(command, check=True, stdout=quiet, stderr=quiet, cwd="/")
            if turn:  # the first warms the caches
                place.append(time.perf_counter() - start)
    return times


def start_up() -> list[Row]:
    """Measure import and ``vifplug xml`` beside os-vif's import and initialize()."""
    python, vifplug = sys.executable, str(Path(sys.executable).with_name("vifplug"))
    theirs = [str(peer() / "python"), "-c", "import os_vif; os_vif.initialize()"]
    told = ("--libvirt-version", "9.0.0", "--virt-type", "kvm")
    xml = [vifplug, "xml", *told, str(CASE)]
    ours = [python, "-P", "-c", "import vifplug"]
    nothing = [python, "-P", "-c", "pass"]
    imported, rendered, initialised, floor = in_turn(ours, xml, theirs, nothing)
    for command in (["-c", "import vifplug"], ["-m", "vifplug.cli", *xml[1:]]):
        require_not_imported(command)
    return [
        ("import vifplug : os_vif.initialize()", imported, initialised, 1 / 5),
        ("vifplug xml : os_vif.initialize()", rendered, initialised, 2 / 3),
        ("import vifplug : bare python", imported, floor, None),
        ("vifplug xml : bare python", rendered, floor, None),
    ]


def require_not_imported(command: Sequence[str]) -> None:
    """Fail where a command imports what only those who plug need."""
    words = [sys.executable, "-P", "-X", "importtime", *command]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd="/")
    modules = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    found = [m for m in modules if m.partition(".")[0] in FORBIDDEN]
    if found:
        sys.exit(f"{' '.join(command)} imports {', '.join(sorted(found))}")


def plug() -> list[Row]:
    """Measure first plug and re-plug with the daemon running, and ip(8) doing the same."""
    if ctypes.CDLL(None).unshare(_NEWNET) != 0:
        sys.exit("a network namespace needs root: plug and re-plug are not measured")
    from oslo_config import cfg

    from vifplug import VIF, GenericVIFDriver

    driver = GenericVIFDriver()
    with tempfile.TemporaryDirectory() as folder:
        cfg.CONF.set_override("lock_path", folder, group="vifplug")
        cfg.CONF.set_override("libvirt_version", "9.0.0", group="vifplug")
        cfg.CONF.set_override("virt_type", "kvm", group="vifplug")

        def vif(bridge: str) -> VIF:
            network = {"bridge": bridge, "should_create_bridge": True}
            data = {"id": str(uuid.uuid4()), "vif_type": "bridge", "network": network}
            return VIF.from_dict(data | {"address": "fa:16:3e:11:22:33"})

        rows: list[Row] = []
        for create_tap, words in ((False, "tap by libvirt"), (True, "tap made beforehand")):
            options = driver.registry.plugin("bridge", vif_id="-").options
            options["create_tap"] = create_tap
            driver.plug(None, vif("warm"))  # the daemon runs
            vifs = [vif("br0") for _ in range(RUNS)]
            first = [timed(lambda one=one: driver.plug(None, one)) for one in vifs]
            again = [timed(lambda one=one: driver.plug(None, one)) for one in vifs]
            rows.append((f"re-plug : first plug, {words}", again, first, 1 / 5))
        rows.append(("first plug : ip -batch, tap made beforehand", first, ip_batch(), None))
        driver.close()
    return rows


def ip_batch() -> list[float]:
    """Return the seconds in which ip(8), one process a VIF, makes such a tap on a bridge."""
    batch = (
        "tuntap add {0} mode tap vnet_hdr\n"
        "link set {0} address fe:16:3e:11:22:33\n"
        "link property add dev {0} altname vifplug:{0}\n"
        "link set {0} mtu 1450\n"
        "link set {0} master br0\n"
        "link set {0} up\n"
    )
    names = [f"floor{number}" for number in range(RUNS)]

    def one(name: str) -> object:
        return subprocess.run(["ip", "-batch", "-"], input=batch.format(name).encode(), check=True)

    return [timed(lambda name=name: one(name)) for name in names]


def measured() -> Iterator[Row]:
    """Yield all rows: those that need root only where we are root."""
    yield from start_up()
    if os.geteuid() == 0:
        yield from open_vswitch.measured()
        yield from plug()


def main() -> int:
    """Print the table, each row once it is measured; return 1 where a bar is missed."""
    peer()  # what its installation prints comes before the table
    print(f"| ours : theirs (medians of {RUNS}, ms) | ours | theirs | ratio | bar |")
    print("|---|---|---|---|---|")
    missed = False
    for words, ours, theirs, bar in measured():
        mine, other = statistics.median(ours), statistics.median(theirs)
        ratio = mine / other
        missed = missed or (bar is not None and ratio > bar)
        said = "" if bar is None else f"{bar:.2f} {'missed' if ratio > bar else 'met'}"
        row = f"| {words} | {mine * 1e3:.2f} | {other * 1e3:.2f} | {ratio:.2f} | {said} |"
        print(row, flush=True)
    if os.geteuid() != 0:
        print("not root: plug and re-plug are not measured")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
