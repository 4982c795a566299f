# SPDX-License-Identifier: Apache-2.0
"""Many VIFs on one device do not keep other programs from reading the host's devices.

A device with hundreds of alternative names has a message of the kernel that is longer than the
buffers of the C library and of ovs-vswitchd: ``getifaddrs`` never returns, and ovs-vswitchd hangs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from uuid import UUID

import pytest

from tests.vepa.vifs import card
from vifplug import VIF, GenericVIFDriver
from vifplug.kernel.messages import attributes as nl
from vifplug.kernel.messages import links as rt
from vifplug.kernel.netlink import Netlink
from vifplug.model.mark import CLAIMS
from vifplug.result import Result
from vifplug.testing import NetworkNamespace, OpenVSwitch

VIFS = 200
HEADER = 16
"""Bytes of a netlink message before its body."""

LARGEST = 2500
"""Bytes of a device's message: far below the buffers of any program that reads it."""

# As any program of this machine reads the host's devices and their addresses.
LOOK = """
import ctypes, json, socket, time
libc, first, began = ctypes.CDLL(None, use_errno=True), ctypes.c_void_p(), time.monotonic()
status = libc.getifaddrs(ctypes.byref(first))
took = time.monotonic() - began
print(json.dumps({"status": status, "took": took, "names": [n for _, n in socket.if_nameindex()]}))
"""


@pytest.fixture
def ovs(namespace: NetworkNamespace) -> Iterator[OpenVSwitch]:
    with OpenVSwitch(namespace) as running:
        running.add_bridge("br-int")
        yield running


def vif(number: int) -> VIF:
    address = f"fa:16:3e:22:{number >> 8:02x}:{number & 0xFF:02x}"
    data = {"id": str(UUID(int=number + 1)), "vif_type": "macvtap", "address": address}
    return VIF.from_dict({**data, "network": {"interface": "eth1"}})


def message(device: str) -> bytes:
    """Return the kernel's message of a device, as it sends it to who asks for all there is."""
    with Netlink() as netlink:
        asked = rt.link_body(nl.attribute(rt.IFNAME, nl.text(device)))
        (found,) = netlink.request((rt.GETLINK, nl.ACK, asked))
    return bytes(HEADER) + bytes(found[0])


def test_200_vifs_on_a_device_leave_the_host_readable_for_others(
    namespace: NetworkNamespace, driver: GenericVIFDriver, ovs: OpenVSwitch
) -> None:
    card(namespace)
    namespace.ip("address", "add", "192.0.2.7/24", "dev", "eth1")
    before = len(message("eth1"))
    pairs = [(None, vif(number)) for number in range(VIFS)]
    outcomes = driver.plug_all(pairs)
    assert all(isinstance(outcome, Result) and outcome.changed for outcome in outcomes)
    assert len(driver.list()) == VIFS

    names = {link["ifname"] for link in namespace.ip_json("link")}
    assert {"lo", "eth1", "br-int"} <= names
    seen = json.loads(namespace.run(sys.executable, "-c", LOOK, timeout=10).stdout)
    assert (seen["status"], set(seen["names"])) == (0, names)
    assert seen["took"] < 1
    assert "192.0.2.7" in namespace.run("hostname", "-I", timeout=10).stdout.split()

    sent = message("eth1")
    assert CLAIMS.encode() in sent
    assert before < len(sent) < LARGEST
    control = str(ovs.rundir / "ovs-vswitchd.ctl")
    version = namespace.run("ovs-appctl", "-t", control, "version", timeout=10).stdout
    assert version.startswith("ovs-vswitchd")

    driver.unplug_all(pairs)
    assert (driver.list(), len(message("eth1"))) == ([], before)
