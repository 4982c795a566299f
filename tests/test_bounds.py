# SPDX-License-Identifier: Apache-2.0
"""Bounds that need no daemon: of fields, of what errors show, of calls that wait for their turn."""

from __future__ import annotations

import importlib
import inspect
import socket
import threading
import time
from typing import Any

import pytest
from oslo_privsep.comm import Message, Serializer, ServerChannel

from tests.planning import GOOD, PLUGINS
from vifplug.daemon import frames
from vifplug.daemon.request import LARGEST, MOST_PARTS, MOST_VIFS, PlugVIF, UnplugVIF, pieces
from vifplug.errors import InvalidVIF, shown
from vifplug.fields import Many, NotAllowed, kinds
from vifplug.model.vif import VIF
from vifplug.parts import build
from vifplug.plan.shape import require_used
from vifplug.testing.cases import Case

pytestmark = pytest.mark.unit

ID = "0b6a9d0e-7a3c-4a6e-9d55-3f1f0a3c2b11"
FIELDS = [
    pytest.param(record, name, id=f"{record.__name__}.{name}")
    for record in (PlugVIF, UnplugVIF, *PLUGINS.kinds)
    for name in kinds(record)
]
LONG = ("a", "0", "f", "-", "/a", "fa:", "0.", "::", "br-", " ", "0123-", "\n", "\u00e9")


@pytest.mark.parametrize(("record", "name"), FIELDS)
def test_each_field_of_a_request_is_bounded(record: type[Any], name: str) -> None:
    kind = kinds(record)[name]
    for piece in LONG:
        for count in (300, 5_000, 100_000):
            with pytest.raises(NotAllowed) as error:
                kind.check(piece * count, lenient=False)
            assert len(error.value.value) <= 80
    for many in (["a"] * 1025, [{}] * 1025, ["a" * 100_000], [{"a" * 9: 1}] * 100_000):
        with pytest.raises(NotAllowed) as error:
            kind.check(many, lenient=False)
        assert len(error.value.value) <= 80
    with pytest.raises(NotAllowed):
        kind.check(1 << 70, lenient=False)


def test_each_list_of_a_part_is_short() -> None:
    many = [k for kind in PLUGINS.kinds for k in kinds(kind).values() if isinstance(k, Many)]
    assert many
    for kind in many:
        with pytest.raises(NotAllowed):
            kind.check(["a"] * 65, lenient=False)


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.name)
def test_the_parts_that_a_plugin_wires_are_within_the_bounds(case: Case) -> None:
    parts = case.wiring.parts
    assert len(parts) <= MOST_PARTS // 4
    require_used(parts)


def test_a_shared_device_needs_a_user() -> None:
    bridge = build({"kind": "bridge", "name": "br0", "create": True}, PLUGINS.kinds)
    claim = build({"kind": "claim", "on": "br0"}, PLUGINS.kinds)
    port = build({"kind": "port", "device": "tap0", "bridge": "br0"}, PLUGINS.kinds)
    other = build({"kind": "claim", "on": "br1"}, PLUGINS.kinds)
    guest = build({"kind": "guest", "device": "tap0", "bridge": "br0"}, PLUGINS.kinds)
    require_used([])
    require_used([bridge, claim])
    require_used([port, bridge])
    for parts in ([bridge], [bridge, other], [bridge, guest]):
        with pytest.raises(ValueError, match="br0 has no claim or port of this VIF"):
            require_used(parts)


@pytest.mark.parametrize("plugin", sorted({p.privileged() for p in PLUGINS.values()}))
@pytest.mark.parametrize("name", ["plug", "unplug"])
def test_an_entry_point_takes_the_request_only(plugin: str, name: str) -> None:
    entrypoint = getattr(importlib.import_module(plugin), name)
    assert list(inspect.signature(entrypoint.args[0]).parameters) == ["request"]


# What errors show.

HUGE = {
    "text": "x" * 1_000_000,
    "bytes": b"x" * 1_000_000,
    "number": 10**5000,
    "list": ["x"] * 1_000_000,
    "object": {str(number): number for number in range(100_000)},
    "control": "\x1b[31m\x07\x9b\u202e",
    "surrogate": "\udcff" * 100,
}


@pytest.mark.parametrize("value", HUGE.values(), ids=HUGE)
def test_a_value_is_shown_in_one_short_line(value: Any) -> None:
    deep: Any = value
    for _ in range(100_000):
        deep = [deep]
    for each in (value, [value], {"a": value}, (value,), {"\x1b": value}, deep):
        text = shown(each)
        assert len(text) <= 80
        assert text.isprintable()
        assert text.isascii()


def test_a_small_value_is_shown_as_it_is() -> None:
    for value in ("x", b"x", 7, -1, 1.5, True, None, [], {}, (), (1,), [1, "a"], {"a": [{"b": 1}]}):
        assert shown(value) == repr(value)


@pytest.mark.parametrize("name", ["x" * 100_000, "\x1b[31m" * 100_000, "\u202e" * 10])
def test_a_fields_name_is_shown_short(name: str) -> None:
    for data in ({name: 1}, {"network": {name: 1}}, {"details": {name: 1}}):
        with pytest.raises(InvalidVIF) as error:
            plugin = PLUGINS["bridge"]({})
            plugin.check(VIF.from_dict({"id": ID, "vif_type": "bridge", "network": {"bridge": "b"},
                                        "address": "fa:16:3e:00:00:01", **data}))  # fmt: skip
        assert len(str(error.value)) < 1000
        assert str(error.value).isprintable()


def test_a_number_of_any_size_is_refused_by_its_field() -> None:
    data = {"id": ID, "vif_type": "bridge", "address": "fa:16:3e:00:00:01"}
    with pytest.raises(InvalidVIF, match=r"network\.mtu is a whole number of"):
        VIF.from_dict({**data, "network": {"mtu": 10**5000}})


# Requests of many VIFs.


def test_vifs_are_sent_in_pieces_that_a_daemon_takes() -> None:
    ids = [f"{number:08x}{ID[8:]}" for number in range(MOST_VIFS + 1)]
    found = list(pieces([UnplugVIF(vif_id=each) for each in ids]))
    assert [len(piece) for piece in found] == [MOST_VIFS, 1]
    part = {"kind": "x", "name": "y" * 100_000}
    large = [PlugVIF(vif_id=each, vif_type="x", parts=(part,)) for each in ids[:100]]
    found_large = list(pieces(large))
    assert [vif for piece in found_large for vif in piece] == large
    assert len(found_large) == -(-100 * 100_000 // LARGEST)
    twice = [UnplugVIF(vif_id=each) for each in (ids[0], ids[1], ids[0])]
    assert [len(piece) for piece in pieces(twice)] == [2, 1]


# Calls that wait.


def test_calls_are_not_read_while_too_many_wait() -> None:
    near, far = socket.socketpair()
    with near, far:
        channel = ServerChannel(near)
        frames.bound(channel)
        numbers: list[str] = []

        def read() -> None:
            numbers.extend(number for number, _ in channel)

        def send() -> None:
            sender = Serializer(far)
            padding = ["x" * 4000] * 1000
            for number in range(20):
                sender.send((str(number), (Message.CALL.value, "a.b", ({"vifs": padding},), {})))
            far.shutdown(socket.SHUT_WR)

        threads = [threading.Thread(target=each, daemon=True) for each in (read, send)]
        for thread in threads:
            thread.start()
        _wait_for(lambda: len(numbers) >= 8)
        time.sleep(0.3)  # in which nothing more may come
        assert [int(number) for number in numbers] == list(range(8))
        for number in range(20):
            _wait_for(lambda number=number: str(number) in numbers)
            channel.send((str(number), (Message.RET.value, [])))
        for thread in threads:
            thread.join(15)
        assert [int(number) for number in numbers] == list(range(20))


def _wait_for(condition: Any) -> None:
    until = time.monotonic() + 15
    while not condition() and time.monotonic() < until:
        time.sleep(0.01)
