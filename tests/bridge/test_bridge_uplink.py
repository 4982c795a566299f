# SPDX-License-Identifier: Apache-2.0
"""The uplink joins the bridge and leaves it: not one address or route is lost on the way."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from oslo_config.fixture import Config

from tests.bridge.vifs import bridge_vif, tap_of
from vifplug import VIF, Conflict, GenericVIFDriver, InvalidVIF
from vifplug.testing import Capture, NetworkNamespace, TapEnd, veth
from vifplug.testing.configured import fork
from vifplug.testing.dumps import differences
from vifplug.testing.faults import matrix
from vifplug.testing.faults.saboteur import AFTER, HALF, REFUSED, Saboteur
from vifplug.testing.faults.scene import Subject
from vifplug_bridge.plugin import BridgePlugin

HOST = """
address add 192.0.2.7/24 broadcast + dev eth1
address add 192.0.2.8/24 dev eth1 label eth1:web
address add 198.51.100.7/25 dev eth1 valid_lft 5000 preferred_lft 4000
address add 203.0.113.7/26 metric 700 dev eth1
address add 10.9.0.7/16 dev eth1 noprefixroute
address add 10.1.0.1 peer 10.1.0.2 dev eth1
address add 2001:db8::7/64 dev eth1 nodad
address add 2001:db8:1::7/64 dev eth1 nodad valid_lft 6000 preferred_lft 5000 mngtmpaddr
address add 2001:db8:2::7/64 metric 77 dev eth1 nodad noprefixroute home
address add fe80::77/64 dev eth1 nodad
route add 10.9.0.0/16 dev eth1 proto kernel scope link src 10.9.0.7 metric 100
route add default via 192.0.2.1 dev eth1 proto dhcp src 192.0.2.7 metric 100 mtu 1400
route add default via 192.0.2.2 dev eth1 proto static metric 300
route append default via 10.99.0.1 dev eth2 proto static metric 300
route add 10.20.0.0/16 via 10.99.0.1 dev eth2 metric 5
route append 10.20.0.0/16 via 192.0.2.1 dev eth1 metric 5
route add 10.21.0.0/16 via 192.0.2.1 dev eth1 metric 5
route append 10.21.0.0/16 via 192.0.2.2 dev eth1 metric 5
route append 10.21.0.0/16 via 10.99.0.1 dev eth2 metric 5
route add 10.30.0.1 dev eth1 scope link
route add 10.31.0.0/16 via 10.30.0.1 dev eth1
route add 10.40.0.0/16 via 172.31.0.1 dev eth1 onlink tos 8
route add 10.50.0.0/16 table 77 via 192.0.2.1 dev eth1
route add 10.60.0.0/16 nexthop via 192.0.2.1 dev eth1 weight 3 nexthop via 10.99.0.1 dev eth2
route add local 10.70.0.0/16 dev eth1 proto static
route add blackhole 10.80.0.0/16
-6 route add 2001:db8:2::/64 dev eth1 proto kernel metric 99
-6 route add default via 2001:db8::1 dev eth1 proto static metric 1024 pref high
-6 route add default via fe80::1 dev eth1 proto ra metric 2048 expires 900
-6 route add 2001:db8:9::/48 via 2001:db8::1 dev eth1 table 78
-6 route add 2001:db8:a::/48 nexthop via 2001:db8::1 dev eth1 nexthop via 2001:db8:f::1 dev eth2
"""


@pytest.fixture
def far() -> Iterator[NetworkNamespace]:
    """What is at the other end of the uplink."""
    with NetworkNamespace(name="far") as made:
        yield made


@pytest.fixture
def host(namespace: NetworkNamespace, far: NetworkNamespace) -> NetworkNamespace:
    """A host with two links, the first of which has whatever a link can have."""
    for name in ("eth1", "eth2"):
        veth(namespace, name, far, name)
        namespace.ip("link", "set", name, "addrgenmode", "none")
    namespace.ip("address", "add", "10.99.0.7/24", "dev", "eth2")
    namespace.ip("address", "add", "2001:db8:f::7/64", "dev", "eth2", "nodad")
    for line in HOST.strip().splitlines():
        namespace.ip(*line.split())
    return namespace


@pytest.fixture
def conf(conf: Config) -> Config:
    """The process' configuration: a bridge goes with its last user."""
    conf.config(group="vifplug_bridge", remove_unused=True)
    return conf


def flat(number: int = 0, **network: object) -> VIF:
    """A VIF of a network whose bridge has an uplink."""
    return bridge_vif(number, **{"mtu": 1500, "interface": "eth1", **network})


def addressing(host: NetworkNamespace, device: str) -> dict[str, Any]:
    """Return what addresses a device has, and the host's routes with the device called uplink.

    An IPv6 route's next hops come sorted: the kernel puts a new one last, and picks by a hash.
    """
    dump = json.loads(json.dumps(host.everything()).replace(f'"{device}', '"uplink'))
    for route in dump["routes"]["inet6"]:
        route.get("nexthops", []).sort(key=str)
    return {"addresses": dump["addresses"]["uplink"], "routes": dump["routes"]}


def test_what_the_uplink_has_moves_to_the_bridge_and_back(
    host: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    before, had = host.everything(), addressing(host, "eth1")
    assert len(had["addresses"]) == 10
    vif = flat()

    assert driver.plug(None, vif).changed
    assert differences(had, addressing(host, "br100")) == []
    plugged = host.everything()
    assert plugged["addresses"]["eth1"] == []
    assert plugged["links"]["eth1"]["master"] == "br100"
    assert plugged["links"]["br100"]["address"] == plugged["links"]["eth1"]["address"]
    assert not driver.check(None, vif)

    driver.unplug(None, vif)
    assert differences(had, addressing(host, "eth1")) == []
    after = host.everything()
    assert differences(before["links"], after["links"]) == []
    assert differences(before["sysctls"], after["sysctls"]) == []


class Conversation:
    """Datagrams from the far side to an address of the host, each of which it answers."""

    def __init__(self, host: NetworkNamespace, far: NetworkNamespace, address: str) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._address, self._over = address, threading.Event()
        self.asked = self.answered = 0
        with host.entered():
            self._host = socket.socket(family, socket.SOCK_DGRAM)
        with far.entered():
            self._far = socket.socket(family, socket.SOCK_DGRAM)
        self._host.bind(("::" if ":" in address else "0.0.0.0", 0))
        self._threads = [threading.Thread(target=one) for one in (self._answer, self._ask)]

    def __enter__(self) -> Conversation:
        for one in (self._host, self._far):
            one.settimeout(1)
        for thread in self._threads:
            thread.start()
        self.goes_on()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(timeout=10)
        self._host.close()
        self._far.close()

    def goes_on(self) -> None:
        """Require that ten more are answered."""
        enough, until = self.answered + 10, time.monotonic() + 30
        while self.answered < enough and time.monotonic() < until:
            time.sleep(0.002)
        assert self.answered >= enough

    def _answer(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(TimeoutError):
                said, who = self._host.recvfrom(64)
                self._host.sendto(said, who)

    def _ask(self) -> None:
        port = self._host.getsockname()[1]
        while not self._over.is_set():
            self.asked += 1
            self._far.sendto(str(self.asked).encode(), (self._address, port))
            with contextlib.suppress(TimeoutError):
                self.answered += self._far.recv(64) == str(self.asked).encode()
            time.sleep(0.002)


def test_a_conversation_goes_on_while_the_uplink_joins_and_leaves(
    host: NetworkNamespace, far: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    far.ip("address", "add", "192.0.2.1/24", "dev", "eth1")
    far.ip("address", "add", "2001:db8::1/64", "dev", "eth1", "nodad")
    vif = flat()
    with Conversation(host, far, "192.0.2.7") as one, Conversation(host, far, "2001:db8::7") as two:
        for _ in range(3):
            assert driver.plug(None, vif).changed
            one.goes_on()
            two.goes_on()
            driver.unplug(None, vif)
            one.goes_on()
            two.goes_on()
    for talk in (one, two):
        # The kernel drops what comes in the very moment in which a bridge's port comes or goes.
        assert talk.asked - talk.answered <= 6


def test_a_guest_reaches_the_wire_through_the_uplink(
    host: NetworkNamespace, far: NetworkNamespace, conf: Config, driver: GenericVIFDriver
) -> None:
    conf.config(group="vifplug_bridge", create_tap=True)
    vif, driver = flat(), GenericVIFDriver()
    driver.plug(None, vif)
    frame = bytes.fromhex("ffffffffffff" + vif.address.replace(":", "") + "88b5") + bytes(46)
    with TapEnd(host, tap_of(vif)) as guest, Capture(far, "eth1") as wire:
        seen: list[bytes] = []
        until = time.monotonic() + 5
        while frame not in seen and time.monotonic() < until:
            guest.send(frame)
            seen += wire.frames(0.05)
        assert frame in seen


def test_the_uplink_stays_until_the_last_vif_has_gone(
    host: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    had = addressing(host, "eth1")
    one, two = flat(0), flat(1)
    driver.plug(None, one)
    with_one = host.everything()
    assert not driver.plug(None, one).changed
    assert differences(with_one, host.everything()) == []
    driver.plug(None, two)
    driver.unplug(None, one)
    assert differences(had, addressing(host, "br100")) == []
    driver.unplug(None, two)
    assert differences(had, addressing(host, "eth1")) == []
    assert "br100" not in host.everything()["links"]


def test_the_uplink_stays_where_unused_bridges_stay(
    host: NetworkNamespace, conf: Config, driver: GenericVIFDriver
) -> None:
    had, vif = addressing(host, "eth1"), flat()
    conf.config(group="vifplug_bridge", remove_unused=False)
    fork(BridgePlugin)  # the option is the daemon's
    driver.plug(None, vif)
    driver.unplug(None, vif)
    assert differences(had, addressing(host, "br100")) == []
    assert not driver.plug(None, vif).devices


def test_what_came_to_the_uplink_later_moves_at_the_next_plug(
    host: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    vif = flat()
    driver.plug(None, vif)
    host.ip("address", "add", "192.0.2.99/24", "dev", "eth1")  # as a DHCP client that was forgotten
    drift = driver.check(None, vif)
    assert "192.0.2.99/24" in str(drift)
    assert driver.plug(None, vif).changed
    addresses = host.everything()["addresses"]
    assert addresses["eth1"] == []
    assert "192.0.2.99" in {one["local"] for one in addresses["br100"]}


def test_an_uplink_that_others_joined_is_left_alone(
    host: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    host.ip("link", "add", "br100", "type", "bridge")
    host.ip("link", "set", "eth1", "master", "br100")
    vif, before = flat(), host.everything()
    driver.plug(None, vif)
    during = host.everything()
    for what in ("addresses", "routes"):
        assert differences(before[what], during[what]) == []
    assert during["links"]["eth1"] == before["links"]["eth1"]
    driver.unplug(None, vif)
    assert differences(before, host.everything()) == []


@pytest.mark.parametrize(
    ("prepared", "interface", "words"),
    [
        ("", "lo", "is a loopback device"),
        ("", "eth9", "is not there"),
        ("link add br0 type bridge", "br0", "is a bridge device"),
        ("link add br0 type bridge; link set eth1 master br0", "eth1", "is a port of br0"),
        ("link add mv0 link eth1 type macvtap", "eth1", "has the macvtap mv0 on it"),
        (
            "nexthop add id 7 via 192.0.2.1 dev eth1; route add 10.77.0.0/16 nhid 7",
            "eth1",
            "nexthop objects",
        ),
        (
            "tuntap add tap7 mode tap; link property add dev tap7 altname "
            "vifplug:2d8cbf20-9c5e-4c80-9f77-5b3b2c5e4d33::tap:tap",
            "tap7",
            "belongs to VIF 2d8cbf20",
        ),
    ],
)
def test_a_device_that_can_be_no_uplink_is_refused_before_any_change(
    prepared: str,
    interface: str,
    words: str,
    host: NetworkNamespace,
    driver: GenericVIFDriver,
) -> None:
    for line in filter(None, prepared.split("; ")):
        host.ip(*line.split())
    before = host.everything()
    with pytest.raises(Conflict, match=words) as error:
        driver.plug(None, flat(interface=interface))
    assert interface in str(error.value)
    assert differences(before, host.everything()) == []


def test_an_address_that_the_bridge_cannot_take_leaves_everything_as_it_was(
    host: NetworkNamespace, conf: Config, driver: GenericVIFDriver
) -> None:
    host.ip("link", "add", "br100", "type", "bridge")  # another's: its IPv6 stays off
    with host.entered():
        Path("/proc/sys/net/ipv6/conf/br100/disable_ipv6").write_text("1")
    before = host.everything()
    with pytest.raises(Conflict, match="br100 has IPv6 off; needed: IPv6 on, for 2001:db8"):
        driver.plug(None, flat())
    assert differences(before, host.everything()) == []


def test_the_bridge_itself_as_uplink_is_invalid(
    host: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    with pytest.raises(InvalidVIF, match=r"network\.interface is 'br100'"):
        driver.plug(None, flat(interface="br100"))


def lay_out(namespace: NetworkNamespace, stack: ExitStack) -> GenericVIFDriver:
    """Make the same host, with the wires' other ends in it too."""
    for name in ("eth1", "eth2"):
        veth(namespace, name, namespace, f"{name}-far")
        namespace.ip("link", "set", name, "addrgenmode", "none")
    namespace.ip("address", "add", "10.99.0.7/24", "dev", "eth2")
    for line in HOST.strip().splitlines():
        if not ("-6" in line and "nexthop" in line):  # whose hops come back in another order
            namespace.ip(*line.split())
    return GenericVIFDriver()


@pytest.fixture
def every_message(conf: Config, monkeypatch: pytest.MonkeyPatch) -> tuple[Subject, Saboteur]:
    """A saboteur of each single change that is asked of the kernel, some eighty for this uplink."""
    return Subject(flat(), lay_out, BridgePlugin), Saboteur(monkeypatch, messages=True)


@pytest.mark.parametrize("fault", [REFUSED, HALF])
def test_no_address_is_lost_whichever_message_is_refused(
    fault: str, every_message: tuple[Subject, Saboteur]
) -> None:
    assert matrix.faulty_plugs(*every_message, fault) > 50
    assert matrix.faulty_unplugs(*every_message, fault) > 50


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("call", ["plug", "unplug"])
def test_no_address_is_lost_whenever_the_daemon_is_killed(
    call: str, every_message: tuple[Subject, Saboteur]
) -> None:
    assert matrix.killed_daemons(*every_message, AFTER, call) > 50
