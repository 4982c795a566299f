# SPDX-License-Identifier: Apache-2.0
"""``vifplug watch --repair`` beside a real libvirtd: guests start, and their taps are mended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import ID, vif
from tests.cli.watching import watching
from vifplug.testing import Libvirt, NetworkNamespace
from vifplug.testing.shell import Shell

TAP = f"tap{ID[:11]}"


@pytest.fixture
def libvirt(namespace: NetworkNamespace) -> Iterator[Libvirt]:
    with Libvirt(namespace) as daemon:
        daemon.virsh("capabilities")  # it looks at each QEMU first
        yield daemon


def test_guests_start_and_their_taps_are_mended(
    vifplug: Shell, namespace: NetworkNamespace, libvirt: Libvirt, tmp_path: Path
) -> None:
    vifplug.configure("vifplug", libvirt_uri=libvirt.uri, virt_type="qemu")
    file = vifplug.file(vif())
    assert vifplug("plug", file).returncode == 0
    xml = vifplug("xml", file).stdout
    with watching(vifplug, "--repair", file) as watch:
        for number in range(3):
            # libvirt makes the tap anew each time, and puts it into the bridge itself.
            libvirt.start_guest(xml, name=f"guest{number}")
            (link,) = namespace.ip_json("link", "show", TAP)
            assert link["master"] == "br100"
            namespace.ip("link", "set", TAP, "nomaster")
            event = watch.event_of("mended", ID)
            assert event["drift"]
            (link,) = namespace.ip_json("link", "show", TAP)
            assert link["master"] == "br100"
            libvirt.virsh("destroy", f"guest{number}")
        assert watch.end() == 0
    assert "Traceback" not in watch.complaints
