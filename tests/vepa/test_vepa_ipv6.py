# SPDX-License-Identifier: Apache-2.0
"""A Linux guest with static IPv6 addresses on two macvtaps, of which one trusts it."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.linux import BOOTS_WITHIN, Linux
from tests.vepa.vifs import direct_vif
from vifplug import VIF, GenericVIFDriver
from vifplug.testing import IndexRange, Libvirt, NetworkNamespace, veth
from vifplug.testing.configured import configured, emptied
from vifplug_vepa.macvtap import MacvtapPlugin

INIT = Path(__file__).with_name("guest.sh")
STATIC = [[f"2001:db8:{card}::{host}" for host in (53, 54, 55, 56)] for card in (0, 1)]
"""The guest's addresses, by its card. A macvtap may pass the group of one of them by chance."""

ENOUGH = 60.0
"""Seconds within which a busy machine surely answers."""


class Site:
    """A guest's host, the far side of its wire, and the guest's two VIFs."""

    def __init__(
        self,
        far: NetworkNamespace,
        host: NetworkNamespace,
        driver: GenericVIFDriver,
        vifs: list[VIF],
    ) -> None:
        self.far, self.host, self.driver, self.vifs = far, host, driver, vifs
        self.doubting, self.trusting = vifs

    def macvtaps(self) -> dict[str, str]:
        """Return the names of the macvtaps by their addresses."""
        found = self.host.ip_json("link", "show", "type", "macvtap")
        return {one["address"]: one["ifname"] for one in found}

    def unanswered(self, addresses: Sequence[str], seconds: float) -> set[str]:
        """Return which of some addresses of the guest have not answered within some seconds."""
        left, end = set(addresses), time.monotonic() + seconds
        while left and time.monotonic() < end:
            with self.far.entered():
                pings = {
                    one: subprocess.Popen(
                        ("ping", "-c", "1", "-W", "1", one),
                        stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL,
                    )
                    for one in left
                }
            left -= {one for one, ping in pings.items() if ping.wait() == 0}
        return left


@pytest.fixture(scope="module")
def site(indexes: IndexRange, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("linux")
    linux = Linux.made(folder, INIT)
    vifs = [direct_vif(), direct_vif(number=1, details={"trusted": True})]
    with (
        NetworkNamespace(enter=True, ifindex_from=indexes.first) as host,
        NetworkNamespace() as far,
        Libvirt(host) as libvirt,
        configured(folder, MacvtapPlugin) as config,
    ):
        config.config(group="vifplug", libvirt_uri=libvirt.uri, virt_type="qemu",
                      libvirt_version="9.0.0")  # fmt: skip
        veth(host, "eth1", far, "far")
        for card in (0, 1):
            far.ip("addr", "add", f"198.51.10{card}.1/24", "dev", "far")
            far.ip("addr", "add", f"2001:db8:{card}::1/64", "dev", "far", "nodad")
        with emptied(MacvtapPlugin) as driver:
            for vif in vifs:
                driver.plug(None, vif)
            interfaces = "".join(driver.get_config(None, vif).to_xml() for vif in vifs)
            domain = linux.domain("linux", interfaces)
            libvirt.virsh("define", "--validate", "/dev/stdin", input=domain)
            libvirt.virsh("start", "linux")
            found = Site(far, host, driver, vifs)
            assert not found.unanswered(("198.51.100.53", "198.51.101.53"), BOOTS_WITHIN)
            yield found


def soon(true: Callable[[], bool]) -> bool:
    """Return whether something becomes true within a time that is surely enough."""
    end = time.monotonic() + ENOUGH
    while not true() and time.monotonic() < end:
        time.sleep(0.1)
    return true()


def test_a_guest_that_is_trusted_answers_neighbour_solicitations(site: Site) -> None:
    assert not site.unanswered(STATIC[1], ENOUGH)


def test_another_guest_answers_only_once_its_macvtap_passes_all_groups(site: Site) -> None:
    own = "fe80::f816:3eff:fe11:2200%far"
    assert not site.unanswered([own], ENOUGH)
    assert site.unanswered(STATIC[0], 3)
    name = site.macvtaps()[site.doubting.address]
    site.host.ip("link", "set", name, "allmulticast", "on")
    assert not site.unanswered(STATIC[0], ENOUGH)


def test_check_tells_of_a_running_guest_that_is_not_trusted(site: Site) -> None:
    for vif in site.vifs:
        assert not site.driver.check(None, vif)
        assert not site.driver.check(None, vif).stale
        assert not site.driver.plug(None, vif).changed
    (stale,) = site.driver.check(None, direct_vif(details={"trusted": True})).stale
    assert stale == "linux has no trustGuestRxFilters"


def test_only_a_guest_that_is_trusted_gets_the_frames_of_an_address_that_it_takes(
    site: Site,
) -> None:
    names = site.macvtaps()
    doubting, trusting = (names[vif.address] for vif in site.vifs)
    with site.far.entered():
        socket.create_connection(("198.51.100.53", 7), ENOUGH).close()
    assert soon(lambda: "02:00:00:00:00:01" in site.macvtaps())
    taken = {site.doubting.address: doubting, "02:00:00:00:00:01": trusting}
    assert site.macvtaps() == taken
    # A macvtap is known by its guest's address: another one is left to its guest.
    in_use = {one.id: one.in_use for one in site.driver.list()}
    assert in_use == {site.doubting.id: True, site.trusting.id: False}
    site.driver.unplug(None, site.trusting)
    assert site.macvtaps() == taken
