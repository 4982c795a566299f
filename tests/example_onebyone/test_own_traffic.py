# SPDX-License-Identifier: Apache-2.0
"""Host routes, sysctls and proxied addresses: what a plug makes, mends and undoes, and what a
caller of the daemon is refused.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from oslo_config.fixture import Config

from tests.example_onebyone.conftest import IDS, TAP, TAP_1, Relayd, vif
from vifplug import Conflict, GenericVIFDriver, Host, Result
from vifplug.kernel.namespace import network_namespace
from vifplug.model.link import Link
from vifplug.model.mark import Owner
from vifplug.operations import SYSCTLS, AddRoute, Operation, RemoveLink
from vifplug.parts import CORE, HostRoute, Part, ProxyNeighbour, Sysctl
from vifplug.switch import Snapshot
from vifplug.testing import NetworkNamespace
from vifplug.testing.configured import fork
from vifplug.testing.dumps import differences

IPS = ("198.51.100.7", "2001:db8:7::7")
PROXY = Path(f"/proc/sys/net/ipv4/conf/{TAP}/proxy_arp")


def routes(namespace: NetworkNamespace, *words: str) -> list[str]:
    return [
        route["dst"]
        for family in ("-4", "-6")
        for route in namespace.ip_json(family, "route", "show", "dev", TAP, *words)
        if route["dst"].partition("/")[0] in IPS
    ]


def test_the_host_reaches_a_vifs_addresses_by_its_tap(
    driver: GenericVIFDriver, namespace: NetworkNamespace
) -> None:
    asked = vif(ips=IPS)
    driver.plug(None, asked)
    assert routes(namespace) == [*IPS]
    assert PROXY.read_text() == "1\n"
    namespace.ip("-6", "route", "flush", "dev", TAP)
    PROXY.write_text("0")
    (missing, unanswered) = (str(o) for o in driver.check(None, asked).operations)
    assert missing == f"set {TAP} ipv4.proxy_arp 1"
    assert unanswered == f"add route to {IPS[1]} through {TAP}"
    assert driver.plug(None, asked).changed
    assert routes(namespace) == [*IPS]
    assert PROXY.read_text() == "1\n"
    assert not driver.plug(None, asked).changed


def test_a_plug_that_fails_takes_back_what_it_mended(
    driver: GenericVIFDriver, namespace: NetworkNamespace, relayd: Relayd
) -> None:
    asked = vif(ips=IPS)
    driver.plug(None, asked)
    namespace.ip("-6", "route", "flush", "dev", TAP)
    PROXY.write_text("0")
    relayd.database.write_text("{}")
    before = namespace.everything()
    relayd.refuse(TAP)
    (failed,) = driver.plug_all([(None, asked)])
    assert f"plug failed at add port {TAP}: no licence for {TAP}; undone" in str(failed)
    assert differences(before, namespace.everything()) == []


def test_two_vifs_have_no_address_in_common(
    driver: GenericVIFDriver, namespace: NetworkNamespace
) -> None:
    plans = driver.plan_all([(None, vif(0, ips=IPS)), (None, vif(1, ips=IPS[:1]))])
    assert isinstance(plans[1], Conflict)
    driver.plug(None, vif(0, ips=IPS))
    before = namespace.everything()
    with pytest.raises(Conflict, match=f"{IPS[0]} is reached through {TAP} already"):
        driver.plug(None, vif(1, ips=IPS[:1]))
    assert differences(before, namespace.everything()) == []
    again = driver.plug_all([(None, vif(0, ips=IPS)), (None, vif(2, ips=("198.51.100.9",)))])
    assert [one.changed for one in again if isinstance(one, Result)] == [False, True]


# A caller of the daemon.

X = IDS[2]
OWN = f"tap{X[:11]}"
OWN_TAP = {"kind": "tap", "name": OWN, "address": "fe:16:3e:00:00:01", "ipv6": True}


def route(to: str, device: str = OWN) -> dict[str, Any]:
    return {"kind": "host-route", "device": device, "to": to}


def proxied(address: str, device: str = OWN) -> dict[str, Any]:
    return {"kind": "proxy-neighbour", "device": device, "address": address}


def sysctl(name: str = "ipv4.proxy_arp", value: int = 1, device: str = OWN) -> dict[str, Any]:
    return {"kind": "sysctl", "device": device, "name": name, "value": value}


REFUSED: list[tuple[dict[str, Any], str]] = [
    (route("192.0.2.9"), "192.0.2.9 is the host's own"),
    (route("2001:db8::9"), "2001:db8::9 is the host's own"),
    (route("192.0.2.255"), "192.0.2.255 is the host's own"),
    (route("127.8.8.8"), "127.8.8.8 is a loopback address"),
    (route("::1"), "::1 is a loopback address"),
    (route("0.0.0.0"), "0.0.0.0 is the unspecified address"),
    (route("::"), ":: is the unspecified address"),
    (route("224.0.0.5"), "224.0.0.5 is a multicast address"),
    (route("255.255.255.255"), "255.255.255.255 is a reserved address"),
    (route("default"), "allowed: an IP address"),
    (route("198.51.100.0/24"), "allowed: an IP address"),
    (route(IPS[0]), f"{IPS[0]} is reached through {TAP} already"),
    (route("203.0.113.7"), "203.0.113.7 is reached through eth9 already"),
    (route("203.0.113.9", TAP), f"{TAP} belongs to VIF {IDS[0]}"),
    (route("203.0.113.9", "eth9"), "eth9 is not ours"),
    (route("203.0.113.9", "lo"), "lo is not ours"),
    (proxied("203.0.113.9", TAP), f"{TAP} belongs to VIF {IDS[0]}"),
    (proxied("203.0.113.9", "eth9"), "eth9 is not ours"),
    (proxied("224.0.0.5"), "224.0.0.5 is a multicast address"),
    (sysctl(device=TAP, value=0), f"{TAP} belongs to VIF {IDS[0]}"),
    (sysctl(device="eth9"), "eth9 is not ours"),
    (sysctl(device="all"), "allowed: a device name"),
    (sysctl(device="../all"), "allowed: a device name"),
    (sysctl("ipv4.ip_forward"), "part sysctl: name is 'ipv4.ip_forward'"),
    (sysctl("ipv4.route_localnet"), "part sysctl: name is 'ipv4.route_localnet'"),
    (sysctl("ipv4.neigh.../../x"), "part sysctl: name is"),
    (sysctl(value=2), "can't be 2; needed: 0 to 1"),
    (sysctl(value=-1), "part sysctl: value is -1"),
]


@pytest.fixture
def victims(
    driver: GenericVIFDriver, package: ModuleType, namespace: NetworkNamespace
) -> NetworkNamespace:
    """A host on eth9 with a host route of its own, and VIF 0 with its addresses."""
    for line in (
        "link add eth9 type veth peer name wire9",
        "link set wire9 up",
        "link set eth9 up",
        "addr add 192.0.2.9/24 dev eth9",
        "addr add 2001:db8::9/64 dev eth9 nodad",
        "route add 203.0.113.7/32 dev eth9",
    ):
        namespace.ip(*line.split())
    driver.plug(None, vif(0, ips=IPS))
    return namespace


def request(package: ModuleType, *parts: dict[str, Any]) -> dict[str, Any]:
    found = {"vif_id": X, "vif_type": "relay", "parts": list(parts)}
    data = {
        "namespace": network_namespace(),
        "deadline": time.monotonic() + 20,
        "vifs": [found],
    }
    (reply,) = package.plug(data)
    return dict(reply)


def test_a_caller_gets_nothing_of_the_hosts_or_of_another_vif(
    victims: NetworkNamespace, package: ModuleType
) -> None:
    before = victims.everything()
    for part, words in REFUSED:
        error = str(request(package, OWN_TAP, part).get("error"))
        assert words in error, f"{part}: {error}"
    assert differences(before, victims.everything()) == []


def test_what_a_caller_may_have_is_had(victims: NetworkNamespace, package: ModuleType) -> None:
    parts = (OWN_TAP, sysctl("ipv6.proxy_ndp"), route("203.0.113.9"), route("2001:db8:9::9"))
    reply = request(package, *parts, proxied("203.0.113.1"), proxied("2001:db8:9::1"))
    assert "error" not in reply, reply
    proxies = [one["dst"] for one in victims.ip_json("neigh", "show", "proxy", "dev", OWN)]
    assert proxies == ["203.0.113.1", "2001:db8:9::1"]
    again = request(package, *parts, proxied("203.0.113.1"), proxied("2001:db8:9::1"))
    assert not again.get("changed")


def test_an_operator_limits_the_networks(
    victims: NetworkNamespace, package: ModuleType, conf: Config
) -> None:
    conf.config(group="vifplug", allowed_routes=["203.0.113.0/28", "no network"])
    fork(package.RelayPlugin)
    before = victims.everything()
    error = str(request(package, OWN_TAP, route("203.0.113.99")).get("error"))
    assert "203.0.113.99 is not allowed on this host" in error
    assert "one in a network of the option allowed_routes: 203.0.113.0/28" in error
    assert differences(before, victims.everything()) == []
    assert "error" not in request(package, OWN_TAP, route("203.0.113.9"))


def test_another_plugins_daemon_builds_no_such_part() -> None:
    assert not {Sysctl, HostRoute, ProxyNeighbour} & set(CORE)


# Planning.

OWNER = Owner(vif_id=IDS[0], vif_type="relay")
PARTS: tuple[Part, ...] = (
    Sysctl(device=TAP, name="ipv4.rp_filter", value=1),
    HostRoute(device=TAP, to=IPS[0]),
    ProxyNeighbour(device=TAP, address="198.51.100.1"),
)


def planned(part: Part, host: Host) -> list[Operation]:
    return [*part.operations(OWNER, host)]


@pytest.mark.unit
@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.kind)
@pytest.mark.parametrize("index", [0, 7], ids=["made now", "there"])
def test_what_is_planned_is_foreseen_and_taken_back(part: Part, index: int) -> None:
    tap = Link(kind="tap", index=index, up=True, sysctls={"ipv4.rp_filter": 0})
    host = Host(links={TAP: tap, TAP_1: tap}).planning()
    (operation,) = planned(part, host)
    assert len(str(operation)) < 80
    operation.foresee(host)
    assert planned(part, host) == []
    back = operation.undo()
    if index == 0:
        assert back is None  # it goes with its device
        return
    assert back is not None
    back.foresee(host)
    assert planned(part, host) == [operation]


@pytest.mark.unit
def test_a_route_needs_a_way() -> None:
    for link, words in (
        (Link(kind="tap", index=7), "is down"),
        (Link(kind="tap", index=7, up=True, ipv6=False), "has IPv6 off"),
    ):
        with pytest.raises(Conflict, match=words):
            planned(HostRoute(device=TAP, to=IPS[1]), Host(links={TAP: link}))


@dataclass(frozen=True, kw_only=True)
class Facts(Snapshot):
    """What a plugin of its own knows of devices."""

    key = "facts"
    known: dict[str, int] = field(default_factory=dict)
    error: str | None = None
    absent: bool = False

    def planning(self) -> Facts:
        return replace(self, known=dict(self.known))

    def forget(self, device: str) -> None:
        self.known.pop(device, None)


@pytest.mark.unit
def test_what_a_plugin_knows_of_a_device_goes_with_it_in_a_plan() -> None:
    facts = Facts(known={TAP: 1, TAP_1: 2})
    host = Host(links={TAP: Link(kind="tap")}, switches={"facts": facts}).planning()
    RemoveLink(device=TAP, kind="tap").foresee(host)
    noted = host.switch(Facts)
    assert noted and noted.known == {TAP_1: 2}
    assert facts.known == {TAP: 1, TAP_1: 2}


def test_each_sysctl_that_may_be_set_is_one(namespace: NetworkNamespace) -> None:
    from vifplug.operations.sysctls import path

    for name in SYSCTLS:
        assert (Path("/proc/sys/net") / path("lo", name)).exists(), name
    assert AddRoute(device=TAP, to=IPS[0], fresh=True).undo() is None
