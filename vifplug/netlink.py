# SPDX-License-Identifier: Apache-2.0
"""How devices are read, made, changed and removed: rtnetlink, tun and sysctl.

Plain code that knows nothing of privilege: reading works for everyone, the rest needs
CAP_NET_ADMIN. One socket carries every message, several in one send where they belong together,
and every answer is seen.
"""

from __future__ import annotations

import errno
import fcntl
import os
import random
import socket
import struct
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from vifplug import rtnetlink as rt
from vifplug.host import Link
from vifplug.operations import (
    AddAltname,
    MakeLink,
    Operation,
    RemoveAltname,
    RemoveLink,
    SetLink,
)

_SOL_NETLINK, _CAP_ACK, _EXT_ACK, _STRICT = 270, 10, 11, 12
_WAIT = 30.0  # seconds: the kernel answers at once, but for what waits for its own lock

_TUNSETIFF, _TUNSETPERSIST = 0x400454CA, 0x400454CB
_NO_PI, _VNET_HDR, _MULTI_QUEUE, _TUN_EXCL = 0x1000, 0x4000, 0x100, 0x8000
_SYSCTLS: Mapping[str, str] = {
    "ipv6": "ipv6/conf/{}/disable_ipv6",
    "arp_ignore": "ipv4/conf/{}/arp_ignore",
    "arp_announce": "ipv4/conf/{}/arp_announce",
}
_SYSCTL_ROOT = Path("/proc/sys/net")
_NO_STATS = rt.attribute(rt.EXT_MASK, rt.u32(rt.SKIP_STATS))
_RECEIVE = 1 << 20
_BRIDGE = {"stp": rt.BR_STP_STATE, "forward_delay": rt.BR_FORWARD_DELAY}

_Request = tuple[int, int, bytes]
"""Type, flags and body of a message."""


class KernelError(OSError):
    """The kernel refused a request; carries errno, and the kernel's own words where it has any."""


class Refused(Exception):
    """An operation would touch a device that is not the one it was meant for."""


class Netlink:
    """One rtnetlink socket, in the network namespace of the thread that opens it."""

    def __init__(self) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
        for option in (_CAP_ACK, _EXT_ACK, _STRICT):
            self._socket.setsockopt(_SOL_NETLINK, option, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._socket.settimeout(_WAIT)
        self._socket.bind((0, 0))
        # A Host's links are read when they are asked for, so nobody can say when to close.
        weakref.finalize(self, self._socket.close)
        self._sequence = 0
        self._names: dict[int, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    # Reading.

    def link(self, name: str) -> tuple[str, Link] | None:
        """Return the device that has this name or alternative name, and its first name."""
        kind = rt.IFNAME if len(name) < 16 else rt.ALT_IFNAME
        return self._get(rt.link_body(rt.attribute(kind, rt.text(name)), _NO_STATS))

    def link_at(self, index: int) -> tuple[str, Link] | None:
        """Return the device of this index, and its name."""
        return self._get(rt.link_body(_NO_STATS, index=index))

    def links(self, *, master: str | None = None) -> dict[str, Link]:
        """Return all devices by name, or the ports of one bridge."""
        wanted = b""
        if master is not None:
            found = self.link(master)
            if found is None:
                return {}
            wanted = rt.attribute(rt.MASTER, rt.u32(found[1].index))
        return self._decoded(self._dump(rt.GETLINK, rt.link_body(wanted, _NO_STATS)))

    def links_naming(self, text: str) -> dict[str, Link]:
        """Return the devices in whose description this text stands, as in an alternative name."""
        raw = self._dump(rt.GETLINK, rt.link_body(_NO_STATS))
        return self._decoded([body for body in raw if text.encode() in body])

    def addresses(self, index: int) -> tuple[str, ...]:
        """Return the IP addresses of the device of this index, in the kernel's order."""
        raw = self._dump(rt.GETADDR, rt.address_body(index))
        # A kernel that doesn't filter (before strict checking) sends every device's.
        return tuple(text for at, text in map(rt.decode_address, raw) if at == index)

    def _get(self, body: bytes) -> tuple[str, Link] | None:
        try:
            (found,) = self._request((rt.GETLINK, rt.ACK, body))
        except KernelError as error:
            if error.errno == errno.ENODEV:
                return None
            raise
        return next(iter(self._decoded(found).items()), None)

    def _decoded(self, raw: Sequence[bytes]) -> dict[str, Link]:
        decoded = [rt.decode_link(body) for body in raw]
        self._names |= {index: name for name, index, _, _ in decoded}
        return {
            name: replace(link, master=self._name(master)) if master else link
            for name, _, master, link in decoded
        }

    def _name(self, index: int) -> str | None:
        if index not in self._names:
            self.link_at(index)
        return self._names.get(index)

    # Changing.

    def perform(self, operation: Operation) -> None:
        """Make one change. Raises KernelError, OSError or Refused; then nothing was changed."""
        match operation:
            case MakeLink(kind="tap"):
                self._make_tap(operation)
            case MakeLink():
                self._make_link(operation)
            case RemoveLink():
                self._remove_link(operation)
            case SetLink(attribute=name) if name in _SYSCTLS:
                _write_sysctl(operation)
            case SetLink():
                self._set_link(operation)
            case AddAltname(device=device, altname=altname):
                self._add_altname(device, altname)
            case RemoveAltname(device=device, altname=altname):
                self._remove_altname(device, altname)
            case _:
                raise Refused(f"{operation!r} is no operation on devices")

    def _make_link(self, operation: MakeLink) -> None:
        settings = {"stp": operation.stp, "forward_delay": operation.forward_delay}
        data = [_setting(name, value) for name, value in settings.items() if value is not None]
        kind = rt.attribute(rt.INFO_KIND, rt.text(operation.kind))
        address = bytes.fromhex((operation.address or _random_address()).replace(":", ""))
        index = self._free_index()
        body = rt.link_body(
            rt.attribute(rt.IFNAME, rt.text(operation.device)),
            rt.attribute(rt.ADDRESS, address),
            rt.attribute(rt.MTU, rt.u32(operation.mtu)) if operation.mtu else b"",
            rt.nest(rt.LINKINFO, kind, *([rt.nest(rt.INFO_DATA, *data)] if data else [])),
            index=index,
        )
        make = (rt.NEWLINK, rt.ACK | rt.CREATE_NEW, body)
        # The mark goes by the index that we chose, in the same send: never by name, which a
        # stranger's device may have.
        (_, refused), (_, unmarked) = self._exchange([make, _prop(True, index, operation.mark)])
        if refused is not None:
            if unmarked is None:  # a stranger took the index meanwhile and got our mark
                self._request(_prop(False, index, operation.mark))
            raise refused
        if unmarked is not None:
            self._request((rt.DELLINK, rt.ACK, rt.link_body(index=index)))
            raise unmarked

    def _make_tap(self, operation: MakeLink) -> None:
        flags = rt.TAP | _NO_PI | _VNET_HDR | _TUN_EXCL
        flags |= _MULTI_QUEUE if operation.multi_queue else 0
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
        try:
            # Until it is made persistent, at the very end, the tap goes away with the descriptor.
            fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", operation.device.encode(), flags))
            found = self.link(operation.device)
            if found is None:
                raise KernelError(errno.ENODEV, "the tap went away while it was made")
            index = found[1].index
            requests = [_prop(True, index, operation.mark)]
            if operation.address:
                address = rt.attribute(
                    rt.ADDRESS, bytes.fromhex(operation.address.replace(":", ""))
                )
                requests.append((rt.SETLINK, rt.ACK, rt.link_body(address, index=index)))
            self._request(*requests)
            fcntl.ioctl(fd, _TUNSETPERSIST, 1)
        finally:
            os.close(fd)

    def _remove_link(self, operation: RemoveLink) -> None:
        found = self.link(operation.device)
        if found is None:
            return
        name, link = found
        marks = [str(mark) for mark in link.marks]
        if operation.mark is not None and operation.mark not in marks:
            return  # another's, made in our place
        if operation.mark is None and (marks or link.kind != operation.kind):
            raise Refused(f"{name} is not the {operation.kind} that was to be removed")
        if operation.unless_used and self._used(name, link):
            return
        try:
            self._request((rt.DELLINK, rt.ACK, rt.link_body(index=link.index)))
        except KernelError as error:
            if error.errno != errno.ENODEV:
                raise

    def _used(self, name: str, link: Link) -> bool:
        claims = any(mark.claim for mark in link.marks)
        return claims or bool(self.links(master=name))

    def _set_link(self, operation: SetLink) -> None:
        index = self._must(operation.device).index
        value = operation.value
        kind, wanted, up = rt.SETLINK, b"", None
        match operation.attribute:
            case "up":
                up = bool(value)
            case "mtu":
                wanted = rt.attribute(rt.MTU, rt.u32(value))
            case "master":
                wanted = rt.attribute(rt.MASTER, rt.u32(self._must(value).index if value else 0))
            case "stp" | "forward_delay":
                # Settings of a kind of device go by NEWLINK, without leave to create.
                kind = rt.NEWLINK
                data = rt.nest(rt.INFO_DATA, _setting(operation.attribute, value))
                bridge = rt.attribute(rt.INFO_KIND, rt.text("bridge"))
                wanted = rt.nest(rt.LINKINFO, bridge, data)
            case other:
                raise Refused(f"{other} of {operation.device} can't be set")
        self._request((kind, rt.ACK, rt.link_body(wanted, index=index, up=up)))

    def _add_altname(self, device: str, altname: str) -> None:
        try:
            self._request(_prop(True, self._must(device).index, altname))
        except KernelError as error:
            found = self.link(altname) if error.errno == errno.EEXIST else None
            if found is None or found[0] != device:
                raise

    def _remove_altname(self, device: str, altname: str) -> None:
        found = self.link(altname)
        if found is not None and found[0] == device:
            self._request(_prop(False, found[1].index, altname))

    def _must(self, device: str) -> Link:
        found = self.link(device)
        if found is None:
            raise KernelError(errno.ENODEV, f"{device}: {os.strerror(errno.ENODEV)}")
        return found[1]

    def _free_index(self) -> int:
        while True:
            index = random.randrange(1 << 20, 1 << 30)  # noqa: S311 - not a secret
            if self.link_at(index) is None:
                return index

    # The wire.

    def _request(self, *requests: _Request) -> list[list[bytes]]:
        """Send requests in one go; return what each was answered. Raises the first KernelError."""
        outcome = self._exchange(requests)
        for _, error in outcome:
            if error is not None:
                raise error
        return [found for found, _ in outcome]

    def _exchange(
        self, requests: Sequence[_Request]
    ) -> list[tuple[list[bytes], KernelError | None]]:
        first = self._sequence + 1
        self._sequence += len(requests)
        numbers = range(first, first + len(requests))
        each = zip(numbers, requests, strict=True)
        sent = (rt.message(kind, flags, n, body) for n, (kind, flags, body) in each)
        self._socket.send(b"".join(sent))
        found: dict[int, list[bytes]] = {number: [] for number in numbers}
        ended: dict[int, KernelError | None] = {}
        while len(ended) < len(numbers):
            for kind, _, number, body in rt.split(self._socket.recv(_RECEIVE)):
                if number not in found:
                    continue  # an answer that an earlier, interrupted request left behind
                if kind == rt.ERROR:
                    ended[number] = _error(body)
                else:
                    found[number].append(body)
        return [(found[number], ended[number]) for number in numbers]

    def _dump(self, kind: int, body: bytes) -> list[bytes]:
        while True:
            self._sequence += 1
            self._socket.send(rt.message(kind, rt.DUMP, self._sequence, body))
            found, whole = self._dumped(self._sequence)
            if whole:
                return found

    def _dumped(self, number: int) -> tuple[list[bytes], bool]:
        found: list[bytes] = []
        whole = True
        while True:
            for kind, flags, answered, body in rt.split(self._socket.recv(_RECEIVE)):
                if answered != number:
                    continue
                whole = whole and not flags & rt.INTERRUPTED
                if kind == rt.DONE:
                    return found, whole
                if kind == rt.ERROR and (error := _error(body)):
                    raise error
                found.append(body)


def _error(body: bytes) -> KernelError | None:
    failure = rt.failure(body)
    return KernelError(*failure) if failure else None


def _setting(name: str, value: int) -> bytes:
    return rt.attribute(_BRIDGE[name], rt.u32(int(value)))


def _prop(add: bool, index: int, altname: str) -> _Request:
    kind, flags = (rt.NEWLINKPROP, rt.CREATE_NEW) if add else (rt.DELLINKPROP, 0)
    return kind, rt.ACK | flags, rt.prop_body(index, altname)


def _write_sysctl(operation: SetLink) -> None:
    path = _SYSCTL_ROOT / _SYSCTLS[operation.attribute].format(operation.device)
    value = not operation.value if operation.attribute == "ipv6" else operation.value
    try:
        path.write_text(f"{int(value)}\n")
    except FileNotFoundError:
        # A kernel without IPv6, or a device whose MTU is too small for it, has it off already.
        if operation.attribute != "ipv6" or operation.value:
            raise


def _random_address() -> str:
    """Return a random MAC address: locally administered, unicast."""
    first, *rest = os.urandom(6)
    return bytes([(first & 0xFC) | 0x02, *rest]).hex(":")
