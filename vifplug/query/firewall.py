# SPDX-License-Identifier: Apache-2.0
"""Whether this host's firewall drops what crosses its bridges: looked at only, never changed.

With br_netfilter, bridged IP packets pass the chains for forwarded ones, and a policy DROP there
(Docker sets it) drops them without a word. Numbers are those of linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from vifplug.kernel.messages.attributes import nested
from vifplug.kernel.netlink import KernelError, Netlink

_SYSCTLS = {"IPv4": "bridge-nf-call-iptables", "IPv6": "bridge-nf-call-ip6tables"}
_BRIDGE = Path("/proc/sys/net/bridge")
_FAMILIES = {"IPv4": (1, socket.AF_INET), "IPv6": (1, socket.AF_INET6)}  # 1: NFPROTO_INET
_NETLINK_NETFILTER = 12
_GET_CHAIN = 10 << 8 | 4
_CHAIN_TABLE, _CHAIN_NAME, _CHAIN_HOOK, _CHAIN_POLICY = 1, 3, 4, 5
_HOOK_NUMBER, _FORWARD, _DROP = 1, 2, 0
_GENERATION = struct.Struct("=BBH")

# Legacy iptables: what its table "filter" holds is told by getsockopt(2), where the table is.
_NAMES = {"IPv4": "/proc/net/ip_tables_names", "IPv6": "/proc/net/ip6_tables_names"}
_LEVELS = {"IPv4": (socket.AF_INET, socket.SOL_IP), "IPv6": (socket.AF_INET6, 41)}
_GET_INFO, _GET_ENTRIES = 64, 65
_INFO = struct.Struct("=32sI5I5III")
_LEGACY_DROP = -1
_TARGET = {"IPv4": 88, "IPv6": 140}
"""Where an entry says where its target is: behind the addresses that it compares."""

_libc = ctypes.CDLL(None, use_errno=True)


def dropping() -> list[str]:
    """Return the chains that drop bridged packets which no rule of theirs accepts, in words.

    For the network namespace of the calling thread. Raises PermissionError without CAP_NET_ADMIN,
    where there is something to look at.
    """
    called = [family for family in _SYSCTLS if _is_called(family)]
    if not called:
        return []
    found = [f"{family}: {name}" for family in called for name in _nftables(family)]
    return found + [f"{family}: iptables chain FORWARD" for family in called if _legacy(family)]


def _is_called(family: str) -> bool:
    try:
        return (_BRIDGE / _SYSCTLS[family]).read_text().strip() == "1"
    except FileNotFoundError:
        return False  # no br_netfilter


def _nftables(family: str) -> Iterator[str]:
    body = _GENERATION.pack(0, 0, 0)
    with Netlink(_NETLINK_NETFILTER) as netlink:
        try:
            found = netlink.dump(_GET_CHAIN, body)
        except KernelError as error:
            if error.errno == errno.EPERM:
                raise PermissionError(errno.EPERM, str(error)) from error
            return  # a kernel without nf_tables
        for raw in found:
            chain = nested(raw, _GENERATION.size)
            hook = nested(chain.get(_CHAIN_HOOK, b""))
            policy = chain.get(_CHAIN_POLICY)
            if raw[0] not in _FAMILIES[family] or policy is None:
                continue
            if (_big(hook[_HOOK_NUMBER]), _big(policy)) == (_FORWARD, _DROP):
                names = (chain[_CHAIN_TABLE], chain[_CHAIN_NAME])
                table, name = (text.rstrip(b"\0").decode(errors="replace") for text in names)
                yield f"nftables chain {name} of table {table}"


def _big(number: bytes) -> int:
    return int.from_bytes(number, "big")


def _legacy(family: str) -> bool:
    try:
        if "filter" not in Path(_NAMES[family]).read_text().split():
            return False  # asking for the table would make it
    except FileNotFoundError:
        return False
    kind, level = _LEVELS[family]
    with socket.socket(kind, socket.SOCK_DGRAM) as asked:
        info = _INFO.unpack(
            _getsockopt(asked, level, _GET_INFO, b"filter".ljust(_INFO.size, b"\0"))
        )
        # The chains' first rules, then their policies, each as its place among the entries.
        policy, size = info[7 + _FORWARD], info[13]
        wanted = struct.pack("=32sI4x", b"filter", size) + bytes(size)
        entries = _getsockopt(asked, level, _GET_ENTRIES, wanted)[40:]
    # An entry's verdict stands at its very end.
    target = struct.unpack_from("=H", entries, policy + _TARGET[family])[0]
    (verdict,) = struct.unpack_from("=i", entries, policy + target + 32)
    return bool(verdict == _LEGACY_DROP)


def _getsockopt(asked: socket.socket, level: int, option: int, wanted: bytes) -> bytes:
    """Ask what socket.getsockopt() can't: the kernel reads the buffer before it fills it."""
    buffer = ctypes.create_string_buffer(wanted, len(wanted))
    size = ctypes.c_uint32(len(wanted))
    if _libc.getsockopt(asked.fileno(), level, option, buffer, ctypes.byref(size)) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return buffer.raw
