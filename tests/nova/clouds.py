# SPDX-License-Identifier: Apache-2.0
"""A cloud of a test's own: its compute host, and the Nova process that is told what to do."""

from __future__ import annotations

import json
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.nova.environments import Environment, surroundings
from vifplug.testing import IndexRange, Libvirt, NetworkNamespace, OpenVSwitch, veth

INSIDE = Path(__file__).parent / "inside/cloud.py"
KERNEL = Path("/usr/lib/ipxe/ipxe.lkrn")
"""A guest's kernel that asks for an address by DHCP, on each of its NICs."""
_STARTS_WITHIN = 120.0
_ANSWERS_WITHIN = 120.0

_CONF = """\
[DEFAULT]
compute_driver = {driver}
host = compute-1
instances_path = {folder}/instances
force_raw_images = false
use_cow_images = true
force_config_drive = false
resume_guests_state_on_host_boot = false
reserved_host_memory_mb = 0
shutdown_timeout = 0
[libvirt]
virt_type = qemu
cpu_mode = none
connection_uri = {uri}
device_detach_attempts = 1
device_detach_timeout = 1
[vnc]
enabled = false
[os_vif_ovs]
ovsdb_connection = {endpoint}
[vifplug]
lock_path = {folder}/locks
[vifplug_ovs]
ovsdb_connection = {endpoint}
datapath_type = netdev
"""


@dataclass(frozen=True)
class Host:
    """A compute host: a libvirtd and an Open vSwitch whose br-int has a wire to the far side."""

    namespace: NetworkNamespace
    far: NetworkNamespace
    ovs: OpenVSwitch
    libvirt: Libvirt
    folder: Path


@contextmanager
def hosts(folder: Path) -> Iterator[Host]:
    """Have a compute host of one's own for the length of a block.

    On it ``agent`` and ``card`` are wires to the far side's ``far-agent`` and ``far-card``.
    """
    with (
        IndexRange() as indexes,
        NetworkNamespace(name="compute", ifindex_from=indexes.first) as namespace,
        NetworkNamespace(name="far") as far,
        OpenVSwitch(namespace) as ovs,
        Libvirt(namespace, environment=ovs.environment) as libvirt,
    ):
        ovs.add_bridge("br-int")
        veth(namespace, "uplink", far, "far")
        ovs.vsctl("add-port", "br-int", "uplink")
        for name in ("agent", "card"):
            veth(namespace, name, far, f"far-{name}")
        yield Host(namespace, far, ovs, libvirt, folder)


class CloudFailed(RuntimeError):
    """A command of the cloud's ended with an error; the text is its traceback."""


class Cloud:
    """A running Nova. Each command returns its answer; see inside/cloud.py."""

    def __init__(self, process: subprocess.Popen[str], conf: Path, said: Path) -> None:
        self._process, self._conf, self._said = process, conf, said

    def do(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Have a command done. CloudFailed where it fails."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": command, **arguments}) + "\n")
        self._process.stdin.flush()
        return self.answer(_ANSWERS_WITHIN)

    def answer(self, within: float) -> dict[str, Any]:
        """Return the next answer."""
        assert self._process.stdout is not None
        ready = select.select([self._process.stdout], [], [], within)[0]
        line = self._process.stdout.readline() if ready else ""
        found = json.loads(line) if line else {"error": f"no answer: {self.said[-6000:]}"}
        if "error" in found:
            raise CloudFailed(found["error"])
        return found  # type: ignore[no-any-return]

    @property
    def said(self) -> str:
        """What the process has written besides its answers."""
        return self._said.read_text(errors="replace")

    @property
    def log(self) -> str:
        """Nova's log, up to the last answer."""
        return Path(f"{self._conf}.log").read_text()


@contextmanager
def running(
    nova: Environment, host: Host, *, driver: str = "vifplug.LibvirtDriver", more: str = ""
) -> Iterator[Cloud]:
    """Have a Nova on a compute host for the length of a block; ``more`` is for its nova.conf."""
    (host.folder / "instances").mkdir(parents=True, exist_ok=True)
    conf = host.folder / "nova.conf"
    conf.write_text(
        _CONF.format(
            driver=driver, folder=host.folder, uri=host.libvirt.uri, endpoint=host.ovs.endpoint
        )
        + more
    )
    disk = host.folder / "blank.qcow2"
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", str(disk), "16M"], check=True, timeout=60
    )
    said = host.folder / "said"
    native = "true" if nova.release >= 34 else "false"
    temporary = tempfile.TemporaryDirectory(prefix="nova-")  # which Nova's fixtures do not clear
    environment = {"TMPDIR": temporary.name, "OS_NOVA_DISABLE_EVENTLET_PATCHING": native}
    with said.open("wb") as file, host.namespace.entered():
        process = subprocess.Popen(
            [str(nova.python), "-P", str(INSIDE), str(conf), str(disk), str(KERNEL)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
            env=surroundings() | environment,
        )
    cloud = Cloud(process, conf, said)
    try:
        cloud.answer(_STARTS_WITHIN)
        yield cloud
    finally:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.close()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait(timeout=10)
        process.stdout.close()
        temporary.cleanup()


def eventually(condition: Any, *, within: float = 20.0) -> Any:
    """Return what a condition returns once it is true. TimeoutError with its last value."""
    until = time.monotonic() + within
    while not (found := condition()):
        if time.monotonic() > until:
            raise TimeoutError(f"still {found!r} after {within} s")
        time.sleep(0.05)
    return found
