# SPDX-License-Identifier: Apache-2.0
"""Taps, made through /dev/net/tun."""

from __future__ import annotations

import fcntl
import os
import socket
import struct

from vifplug.kernel.messages import attributes as nl
from vifplug.kernel.messages import links as rt
from vifplug.kernel.messages.links import altname_request, mac
from vifplug.kernel.perform.dispatch import Kernel
from vifplug.operations.links import MakeLink

_TUNSETIFF, _TUNSETPERSIST = 0x400454CA, 0x400454CB
_NO_PI, _VNET_HDR, _MULTI_QUEUE, _TUN_EXCL = 0x1000, 0x4000, 0x100, 0x8000


def make_tap(operation: MakeLink, kernel: Kernel) -> None:
    """Make a tap and mark it before it is persistent: after a kill in between it is gone."""
    flags = rt.TAP | _NO_PI | _VNET_HDR | _TUN_EXCL
    flags |= _MULTI_QUEUE if operation.multi_queue else 0
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        # Until it is made persistent, at the very end, the tap goes away with the descriptor.
        fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", operation.device.encode(), flags))
        index = socket.if_nametoindex(operation.device)
        address, mtu = operation.address, operation.mtu
        wanted = (
            nl.attribute(rt.ADDRESS, mac(address)) if address else b"",
            nl.attribute(rt.MTU, nl.u32(mtu)) if mtu else b"",
        )
        shape = (rt.SETLINK, nl.ACK, rt.link_body(*wanted, index=index))
        kernel.netlink.request(altname_request(True, index, operation.mark), shape)
        fcntl.ioctl(fd, _TUNSETPERSIST, 1)
    except BaseException:
        os.close(fd)
        raise
    kernel.hold(fd)
