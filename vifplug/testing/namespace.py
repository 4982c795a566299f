# SPDX-License-Identifier: Apache-2.0
"""A network namespace of a test's own, and a dump of all that is set in one."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from vifplug.testing.fixture import PlainFixture

_CLONE_NEWNET = 0x40000000
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_THROWAWAY_GROUP = 0x7601
_FOREVER = 0xFFFFFFFF
_OF_A_FAMILY = ("addr", "route show table all", "rule", "neigh show nud permanent")
_SYSCTLS = ("ipv4/conf", "ipv4/neigh", "ipv6/conf", "ipv6/neigh", "bridge")

_LINK_NOISE = frozenset(("operstate", "qdisc", "promiscuity", "allmulti",
                         "tso_max_size", "tso_max_segs"))  # fmt: skip
_FLAG_NOISE = frozenset(("LOWER_UP", "NO-CARRIER"))
_INFO_NOISE = frozenset(("state", "topology_change", "topology_change_detected",
                         "topology_change_ack", "config_pending", "fdb_n_learned"))  # fmt: skip

# linux/rtnetlink.h: RTMGRP_LINK, _TC, _IPV4_IFADDR, _IPV4_ROUTE, _IPV4_RULE, _IPV6_IFADDR,
# _IPV6_ROUTE, _IPV6_IFINFO, and of RTNLGRP_IPV6_RULE, which is the 19th, its bit.
_CHANGES = 0x1 | 0x8 | 0x10 | 0x40 | 0x80 | 0x100 | 0x400 | 0x800 | 1 << 18

_DECODER = json.JSONDecoder()
_libc = ctypes.CDLL(None, use_errno=True)


class CommandFailed(subprocess.CalledProcessError):
    """A command ended with a status other than 0; its text holds what the command said."""

    def __str__(self) -> str:
        said = (self.stderr or self.output or "").strip()
        return f"{' '.join(self.cmd)!r} ended with status {self.returncode}: {said}"


def _checked(what: str, result: int) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _setns(fd: int) -> None:
    _checked("setns", _libc.setns(fd, _CLONE_NEWNET))


def _current() -> int:
    """Return a new file descriptor of the calling thread's network namespace."""
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


class NetworkNamespace(PlainFixture):
    """A network namespace that only this test sees; needs root (OSError otherwise).

    Nothing is mounted under /run/netns: file descriptors keep the namespace, so the kernel takes
    it away, with all that is in it, when the test process ends in whichever way.

    ``name`` is for people reading messages. ``enter``: the thread that calls setUp is inside until
    clean-up, and so are the commands it starts. ``ifindex_from``: new interfaces get indexes from
    that number on. That costs about 30 ms and 0.2 ms an index, and only macvtap needs it: its
    /dev/tapN exists once on a machine and N is the index, so equal indexes in two namespaces
    connect to one another.

    What is mounted stays the caller's: inside, /sys/class/net still lists the interfaces of the
    namespace it was mounted in. ``run(..., sysfs=True)`` gives a command its own.
    """

    def __init__(
        self, *, name: str | None = None, enter: bool = False, ifindex_from: int | None = None
    ) -> None:
        super().__init__()
        self.name = name
        self._enter = enter
        self._ifindex_from = ifindex_from
        self._fd = -1

    def _setUp(self) -> None:  # noqa: N802 (fixtures' name)
        before = _current()
        try:
            _checked("unshare", _libc.unshare(_CLONE_NEWNET))
            try:
                self._fd = _current()
                self.addCleanup(self._close)
                _up("lo")
                if self._ifindex_from is not None:
                    self._advance(self._ifindex_from)
            finally:
                _setns(before)
        finally:
            os.close(before)
        if self._enter:
            inside = contextlib.ExitStack()
            inside.enter_context(self.entered())
            self.addCleanup(inside.close)

    def _close(self) -> None:
        os.close(self._fd)
        self._fd = -1

    def __repr__(self) -> str:
        return f"<NetworkNamespace {self.name or self._fd}>"

    @property
    def fd(self) -> int:
        """The file descriptor that keeps the namespace; ValueError outside setUp to clean-up."""
        if self._fd < 0:
            raise ValueError(f"{self!r} is not set up")
        return self._fd

    @property
    def path(self) -> str:
        """A path of the namespace for ``nsenter --net=`` or ``ip link set ... netns``."""
        return f"/proc/{os.getpid()}/fd/{self.fd}"

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Have the calling thread, and what it starts, inside for the length of a with block."""
        before = _current()
        try:
            _setns(self.fd)
            try:
                yield
            finally:
                _setns(before)
        finally:
            os.close(before)

    def run(
        self,
        *argv: str,
        check: bool = True,
        input: str | None = None,
        sysfs: bool = False,
        timeout: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside and return its output as text.

        CommandFailed if it ends with another status than 0 and ``check`` is true;
        subprocess.TimeoutExpired after ``timeout`` seconds. ``sysfs``: with the namespace's /sys.
        """
        command = argv
        if sysfs:
            mount = 'mount -t sysfs sysfs /sys && exec "$@"'
            command = ("unshare", "--mount", "--", "sh", "-c", mount, "sh", *argv)
        with self.entered():
            done = subprocess.run(
                command, input=input, capture_output=True, text=True, timeout=timeout, check=False
            )
        if check and done.returncode:
            raise CommandFailed(done.returncode, argv, done.stdout, done.stderr)
        return done

    def ip(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Run ``ip`` with args inside; CommandFailed with what it said."""
        return self.run("ip", *args)

    def ip_json(self, *args: str) -> Any:
        """Run ``ip -j`` with args inside and return what it printed, parsed; [] for nothing."""
        return self._json("ip", "-j", *args)

    def _json(self, *argv: str) -> Any:
        # ip leaves {} for each object that a filter hid
        return [entry for entry in json.loads(self.run(*argv).stdout or "[]") if entry]

    def _advance(self, first: int) -> None:
        """Make first the next interface's index."""
        # An explicit index does not move the kernel's counter, so use up the ones before. veth is
        # two for one request; an MTU too small for IPv6 and single queues make them cheaper.
        small = f"mtu 68 numtxqueues 1 numrxqueues 1 group {_THROWAWAY_GROUP}"
        pairs = [
            f"link add vifpluga{i} {small} type veth peer name vifplugb{i} {small}\n"
            for i in range((first - 2) // 2)
        ]
        if first % 2:
            pairs.append(f"link add vifplugc {small} type ifb\n")
        if pairs:
            self.run("ip", "-batch", "-", input="".join(pairs))
            self.ip("link", "del", "group", str(_THROWAWAY_GROUP))

    def everything(self) -> dict[str, Any]:
        """Return all that is set in the namespace, for a comparison of before and after.

        Keys: ``links`` and ``addresses`` by interface (``ip -d -j``, with ifindex and altnames),
        ``routes`` of all tables, ``rules``, permanent ``neighbours``, ``qdiscs``, ``vlans`` and
        ``fdb`` of bridges, and ``sysctls`` (net/ipv4 and net/ipv6, conf and neigh, each
        interface's; net/bridge).

        Left out is what moves by itself: counters, timers, carrier and what follows from it
        (operstate, LOWER_UP, NO-CARRIER, a bridge port's state, link-local addresses that the
        kernel made, tentative), what the kernel's table local and fe80::/64 routes say again of
        addresses, default qdiscs, learned fdb entries and their number, multicast joins, how many
        listen (promiscuity), what a bridge's ports let it do (tso_max_*), and how long an address
        is still valid: a lifetime is either "forever" or "limited". A bridge without an address of
        its own takes that of its ports, and that shows. Not looked at: tc filters, nftables.

        Waits, up to 1 s, for a dump during which the kernel announced no change.
        """
        deadline = time.monotonic() + 1
        with self._announcements() as announced:
            while True:
                dump = self._dump()
                if not announced() or time.monotonic() > deadline:
                    return dump | {"sysctls": self._sysctls()}

    @contextlib.contextmanager
    def _announcements(self) -> Iterator[Callable[[], bool]]:
        """Return what tells if devices, addresses, routes or rules changed since it was asked."""
        with self.entered():
            listening = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        with listening:
            listening.setblocking(False)
            listening.bind((0, _CHANGES))

            def announced() -> bool:
                found = False
                while True:
                    try:
                        found = bool(listening.recv(1)) or found
                    except BlockingIOError:
                        return found
                    except OSError:  # ENOBUFS: more than the socket holds
                        found = True

            yield announced

    def _dump(self) -> dict[str, Any]:
        links, *found4 = self._batch(("ip", "-4", "-d"), "link", *_OF_A_FAMILY)
        found6 = self._batch(("ip", "-6", "-d"), *_OF_A_FAMILY)
        vlans, fdb = self._batch(("bridge",), "vlan", "fdb")
        addresses: dict[str, Any] = {link["ifname"]: [] for link in links}
        for link in (*found4[0], *found6[0]):
            kept = [_address(a) for a in link["addr_info"] if not _by_link(a)]
            addresses.setdefault(link["ifname"], []).extend(kept)
        families = {"inet": found4, "inet6": found6}
        return {
            "links": {link["ifname"]: _link(link) for link in links},
            "addresses": addresses,
            "routes": {
                family: [_route(route) for route in routes if not _follows(route)]
                for family, (_, routes, _, _) in families.items()
            },
            "rules": {family: rules for family, (_, _, rules, _) in families.items()},
            "neighbours": {
                family: sorted(neighbours, key=lambda one: (one["dev"], one["dst"]))
                for family, (_, _, _, neighbours) in families.items()
            },
            "qdiscs": [
                {key: value for key, value in qdisc.items() if key != "refcnt"}
                for qdisc in self._json("tc", "-j", "qdisc")
                if qdisc["handle"] != "0:"
            ],
            "vlans": vlans,
            "fdb": [e for e in fdb if _is_set(e)],
        }

    def _batch(self, program: Sequence[str], *commands: str) -> list[Any]:
        """Run the commands of ip or bridge in one process; return what each printed, parsed."""
        done = self.run(*program, "-j", "-batch", "-", input="".join(f"{c}\n" for c in commands))
        found, rest = [], done.stdout.strip()
        while rest:
            entries, end = _DECODER.raw_decode(rest)
            found.append([entry for entry in entries if entry])
            rest = rest[end:].lstrip()
        if len(found) != len(commands):
            raise RuntimeError(f"{program} answered {len(found)} of {commands}: {done.stdout}")
        return found

    def _sysctls(self) -> dict[str, str]:
        found: dict[str, str] = {}
        # /proc/sys/net shows the namespace of the thread that looks.
        with self.entered():
            for top in _SYSCTLS:
                for at, _, names, folder in os.fwalk(f"/proc/sys/net/{top}"):
                    place = at.removeprefix("/proc/sys/")
                    for name in names:
                        found[f"{place}/{name}"] = _read(name, folder)
        return found


def _read(name: str, folder: int) -> str:
    """Return what a sysctl says; without a file object, which costs four times as much."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
        try:
            return os.read(descriptor, 4096).decode("ascii").strip()
        finally:
            os.close(descriptor)
    except OSError as error:  # stable_secret, where none is set
        return errno.errorcode.get(error.errno or 0, str(error))


def _up(ifname: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as control:
        request = struct.pack("16sH14x", ifname.encode(), 0)
        answer = fcntl.ioctl(control, _SIOCGIFFLAGS, request)
        name, flags = struct.unpack("16sH14x", answer)
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14x", name, flags | _IFF_UP))


def _link(link: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in link.items() if key not in _LINK_NOISE}
    kept["flags"] = sorted(set(link["flags"]) - _FLAG_NOISE)
    info = dict(link.get("linkinfo", {}))
    for part in ("info_data", "info_slave_data"):
        if part in info:
            info[part] = {
                key: value
                for key, value in info[part].items()
                if key not in _INFO_NOISE and not key.endswith("_timer")
            }
    if info:
        kept["linkinfo"] = info
    return kept


def _by_link(address: dict[str, Any]) -> bool:
    """Tell whether the kernel made the address because the link came up."""
    if address["family"] != "inet6" or address["scope"] != "link":
        return False
    if "protocol" in address:
        return bool(address["protocol"] == "kernel_ll")
    # ip 6.1 does not say who made an address; the kernel's are of the MAC (EUI-64).
    return socket.inet_pton(socket.AF_INET6, address["local"])[11:13] == b"\xff\xfe"


def _address(address: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in address.items() if key not in ("tentative", "dadfailed")}
    for key in ("valid_life_time", "preferred_life_time"):
        if key in kept:
            kept[key] = "forever" if kept[key] == _FOREVER else "limited"
    return kept


def _follows(route: dict[str, Any]) -> bool:
    """Tell whether the kernel made the route of an address (if IPv6: once it is known unique)."""
    if route.get("protocol") != "kernel":
        return False
    target: str = route["dst"]
    return route["type"] != "unicast" or target.startswith("fe80:")


def _route(route: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in route.items() if key != "expires"}
    kept["flags"] = [f for f in route.get("flags", ()) if f not in ("linkdown", "dead")]
    return kept


def _is_set(entry: dict[str, Any]) -> bool:
    """Tell whether somebody set a bridge's fdb entry, rather than a frame or a multicast join."""
    joined = entry["mac"].startswith(("33:33:", "01:00:5e:")) and "dst" not in entry
    return entry.get("state") in ("permanent", "static") and not joined


def veth(a: NetworkNamespace, a_name: str, b: NetworkNamespace, b_name: str) -> None:
    """Lay a wire from a to b (both may be the same) and bring both its ends up."""
    a.ip("link", "add", "name", a_name, "up", "type", "veth", "peer", "name", b_name,
         "netns", b.path)  # fmt: skip
    b.ip("link", "set", "dev", b_name, "up")
