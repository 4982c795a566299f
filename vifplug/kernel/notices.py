# SPDX-License-Identifier: Apache-2.0
"""The kernel's notifications on devices, addresses and routes: which devices have changed.

See rtnetlink(7). Every user may listen. The kernel drops notifications that the socket has no room
for, and says so (ENOBUFS).
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterable
from dataclasses import dataclass

from vifplug.kernel.messages import attributes as nl
from vifplug.kernel.messages import links as rt
from vifplug.kernel.messages.addresses import DELADDR, NEWADDR, Address
from vifplug.kernel.messages.routes import DELROUTE, NEWROUTE, Route
from vifplug.kernel.netlink import Netlink

_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1
_SO_RCVBUFFORCE = 33
_GROUPS = (1, 5, 7, 9, 11)
"""RTNLGRP_LINK, _IPV4_IFADDR, _IPV4_ROUTE, _IPV6_IFADDR, _IPV6_ROUTE of linux/rtnetlink.h."""

_ROOM = 8 << 20
"""Bytes that may wait to be read, of which the kernel allows twice as many: 7,000 changes."""

_LARGEST = 1 << 17


@dataclass(frozen=True)
class _Device:
    name: str
    heeds: bool
    """Whether its addresses and routes matter: it is a bridge's port, or a VIF's own device."""
    altnames: tuple[str, ...]
    looks: int
    """A hash of everything that planning may know of the device."""

    @property
    def names(self) -> Iterable[str]:
        return (self.name, *self.altnames)


class Notices:
    """A socket that hears of changes in the network namespace of the thread that opens it."""

    def __init__(self, *, room: int = _ROOM) -> None:
        """``room`` are the bytes that may wait to be read, as far as this user may have them."""
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        self._socket = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        with contextlib.suppress(PermissionError):  # others have what sysctl rmem_max allows
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, room)
        self._socket.bind((0, 0))
        for group in _GROUPS:
            self._socket.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
        self._buffer = memoryview(bytearray(_LARGEST))
        self._devices: dict[int, _Device] = {}
        self._new: set[str] = set()

    def fileno(self) -> int:
        """Return the descriptor that is readable when a notification has come."""
        return self._socket.fileno()

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()

    def learn(self) -> None:
        """Read what all devices look like now: only what differs from that is told later."""
        with Netlink() as netlink:
            bodies = netlink.dump(rt.GETLINK, rt.link_body(rt.WITHOUT_STATISTICS))
        self._devices = {}
        for body in bodies:
            self._note(body)
        self._new.clear()

    def changed(self) -> set[str] | None:
        """Return the names, also alternative ones, of the devices that have changed.

        Does not wait. None: notifications are lost, so any device may have changed.
        """
        names: set[str] = set()
        while True:
            try:
                size = self._socket.recv_into(self._buffer)
            except BlockingIOError:
                return names
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self._drain()
                return None
            for kind, _, _, body in nl.split(bytes(self._buffer[:size])):
                names |= self._told(kind, body)

    def made(self) -> set[str]:
        """Return the names of the devices that are new since this was asked."""
        new, self._new = self._new, set()
        return new

    def _drain(self) -> None:
        """Drop what still waits: a whole look follows."""
        while True:
            try:
                self._socket.recv_into(self._buffer)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise

    def _told(self, kind: int, body: bytes) -> set[str]:
        match kind:
            # Not of family AF_BRIDGE, because a port's own message comes as well.
            case rt.NEWLINK if body[0] == socket.AF_UNSPEC:
                return self._note(body)
            case rt.DELLINK if body[0] == socket.AF_UNSPEC:
                gone = self._devices.pop(rt.index_in(body), None)
                return {*gone.names} if gone else {rt.name_in(body)}
            case _ if kind in (NEWADDR, DELADDR):
                return self._ports([Address.decode(body).index])
            case _ if kind in (NEWROUTE, DELROUTE):
                return self._ports(
                    each for route in Route.decode(body, 0) for each in route.devices
                )
        return set()

    def _note(self, body: bytes) -> set[str]:
        """Note a device as a message tells of it; return its names if it has changed."""
        try:
            decoded = rt.decode_link(body)
        except KeyError:  # a wireless event, which tells nothing of the device itself
            return set()
        link = decoded.link
        if link.kind == "bridge":  # its carrier comes and goes with its ports'
            link = link.but({"carrier": False})
        device = _Device(
            name=decoded.name,
            heeds=bool(decoded.master or link.owners),
            altnames=link.altnames,
            looks=hash(repr((link, decoded.master, decoded.lower))),
        )
        before = self._devices.get(link.index)
        self._devices[link.index] = device
        if before is None:
            self._new.update(device.names)
        if device == before:
            return set()
        return {*device.names, *(before.names if before else ())}

    def _ports(self, indexes: Iterable[int]) -> set[str]:
        """Return the names of those devices that are a bridge's port, or a VIF's own.

        A VIF's tap gets an address where another program turns IPv6 on. Nothing plans by other
        devices' addresses, and a router's advertisements renew them often.
        """
        devices = (self._devices.get(index) for index in indexes)
        return {device.name for device in devices if device and device.heeds}
