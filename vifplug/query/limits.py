# SPDX-License-Identifier: Apache-2.0
"""What this kernel, or this container, refuses whoever asks: planning must know it beforehand."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from pathlib import Path
from typing import Any

from vifplug.kernel.messages import attributes as nl
from vifplug.kernel.netlink import KernelError, Netlink
from vifplug.operations.operation import SYSCTLS
from vifplug.query import modules

_TUN = Path("/dev/net/tun")
_CONF = ("ipv4/conf", "ipv6/conf")

_SIOCGIFVLAN, _NAME_OF_LOWER = 0x8982, 8
_VLAN_QUESTION = struct.Struct("=i24s24sh6x")

# linux/nl80211.h.
_GET_INTERFACE, _INDEX, _TYPE, _FOUR_ADDRESSES = 5, 3, 5, 83
_STATION_TYPES = (1, 2, 8)
"""Of an ad hoc network, of an access point, and of a peer in Wi-Fi Direct."""


def found(sysctls: Path = Path("/proc/sys/net")) -> dict[str, Any]:
    """Return these facts, by the names that a Host has for them."""
    return {"tun": _TUN.exists(), "fixed": _fixed(sysctls)}


def _fixed(root: Path) -> dict[str, int] | None:
    """Return what sysctls are on a new device, where none can be written; None where they can.

    A container often has /proc/sys mounted read-only. It may have IPv6 off on new devices.
    """
    if not any(_is_read_only(root / folder) for folder in _CONF):
        return None
    return {name: _default(name, root / path.format("default")) for name, path in SYSCTLS.items()}


def _is_read_only(folder: Path) -> bool:
    try:
        return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
    except OSError:  # a kernel without IPv6
        return False


def _default(name: str, path: Path) -> int:
    try:
        value = int(path.read_text())
    except OSError:
        return 0
    return int(not value) if name == "ipv6" else value


def has_vlans() -> bool:
    """Whether the kernel has VLAN devices (802.1Q), or has a module for them."""
    if modules.is_loaded("8021q") or modules.is_loadable("8021q"):
        return True
    # Last, because the kernel looks for its module at this question.
    question = _VLAN_QUESTION.pack(_NAME_OF_LOWER, b"lo", b"", 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            fcntl.ioctl(asked, _SIOCGIFVLAN, question)
        except OSError as error:
            return error.errno != errno.ENOPKG
    return True


def is_station(index: int) -> bool:
    """Whether the device of an index is a station of a wireless network.

    It sends with its own address only, so the kernel lets no bridge have it, unless it sends frames
    with four addresses.
    """
    with Netlink(modules.GENERIC) as netlink:
        family = modules.family(netlink, "nl80211")
        if family is None:
            return False
        asked = struct.pack("=BBH", _GET_INTERFACE, 1, 0) + nl.attribute(_INDEX, nl.u32(index))
        try:
            ((told,),) = netlink.request((family, nl.ACK, asked))
        except KernelError:  # the device is no wireless network's
            return False
    said = nl.nested(told, 4)
    return nl.number(said[_TYPE]) in _STATION_TYPES and said.get(_FOUR_ADDRESSES) != b"\1"
