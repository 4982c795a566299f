# SPDX-License-Identifier: Apache-2.0
"""What day two costs on a host with many VIFs: processor time of whole commands. Needs root.

Run it with our Python: ``python bench/listing.py [VIFS]``. Half of the VIFs are on a Linux bridge,
half on Open vSwitch, each with a tap made beforehand. Their guests are defined in a real libvirtd.
Times are those of the command's own process and of what it starts, medians of 5.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import sys
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vifplug.testing import Libvirt, NetworkNamespace, OpenVSwitch
from vifplug.testing.shell import Shell

RUNS = 5
COMMANDS = (("--version",), ("list",), ("list", "-f", "json"), ("check", "--all"),
            ("gc", "--libvirt", "--dry-run"))  # fmt: skip

_DOMAIN = """<domain type='qemu'><name>guest{number}</name><uuid>{instance}</uuid>
<memory unit='MiB'>64</memory><os><type arch='x86_64' machine='pc'>hvm</type></os>
<devices>{interface}</devices></domain>"""


def vif(number: int) -> dict[str, Any]:
    on_bridge = number % 2
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_DNS, f"vif{number}")),
        "vif_type": "bridge" if on_bridge else "ovs",
        "address": f"fa:16:3e:00:{number >> 8:02x}:{number & 255:02x}",
        "network": {"bridge": "br100", "should_create_bridge": True}
        if on_bridge
        else {"bridge": "br-int"},
        "details": {} if on_bridge else {"ovs_create_tap": True},
        "instance": {"uuid": str(uuid.UUID(int=number + 1)), "name": f"guest{number}"},
    }


def seconds(shell: Shell, words: Sequence[str]) -> float:
    """Return the processor time of one command."""
    before = os.times()
    done = shell(*words)
    after = os.times()
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}: {done.returncode}: {done.stderr}")
    spent = (after.children_user, after.children_system)
    return sum(spent) - before.children_user - before.children_system


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    with contextlib.ExitStack() as stack:
        namespace = stack.enter_context(NetworkNamespace())
        libvirt = stack.enter_context(Libvirt(namespace))
        ovs = stack.enter_context(OpenVSwitch(namespace))
        ovs.add_bridge("br-int")
        shell = Shell(namespace, Path(stack.enter_context(tempfile.TemporaryDirectory())))
        shell.configure("vifplug", libvirt_uri=libvirt.uri, virt_type="qemu", timeout=600)
        shell.configure("vifplug_bridge", create_tap=True)
        shell.configure("vifplug_ovs", ovsdb_connection=ovs.endpoint)
        vifs = [vif(number) for number in range(count)]
        for start in range(0, count, 50):
            plugged = shell("plug", shell.file(vifs[start : start + 50]))
            if plugged.returncode:
                raise SystemExit(plugged.stderr)
        interfaces = shell("xml", shell.file(vifs)).stdout.split("</interface>")
        for number, interface in enumerate(interfaces[:count]):
            instance = uuid.UUID(int=number + 1)
            text = _DOMAIN.format(
                number=number, instance=instance, interface=f"{interface}</interface>"
            )
            libvirt.virsh("define", "/dev/stdin", input=text)
        print(f"| {count} VIFs | processor time, s |\n|---|---|")
        for words in COMMANDS:
            found = [seconds(shell, words) for _ in range(RUNS)]
            print(f"| `vifplug {' '.join(words)}` | {statistics.median(found):.2f} |", flush=True)


if __name__ == "__main__":
    main()
