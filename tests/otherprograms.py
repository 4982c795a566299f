# SPDX-License-Identifier: Apache-2.0
"""How other programs of the machine read a host's devices, and what the kernel sends them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable

from vifplug.kernel.messages import attributes as nl
from vifplug.kernel.messages import links as rt
from vifplug.kernel.netlink import Netlink
from vifplug.testing import NetworkNamespace

LARGEST = 2500
"""Bytes of a device's message: far below the buffers of any program that reads it."""

_HEADER = 16
"""Bytes of a netlink message before its body."""

_LOOK = """
import ctypes, json, socket, time
libc, first, began = ctypes.CDLL(None, use_errno=True), ctypes.c_void_p(), time.monotonic()
status = libc.getifaddrs(ctypes.byref(first))
took = time.monotonic() - began
print(json.dumps({"status": status, "took": took, "names": [n for _, n in socket.if_nameindex()]}))
"""


def message(device: str) -> bytes:
    """Return the kernel's message of a device, as it sends it to who asks for all there is."""
    with Netlink() as netlink:
        asked = rt.link_body(nl.attribute(rt.IFNAME, nl.text(device)))
        (found,) = netlink.request((rt.GETLINK, nl.ACK, asked))
    return bytes(_HEADER) + bytes(found[0])


def require_readable(namespace: NetworkNamespace, names: Iterable[str], address: str) -> None:
    """Require that the C library reads these devices at once, and hostname(1) the address.

    A device with hundreds of alternative names has a message that is longer than the buffers of the
    C library: then ``getifaddrs`` never returns.
    """
    devices = {link["ifname"] for link in namespace.ip_json("link")}
    assert {*names} <= devices
    seen = json.loads(namespace.run(sys.executable, "-c", _LOOK, timeout=10).stdout)
    assert (seen["status"], set(seen["names"])) == (0, devices)
    assert seen["took"] < 1
    assert address in namespace.run("hostname", "-I", timeout=10).stdout.split()
