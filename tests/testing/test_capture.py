# SPDX-License-Identifier: Apache-2.0
"""Capture and TapEnd: the frames at either end of a wire."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

import pytest

from vifplug.testing import Capture, NetworkNamespace, TapEnd, dhcp_discover_from, veth

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace needs root")

GUEST = "fa:16:3e:12:34:56"
BROADCAST, GUEST_BYTES = b"\xff" * 6, bytes.fromhex("fa163e123456")
FRAME = BROADCAST + GUEST_BYTES + b"\x88\xb5" + b"hello".ljust(50, b".")


def dhcp(
    *,
    source: bytes = GUEST_BYTES,
    chaddr: bytes = GUEST_BYTES,
    ports: tuple[int, int] = (68, 67),
    options: bytes = b"\x35\x01\x01\xff",
    tag: bytes = b"",
) -> bytes:
    message = struct.pack("!BBBB24x", 1, 1, 6, 0) + chaddr.ljust(208, b"\0") + b"\x63\x82\x53\x63"
    message += options
    udp = struct.pack("!HHHH", *ports, 8 + len(message), 0) + message
    packet = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, b"", b"") + udp
    return BROADCAST + source + tag + b"\x08\x00" + packet


@pytest.mark.parametrize(
    "frame",
    [
        dhcp(),
        dhcp(tag=b"\x81\x00\x00\x64"),
        dhcp(options=b"\x00\x39\x02\x05\xc0\x35\x01\x01\xff"),
    ],
    ids=["plain", "tagged", "other options first"],
)
def test_a_dhcp_discover_is_known(frame: bytes) -> None:
    assert dhcp_discover_from(GUEST)(frame)
    assert dhcp_discover_from(GUEST.upper())(frame)
    assert not dhcp_discover_from("fa:16:3e:00:00:00")(frame)


@pytest.mark.parametrize(
    "frame",
    [
        dhcp(source=b"\x02" * 6),
        dhcp(chaddr=b"\x02" * 6),
        dhcp(ports=(67, 68)),
        dhcp(options=b"\x35\x01\x03\xff"),
        dhcp(options=b"\xff"),
        dhcp()[:60],
        dhcp()[:14],
        FRAME,
        b"",
    ],
)
def test_other_frames_are_no_dhcp_discover(frame: bytes) -> None:
    assert not dhcp_discover_from(GUEST)(frame)


@pytest.fixture
def near() -> Iterator[NetworkNamespace]:
    with NetworkNamespace(name="near") as made:
        made.ip("link", "add", "br0", "up", "type", "bridge", "mcast_snooping", "0")
        yield made


@pytest.fixture
def far(near: NetworkNamespace) -> Iterator[NetworkNamespace]:
    with NetworkNamespace(name="far") as made:
        veth(near, "up0", made, "far")
        near.ip("link", "set", "up0", "master", "br0")
        yield made


def tap(namespace: NetworkNamespace, name: str, *flags: str) -> None:
    namespace.ip("tuntap", "add", "name", name, "mode", "tap", *flags)
    namespace.ip("link", "set", name, "master", "br0", "up")


@pytest.mark.parametrize("tag", [b"", b"\x81\x00\x60\x64"], ids=["plain", "tagged"])
def test_a_frame_crosses_a_wire_with_its_tag(
    near: NetworkNamespace, far: NetworkNamespace, tag: bytes
) -> None:
    frame = FRAME[:12] + tag + FRAME[12:]
    with Capture(near, "up0") as sender, Capture(far, "far") as receiver:
        sender.send(frame)
        assert receiver.wait_for(lambda seen: b"hello" in seen, 5) == frame


def test_no_such_frame(near: NetworkNamespace, far: NetworkNamespace) -> None:
    with Capture(near, "up0") as sender, Capture(far, "far") as receiver:
        sender.send(FRAME)
        with pytest.raises(TimeoutError, match=r"far: none of the [1-9]"):
            receiver.wait_for(lambda seen: False, 0.2)


def test_frames_wait_until_they_are_asked_for(
    near: NetworkNamespace, far: NetworkNamespace
) -> None:
    with Capture(near, "up0") as sender, Capture(far, "far") as receiver:
        numbered = [FRAME + bytes([n]) for n in range(100)]
        for frame in numbered:
            sender.send(frame)
        assert [frame for frame in receiver.frames(0.1) if frame[:55] == FRAME[:55]] == numbered


def test_no_such_interface(near: NetworkNamespace) -> None:
    with pytest.raises(OSError), Capture(near, "nosuch"):
        pass


@pytest.mark.parametrize(
    ("flags", "queues"),
    [((), 1), (("vnet_hdr",), 1), (("multi_queue",), 1), (("multi_queue", "vnet_hdr"), 3)],
    ids=" ".join(("plain", "vnet_hdr", "multi_queue", "all")).split(),
)
def test_a_guests_frames_go_both_ways(
    near: NetworkNamespace, far: NetworkNamespace, flags: tuple[str, ...], queues: int
) -> None:
    tap(near, "tap0", *flags)
    before = near.everything()
    with TapEnd(near, "tap0", queues=queues) as guest, Capture(far, "far") as wire:
        assert "LOWER_UP" in near.ip_json("link", "show", "tap0")[0]["flags"]
        guest.send(FRAME)
        assert wire.wait_for(lambda seen: b"hello" in seen, 5) == FRAME
        answer = GUEST_BYTES + b"\x02" * 6 + FRAME[12:]
        wire.send(answer)
        while (seen := guest.receive(5)) != answer:
            assert b"hello" not in seen
    assert near.everything() == before


def test_a_guest_hears_nothing(near: NetworkNamespace) -> None:
    near.run("sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1")
    near.ip("tuntap", "add", "name", "tap0", "mode", "tap")
    near.ip("link", "set", "tap0", "up")
    with TapEnd(near, "tap0") as guest, pytest.raises(TimeoutError, match="tap0"):
        guest.receive(0.1)


def test_a_tap_that_is_not_there_is_not_made(near: NetworkNamespace) -> None:
    for name in ("tap0", "br0"):
        with pytest.raises(LookupError, match=f"no tap device {name}"), TapEnd(near, name):
            pass
    assert [link["ifname"] for link in near.ip_json("link")] == ["lo", "br0"]


def test_more_queues_than_the_tap_has(near: NetworkNamespace) -> None:
    tap(near, "tap0")
    with pytest.raises(ValueError, match="no multi_queue"), TapEnd(near, "tap0", queues=2):
        pass


def test_a_tap_in_use(near: NetworkNamespace) -> None:
    tap(near, "tap0")
    with TapEnd(near, "tap0"), pytest.raises(OSError, match="busy"), TapEnd(near, "tap0"):
        pass
