# SPDX-License-Identifier: Apache-2.0
"""VIFs that the host routes: who reaches whom, who may say that he is whom, and what is left."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.examples.conftest import Example
from tests.examples.guest import GuestNamespace, pings
from tests.examples.netboot import advertise, lease, of_its_own_mac
from tests.guests import DISCOVERED
from vifplug import VIF, Conflict, GenericVIFDriver, InvalidVIF, Result
from vifplug.testing import Capture, Libvirt, NetworkNamespace, veth
from vifplug.testing.configured import configured, emptied
from vifplug.testing.dumps import differences

EXAMPLE = "routed"
IDS = ("0b6a9d0e-7a3c-4a6e-9d55-3f1f0a3c2b11", "1c7bae1f-8b4d-4b7f-8e66-4a2a1b4d3c22")
TAPS = tuple(f"tap{one[:11]}" for one in IDS)
FAMILIES = {4: ("10.11.0.0/24", "10.11.0.1"), 6: ("2001:db8:b::/64", "2001:db8:b::1")}
HOST = {4: "192.0.2.1", 6: "2001:db8:a::1"}
WORLD = {4: "192.0.2.2", 6: "2001:db8:a::2"}
SOON = 30.0


def mac(number: int) -> str:
    return f"fa:16:3e:11:22:{number:02x}"


def fixed(number: int) -> dict[int, str]:
    return {4: f"10.11.0.{5 + number}", 6: f"2001:db8:b::{5 + number}"}


def routed_vif(number: int = 0, **more: Any) -> VIF:
    subnets = [{"cidr": cidr, "gateway": gateway, "ips": [fixed(number)[family]]}
               for family, (cidr, gateway) in FAMILIES.items()]  # fmt: skip
    data = {"id": IDS[number], "vif_type": "routed", "address": mac(number)}
    return VIF.from_dict({**data, "network": {"subnets": subnets, "mtu": 1400}, **more})


@dataclass(frozen=True)
class Hosted:
    """A host that forwards, and the world behind its uplink."""

    namespace: NetworkNamespace
    world: NetworkNamespace
    driver: GenericVIFDriver

    def guest(self, number: int = 0) -> GuestNamespace:
        """Return the guest of a VIF, which believes in its subnets' gateways."""
        addresses = [f"{one}/{24 if family == 4 else 64}" for family, one in fixed(number).items()]
        gateways = [gateway for _, gateway in FAMILIES.values()]
        return GuestNamespace(self.namespace, TAPS[number], mac(number), addresses, gateways)

    def guards(self) -> list[str]:
        """Return the taps whose sources are checked."""
        words = ("nft", "-j", "list", "set", "inet", "vifplug_routed", "guests")
        done = self.namespace.run(*words, check=False)
        if done.returncode:
            return []
        (found,) = (one["set"] for one in json.loads(done.stdout)["nftables"] if "set" in one)
        return [one["elem"]["val"] for one in found.get("elem", ())]


@pytest.fixture
def host(namespace: NetworkNamespace, tmp_path: Path, example: Example) -> Iterator[Hosted]:
    with NetworkNamespace(name="world") as world, configured(tmp_path, example.kind) as config:
        config.config(group="vifplug", libvirt_version="9.0.0", virt_type="qemu")
        veth(namespace, "uplink", world, "eth0")
        for family in (4, 6):
            length, more = (24, []) if family == 4 else (64, ["nodad"])
            namespace.ip("addr", "add", f"{HOST[family]}/{length}", "dev", "uplink", *more)
            world.ip("addr", "add", f"{WORLD[family]}/{length}", "dev", "eth0", *more)
            cidr, _ = FAMILIES[family]
            world.ip("route", "add", cidr, "via", HOST[family])
            namespace.ip("route", "add", "default", "via", WORLD[family])
        for path in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            Path("/proc/sys/net", path).write_text("1")
        with emptied(example.kind) as driver:
            yield Hosted(namespace, world, driver)


def require_all_reach_one_another(host: Hosted, guest: GuestNamespace, number: int = 0) -> None:
    for family in (4, 6):
        for address in (HOST[family], WORLD[family]):
            assert guest.pings(address), address
        own = fixed(number)[family]
        assert pings(host.namespace, own)
        assert pings(host.world, own)


def test_a_plug_makes_all_and_an_unplug_leaves_nothing(host: Hosted) -> None:
    driver, before = host.driver, host.namespace.everything()
    for by_id in (False, True):
        plugged = driver.plug(None, routed_vif())
        assert (plugged.changed, plugged.devices) == (True, (TAPS[0],))
        assert host.guards() == [TAPS[0]]
        assert not driver.check(None, routed_vif())
        assert not driver.plug(None, routed_vif()).changed
        assert [(one.id, one.vif_type) for one in driver.list()] == [(IDS[0], "routed")]
        if by_id:
            (outcome,) = driver.unplug_ids([IDS[0]])
            assert isinstance(outcome, Result) and outcome.changed
        else:
            assert driver.unplug(None, routed_vif()).changed
        assert differences(before, host.namespace.everything()) == []
        assert host.guards() == []
        assert not driver.unplug(None, routed_vif()).changed


def test_guest_host_and_world_reach_one_another(host: Hosted) -> None:
    host.driver.plug(None, routed_vif())
    with host.guest() as guest:
        require_all_reach_one_another(host, guest)
        host.namespace.ip("route", "del", fixed(0)[4], "dev", TAPS[0])
        host.namespace.ip("-6", "route", "del", fixed(0)[6], "dev", TAPS[0])
        host.namespace.ip("neigh", "del", "proxy", FAMILIES[6][1], "dev", TAPS[0])
        assert host.driver.plug(None, routed_vif()).changed
        require_all_reach_one_another(host, guest)
        assert [one.in_use for one in host.driver.list()] == [True]


def test_two_guests_of_one_subnet_reach_each_other(host: Hosted) -> None:
    host.driver.plug_all([(None, routed_vif(number)) for number in range(2)])
    with host.guest(0) as one, host.guest(1) as other:
        assert one.pings(fixed(1)[4])
        assert other.pings(fixed(0)[4])
        # The world's word reaches the guest that it is meant for.
        for number, guest in enumerate((one, other)):
            require_all_reach_one_another(host, guest, number)


def echo_from(address: str) -> Callable[[bytes], bool]:
    """Return what tells an echo request of a source, of either family."""
    source = ipaddress.ip_address(address).packed

    def is_one(frame: bytes) -> bool:
        if len(source) == 4:
            return frame[12:14] == b"\x08\x00" and frame[26:30] == source and frame[34] == 8
        return frame[12:14] == b"\x86\xdd" and frame[22:38] == source and frame[54] == 128

    return is_one


SPOOFED = {4: "10.11.0.6", 6: "2001:db8:b::6"}


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("source", ["another guest's", "nobody's", "the host's"])
def test_a_spoofed_source_gets_nowhere(source: str, family: int, host: Hosted) -> None:
    # The weakest setting of the host's: rp_filter alone would let it through.
    Path("/proc/sys/net/ipv4/conf/all/rp_filter").write_text("2")
    host.driver.plug_all([(None, routed_vif(number)) for number in range(2)])
    assert fixed(1) == SPOOFED
    nobodys = {4: "10.11.0.77", 6: "2001:db8:b::77"}
    false = {"another guest's": SPOOFED, "nobody's": nobodys, "the host's": HOST}[source][family]
    with host.guest() as guest, Capture(host.world, "eth0") as wire:
        guest.add(f"{false}/{32 if family == 4 else 128}")
        assert guest.pings(WORLD[family], "-I", fixed(0)[family])
        wire.wait_for(echo_from(fixed(0)[family]), SOON)
        ping = ("ping", "-n", "-c", "2", "-i", "0.2", "-W", "1")
        guest.namespace.run(*ping, "-I", false, WORLD[family], check=False)
        assert guest.pings(WORLD[family], "-I", fixed(0)[family])
        seen: list[bytes] = []
        wire.wait_for(lambda frame: bool(seen.append(frame)) or of_the_last(frame, family), SOON)
        assert not any(echo_from(false)(frame) for frame in seen)


def of_the_last(frame: bytes, family: int) -> bool:
    return echo_from(fixed(0)[family])(frame)


@pytest.mark.parametrize("family", [4, 6])
def test_it_is_the_guard_that_drops_a_spoofed_source(family: int, host: Hosted) -> None:
    host.driver.plug(None, routed_vif())
    host.namespace.run("nft", "flush", "set", "inet", "vifplug_routed", "guests")
    false = SPOOFED[family]
    with host.guest() as guest, Capture(host.world, "eth0") as wire:
        guest.add(f"{false}/{32 if family == 4 else 128}")
        guest.namespace.run("ping", "-n", "-c", "1", "-W", "1", "-I", false, WORLD[family],
                            check=False)  # fmt: skip
        assert wire.wait_for(echo_from(false), SOON)


DRIFTS = {
    "a route of IPv4": ("ip", "route", "del", fixed(0)[4], "dev", TAPS[0]),
    "a route of IPv6": ("ip", "-6", "route", "del", fixed(0)[6], "dev", TAPS[0]),
    "a gateway": ("ip", "neigh", "del", "proxy", FAMILIES[6][1], "dev", TAPS[0]),
    "a sysctl": ("sysctl", "-w", f"net.ipv4.conf.{TAPS[0]}.proxy_arp=0"),
    "a guard": ("nft", "flush", "set", "inet", "vifplug_routed", "guests"),
    "the rule": ("nft", "flush", "chain", "inet", "vifplug_routed", "source"),
    "all of nftables": ("nft", "flush", "ruleset"),
}


@pytest.mark.parametrize("drift", DRIFTS)
def test_drift_is_told_and_repaired(drift: str, host: Hosted) -> None:
    host.driver.plug(None, routed_vif())
    host.namespace.run(*DRIFTS[drift])
    assert len(host.driver.check(None, routed_vif()).operations) == 1
    assert host.driver.plug(None, routed_vif()).changed
    assert not host.driver.check(None, routed_vif())
    assert host.guards() == [TAPS[0]]


def test_an_address_has_one_vif(host: Hosted) -> None:
    host.driver.plug(None, routed_vif(0))
    before = host.namespace.everything()
    subnets = [{"cidr": "10.11.0.0/24", "ips": [fixed(0)[4]]}]
    (outcome,) = host.driver.plug_all([(None, routed_vif(1, network={"subnets": subnets}))])
    assert isinstance(outcome, Conflict)
    assert f"{fixed(0)[4]} is reached through {TAPS[0]} already" in str(outcome)
    subnets = [{"cidr": "192.0.2.0/24", "ips": [HOST[4]]}]
    (outcome,) = host.driver.plug_all([(None, routed_vif(1, network={"subnets": subnets}))])
    assert isinstance(outcome, Conflict) and "is the host's own" in str(outcome)
    assert differences(before, host.namespace.everything()) == []
    assert host.guards() == [TAPS[0]]


def test_a_vif_without_addresses_is_refused(host: Hosted) -> None:
    with pytest.raises(
        InvalidVIF, match=r"network\.subnets is missing; allowed: a subnet with ips"
    ):
        host.driver.plug(None, routed_vif(network={}))


@pytest.mark.parametrize("by_id", [True, False])
def test_a_guard_outlives_its_tap_until_the_unplug(by_id: bool, host: Hosted) -> None:
    host.driver.plug(None, routed_vif())
    host.namespace.ip("link", "delete", TAPS[0])
    assert [one.id for one in host.driver.list()] == [IDS[0]]
    if by_id:
        host.driver.unplug_ids([IDS[0]])
    else:
        assert host.driver.unplug(None, routed_vif()).changed
    assert host.guards() == []
    assert host.driver.list() == []


def test_a_qemu_guest_is_reached_and_reaches_the_world(host: Hosted) -> None:
    """Its network ROM has a lease, asks the world for a file, and answers pings."""
    (cidr4, gateway), (cidr6, _) = FAMILIES.values()
    own = {4: fixed(0)[4], 6: of_its_own_mac(cidr6, mac(0))}
    subnets = [{"cidr": cidr4, "gateway": gateway, "ips": [own[4]]},
               {"cidr": cidr6, "ips": [own[6]]}]  # fmt: skip
    vif = routed_vif(network={"subnets": subnets})
    with Libvirt(host.namespace) as libvirt:
        host.driver.plug(None, vif)
        with Capture(host.namespace, TAPS[0]) as tap, Capture(host.world, "eth0") as wire:
            guest = libvirt.start_guest(host.driver.get_config(None, vif).to_xml())
            advertise(tap, mac(0), cidr6, timeout=DISCOVERED)
            lease(tap, mac(0), own[4], gateway=gateway, server=WORLD[4], timeout=DISCOVERED)
            wire.wait_for(asks_for_a_file(own[4]), DISCOVERED)
            for address in own.values():
                assert pings(host.namespace, address)
                assert pings(host.world, address)
            assert [one.in_use for one in host.driver.list()] == [True]
            assert not host.driver.check(None, vif)
            guest.destroy()
        host.driver.unplug(None, vif)
        assert host.guards() == []


def asks_for_a_file(source: str) -> Callable[[bytes], bool]:
    """Return what tells a guest's question for the file that it is to boot (TFTP)."""
    packed = ipaddress.ip_address(source).packed

    def is_one(frame: bytes) -> bool:
        return frame[26:30] == packed and frame[36:38] == b"\0E" and b"boot.ipxe" in frame

    return is_one
