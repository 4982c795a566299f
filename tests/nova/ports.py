# SPDX-License-Identifier: Apache-2.0
"""Ports of Neutron's, and pings of guests that have an address of their own."""

from __future__ import annotations

import itertools
import struct
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from vifplug.testing import Capture, NetworkNamespace

_NUMBERS = itertools.count(1)
_PINGER = "10.9.255.254"
_EVERY = 0.02


@dataclass(frozen=True)
class Port:
    """A port as Neutron has it, bound as a vif_type."""

    vif_type: str = "ovs"
    details: dict[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    number: int = field(default_factory=lambda: next(_NUMBERS))

    @property
    def mac(self) -> str:
        return f"fa:16:3e:00:{self.number >> 8:02x}:{self.number & 255:02x}"

    @property
    def ip(self) -> str:
        return f"10.9.{self.number >> 8}.{self.number & 255}"

    @property
    def ipxe(self) -> str:
        """What a guest does that takes the port's address and answers pings from then on."""
        return (
            f"set net0/ip {self.ip} && set net0/netmask 255.255.0.0 && ifopen net0 && sleep 999999"
        )

    @property
    def tap(self) -> str:
        return f"tap{self.id[:11]}"

    def data(self) -> dict[str, Any]:
        bridge = {"bridge_name": "br-int", "datapath_type": "netdev"}
        details = (bridge if self.vif_type == "ovs" else {}) | {"port_filter": True}
        return {
            "id": self.id,
            "mac_address": self.mac,
            "binding:vif_type": self.vif_type,
            "binding:vif_details": details | self.details,
        }


def hybrid() -> Port:
    return Port("ovs", {"ovs_hybrid_plug": True})


@dataclass
class Pings:
    """How many echo requests went out, and the numbers of those that were answered."""

    sent: int = 0
    answered: set[int] = field(default_factory=set)

    @property
    def lost(self) -> int:
        return self.sent - len(self.answered)


@contextmanager
def pinging(far: NetworkNamespace, device: str, ports: list[Port]) -> Iterator[dict[str, Pings]]:
    """Ping guests from the far side, fifty times a second each, for the length of a block."""
    found = {port.id: Pings() for port in ports}
    stop = threading.Event()

    def send(wire: Capture) -> None:
        while not stop.is_set():
            for port in ports:
                found[port.id].sent += 1
                wire.send(_echo(own, port, found[port.id].sent))
            time.sleep(_EVERY)

    far.ip("addr", "replace", f"{_PINGER}/16", "dev", device)
    (link,) = far.ip_json("link", "show", device)
    own = _bytes(link["address"])
    by_mac = {_bytes(port.mac): port for port in ports}

    def listen(wire: Capture, until: float) -> None:
        for frame in wire.frames(until):
            port = by_mac.get(frame[6:12])
            if port and frame[:6] == own and frame[12:14] == b"\x08\x00" and frame[34] == 0:
                found[port.id].answered.add(struct.unpack("!H", frame[40:42])[0])

    with Capture(far, device) as wire:
        _introduce(wire, own, ports)
        thread = threading.Thread(target=send, args=(wire,))
        thread.start()
        try:
            yield found
        finally:
            stop.set()
            thread.join()
            listen(wire, 1.0)


def _introduce(wire: Capture, own: bytes, ports: list[Port]) -> None:
    """Tell the guests who pings, until each has said that it is there."""
    waiting = {_bytes(port.mac): port for port in ports}
    until = time.monotonic() + 60
    while waiting:
        if time.monotonic() > until:
            raise TimeoutError(f"no answer from {[port.ip for port in waiting.values()]}")
        for port in waiting.values():
            wire.send(_arp(own, port))
        for frame in wire.frames(0.2):
            if frame[12:14] == b"\x08\x06" and frame[20:22] == b"\x00\x02":
                waiting.pop(frame[6:12], None)


def _arp(own: bytes, port: Port) -> bytes:
    ethernet = b"\xff" * 6 + own + b"\x08\x06"
    ours = own + _ip(_PINGER)
    return ethernet + struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + ours + b"\0" * 6 + _ip(port.ip)


def _echo(own: bytes, port: Port, number: int) -> bytes:
    ethernet = _bytes(port.mac) + own + b"\x08\x00"
    icmp = struct.pack("!BBHHH", 8, 0, 0, 1, number) + b"ping" * 4
    icmp = icmp[:2] + struct.pack("!H", _sum(icmp)) + icmp[4:]
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(icmp), 0, 0, 64, 1, 0)
    header += _ip(_PINGER) + _ip(port.ip)
    header = header[:10] + struct.pack("!H", _sum(header)) + header[12:]
    return ethernet + header + icmp


def _ip(text: str) -> bytes:
    return bytes(int(part) for part in text.split("."))


def _bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def _sum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF
