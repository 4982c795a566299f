# SPDX-License-Identifier: Apache-2.0
"""One rtnetlink(7) socket: requests and their answers, and the devices that the kernel tells of.

Every user may read. ``vifplug.kernel.perform`` changes the host. Several messages go in one send
where they belong together, and every answer is seen.
"""

from __future__ import annotations

import errno
import socket
import weakref
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

from vifplug.kernel.messages import attributes as nl
from vifplug.kernel.messages import links as rt
from vifplug.kernel.messages.addresses import GETADDR, Address, address_request
from vifplug.kernel.messages.neighbours import (
    GETNEIGH,
    GETRULE,
    PROXY,
    Neighbour,
    neighbour_request,
    rule_of,
    rule_request,
)
from vifplug.kernel.messages.routes import GETROUTE, Route, route_request, way_of, way_request
from vifplug.model.link import Link, Vf
from vifplug.model.reached import Reached

_SOL_NETLINK, _CAP_ACK, _EXT_ACK, _STRICT = 270, 10, 11, 12
_WAIT = 30.0  # seconds: the kernel answers at once, but for what waits for its own lock
_NO_STATS = rt.WITHOUT_STATISTICS
_LARGEST = 1 << 17
"""Bytes of a datagram: an attribute has at most 64 KiB, a dump comes in pieces of 32 KiB."""

Request = tuple[int, int, bytes]
"""Type, flags and body of a message."""


class KernelError(OSError):
    """The kernel refused a request; carries errno, and the kernel's own words where it has any."""


class Netlink:
    """One netlink socket, in the network namespace of the thread that opens it."""

    def __init__(self, protocol: int = socket.NETLINK_ROUTE) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_NETLINK, kind, protocol)
        for option in (_CAP_ACK, _EXT_ACK, _STRICT):
            self._socket.setsockopt(_SOL_NETLINK, option, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._socket.settimeout(_WAIT)
        self._socket.bind((0, 0))
        # A Host reads lazily, so no caller knows when to close. The socket closes with this object.
        weakref.finalize(self, self._socket.close)
        self._sequence = 0
        self._names: dict[int, str] = {}
        # One for all answers: memory of this size is the system's to give, and to take back.
        self._buffer = memoryview(bytearray(_LARGEST))

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
        return self._get(_by_name(name))

    def named(self, names: Sequence[str]) -> dict[str, Link]:
        """Return those of some devices that are there, by their first names; asked in one go."""
        found: list[bytes] = []
        asked = [(rt.GETLINK, nl.ACK, _by_name(name)) for name in names]
        for answers, error in self.exchange(asked):
            if error and error.errno != errno.ENODEV:
                raise error
            found += answers
        # A device that was asked for by two of its names came twice.
        return self._decoded([*dict.fromkeys(found)])

    def bearing(self, altnames: Sequence[str]) -> set[str]:
        """Return those of some alternative names that a device bears; asked in one go."""
        asked = [(rt.GETLINK, nl.ACK, _by_name(name)) for name in altnames]
        answers = zip(altnames, self.exchange(asked) if asked else (), strict=True)
        return {name for name, (_, error) in answers if error is None}

    def link_at(self, index: int) -> tuple[str, Link] | None:
        """Return the device of this index, and its name."""
        return self._get(rt.link_body(_NO_STATS, index=index))

    def vfs(self, index: int) -> dict[int, Vf]:
        """Return what the physical function of this index lets its virtual ones do, by number."""
        wanted = nl.attribute(rt.EXT_MASK, nl.u32(rt.SKIP_STATS | rt.WITH_VFS))
        (found,) = self.request((rt.GETLINK, nl.ACK, rt.link_body(wanted, index=index)))
        return rt.decode_vfs(found[0])

    def links(self, *, master: str | None = None) -> dict[str, Link]:
        """Return all devices by name, or the ports of one bridge."""
        wanted = b""
        if master is not None:
            found = self.link(master)
            if found is None:
                return {}
            wanted = nl.attribute(rt.MASTER, nl.u32(found[1].index))
        return self._decoded(self.dump(rt.GETLINK, rt.link_body(wanted, _NO_STATS)))

    def firewalls(
        self, names: Sequence[str] | None = None
    ) -> dict[str, tuple[int, tuple[str, ...]]]:
        """Return bridges by name: their indexes, and the firewalls that each calls by itself.

        These are the bridges of some names, as far as they are there, or all.
        """
        if names is None:
            bodies = self.dump(rt.GETLINK, rt.link_body(rt.of_kind("bridge"), _NO_STATS))
        else:
            asked = [(rt.GETLINK, nl.ACK, _by_name(name)) for name in names]
            bodies = [body for found, _ in self.exchange(asked) for body in found] if asked else []
        calls = {rt.name_in(body): rt.decode_calls(body) for body in bodies}
        return {name: each for name, each in calls.items() if each}

    def links_naming(self, *texts: str) -> dict[str, Link]:
        """Return the devices in whose description a text stands, as in an alternative name."""
        wanted = [text.encode() for text in texts]
        raw = self.dump(rt.GETLINK, rt.link_body(_NO_STATS))
        return self._decoded([body for body in raw if any(text in body for text in wanted)])

    def links_above(self, index: int) -> dict[str, Link]:
        """Return the devices that may lie on the device of this index."""
        wanted = nl.attribute(rt.LINK, nl.u32(index))
        raw = self.dump(rt.GETLINK, rt.link_body(_NO_STATS))
        return self._decoded([body for body in raw if wanted in body])

    def addresses(self, index: int) -> list[Address]:
        """Return the IP addresses of the device of this index, in the kernel's order."""
        raw = self.dump(GETADDR, address_request(index))
        # A kernel that doesn't filter (before strict checking) sends every device's.
        return [found for found in map(Address.decode, raw) if found.index == index]

    def routes(self, index: int) -> list[Route]:
        """Return the routes through the device of this index, of all tables, in their order."""
        return [
            route
            for family in (socket.AF_INET, socket.AF_INET6)
            for body in self.dump(GETROUTE, route_request(family, index))
            for route in Route.decode(body, index)
        ]

    def reached(self, to: str) -> Reached | None:
        """Return how this host reaches an IP address; None where it does not."""
        ((found, error),) = self.exchange([(GETROUTE, nl.ACK, way_request(to))])
        if error or not found:
            return None
        index, own, alone = way_of(found[0])
        device = self._name(index)
        return Reached(device=device, own=own, alone=alone) if device else None

    def neighbours(self, index: int) -> list[Neighbour]:
        """Return the permanent neighbours on the device of this index."""
        return [one for one in self._neighbours(index, proxy=False) if one.permanent]

    def _neighbours(self, index: int, *, proxy: bool) -> Iterator[Neighbour]:
        for family in (socket.AF_INET, socket.AF_INET6):
            for body in self.dump(GETNEIGH, neighbour_request(family, index, proxy=proxy)):
                found = Neighbour.decode(body)
                if found.index == index and bool(found.flags & PROXY) == proxy:
                    yield found

    def naming(self, device: str, index: int) -> list[str]:
        """Return in a few words each rule that names a device, and each address it stands for."""
        rules = (
            rule_of(body, device)
            for family in (socket.AF_INET, socket.AF_INET6)
            for body in self.dump(GETRULE, rule_request(family))
        )
        proxies = (f"proxy for {one.address}" for one in self._neighbours(index, proxy=True))
        return [*dict.fromkeys(rule for rule in rules if rule), *proxies]

    def _get(self, body: bytes) -> tuple[str, Link] | None:
        try:
            (found,) = self.request((rt.GETLINK, nl.ACK, body))
        except KernelError as error:
            if error.errno == errno.ENODEV:
                return None
            raise
        return next(iter(self._decoded(found).items()), None)

    def _decoded(self, raw: Sequence[bytes]) -> dict[str, Link]:
        decoded = [rt.decode_link(body) for body in raw]
        self._names |= {one.link.index: one.name for one in decoded}
        return {
            one.name: one.link.but(
                {"master": self._name(one.master), "lower": self._name(one.lower)}
            )
            if one.master or one.lower
            else one.link
            for one in decoded
        }

    def _name(self, index: int) -> str | None:
        if index == 0:
            return None
        if index not in self._names:
            self.link_at(index)
        return self._names.get(index)

    def request(self, *requests: Request) -> list[list[bytes]]:
        """Send requests in one go; return what each was answered. Raises the first KernelError."""
        outcome = self.exchange(requests)
        for _, error in outcome:
            if error is not None:
                raise error
        return [found for found, _ in outcome]

    def exchange(self, requests: Sequence[Request]) -> list[tuple[list[bytes], KernelError | None]]:
        """Send requests in one go; return what each was answered and how it was refused."""
        first = self._sequence + 1
        self._sequence += len(requests)
        numbers = range(first, first + len(requests))
        each = zip(numbers, requests, strict=True)
        sent = (nl.message(kind, flags, n, body) for n, (kind, flags, body) in each)
        self._socket.send(b"".join(sent))
        found: dict[int, list[bytes]] = {number: [] for number in numbers}
        ended: dict[int, KernelError | None] = {}
        while len(ended) < len(numbers):
            for kind, _, number, body in nl.split(self._datagram()):
                if number not in found:
                    continue  # an answer that an earlier, interrupted request left behind
                if kind == nl.ERROR:
                    ended[number] = _error(body)
                else:
                    found[number].append(body)
        return [(found[number], ended[number]) for number in numbers]

    def dump(self, kind: int, body: bytes) -> list[bytes]:
        """Return the bodies of all answers; asked again where the kernel says it changed."""
        while True:
            self._sequence += 1
            self._socket.send(nl.message(kind, nl.DUMP, self._sequence, body))
            found, whole = self._dumped(self._sequence)
            if whole:
                return found

    def _datagram(self) -> bytes:
        size = self._socket.recv_into(self._buffer, 0, socket.MSG_TRUNC)
        if size > _LARGEST:
            raise OSError(errno.EMSGSIZE, f"the kernel sent {size} bytes at once")
        return bytes(self._buffer[:size])

    def _dumped(self, number: int) -> tuple[list[bytes], bool]:
        found: list[bytes] = []
        whole = True
        while True:
            for kind, flags, answered, body in nl.split(self._datagram()):
                if answered != number:
                    continue
                whole = whole and not flags & nl.INTERRUPTED
                if kind == nl.DONE:
                    return found, whole
                if kind == nl.ERROR and (error := _error(body)):
                    raise error
                found.append(body)


def _by_name(name: str) -> bytes:
    """Return the question about the device that has this name or alternative name."""
    kind = rt.IFNAME if len(name) < 16 else rt.ALT_IFNAME
    return rt.link_body(nl.attribute(kind, nl.text(name)), _NO_STATS)


def _error(body: bytes) -> KernelError | None:
    failure = nl.failure(body)
    return KernelError(*failure) if failure else None
