# SPDX-License-Identifier: Apache-2.0
"""What names an uplink when it joins a bridge: permanent neighbours move, a note names the rest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from oslo_config.fixture import Config

from tests.bridge.vifs import bridge_vif
from vifplug import GenericVIFDriver
from vifplug.testing import NetworkNamespace, veth
from vifplug.testing.configured import fork
from vifplug.testing.dumps import differences
from vifplug_bridge.plugin import BridgePlugin

SETTINGS = ("ipv4.rp_filter", "ipv4.proxy_arp", "ipv6.proxy_ndp", "ipv6.use_tempaddr")
NEIGHBOURS = {"192.0.2.9": "02:00:00:00:00:09", "2001:db8::9": "02:00:00:00:00:19"}
VIF = bridge_vif(bridge="br100", should_create_bridge=True, interface="eth1")


@pytest.fixture
def far(namespace: NetworkNamespace) -> Iterator[NetworkNamespace]:
    """The other end of eth1, whose host has set much for good."""
    with NetworkNamespace() as other:
        veth(namespace, "eth1", other, "far")
        for line in (
            "link set eth1 up",
            "addr add 192.0.2.7/24 dev eth1",
            "addr add 2001:db8::7/64 dev eth1 nodad",
            *(f"neigh add {ip} lladdr {mac} nud permanent dev eth1"
              for ip, mac in NEIGHBOURS.items()),
        ):  # fmt: skip
            namespace.ip(*line.split())
        yield other


def permanent(namespace: NetworkNamespace, device: str) -> dict[str, str]:
    """Return the permanent neighbours on a device."""
    found = namespace.ip_json("neigh", "show", "dev", device, "nud", "permanent")
    return {one["dst"]: one["lladdr"] for one in found}


def test_permanent_neighbours_move_with_the_addresses_and_back(
    far: NetworkNamespace, namespace: NetworkNamespace, conf: Config, driver: GenericVIFDriver
) -> None:
    conf.config(group="vifplug_bridge", remove_unused=True)
    fork(BridgePlugin)  # the option is the daemon's
    before = namespace.everything()
    assert permanent(namespace, "eth1") == NEIGHBOURS
    assert driver.plug(None, VIF).changed
    assert permanent(namespace, "br100") == NEIGHBOURS
    assert permanent(namespace, "eth1") == {}
    assert not driver.check(None, VIF)
    driver.unplug(None, VIF)
    assert permanent(namespace, "eth1") == NEIGHBOURS
    assert differences(before, namespace.everything()) == []


def test_a_note_names_each_thing_that_stays_with_the_uplink(
    far: NetworkNamespace, namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    assert not any("keeps what" in note for note in driver.plan(None, VIF).notes)
    for line in (
        "rule add iif eth1 lookup 77 pref 700",
        "rule add oif eth1 lookup 77 pref 701",
        "-6 rule add iif eth1 lookup 78 pref 702",
        "rule add iif eth2 lookup 77 pref 703",
        "neigh add proxy 192.0.2.50 dev eth1",
        "-6 neigh add proxy 2001:db8::50 dev eth1",
    ):
        namespace.ip(*line.split())
    with namespace.entered():
        for setting in SETTINGS:
            family, _, word = setting.partition(".")
            Path(f"/proc/sys/net/{family}/conf/eth1/{word}").write_text("2")
    (note,) = (one for one in driver.plan(None, VIF).notes if "keeps what" in one)
    assert note == (
        "eth1 keeps what br100 may need: rule 700 (iif), rule 701 (oif), rule 702 (iif), "
        "proxy for 192.0.2.50, proxy for 2001:db8::50, ipv4.proxy_arp 2 (br100: 0), "
        "ipv4.rp_filter 2 (br100: 0), ipv6.proxy_ndp 2 (br100: 0), "
        "ipv6.use_tempaddr 2 (br100: 0)"
    )
    driver.plug(None, VIF)
    assert not any("keeps what" in one for one in driver.check(None, VIF).notes), "it has joined"


def test_an_uplink_without_addresses_leaves_nothing_behind(
    far: NetworkNamespace, namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    namespace.ip("addr", "flush", "dev", "eth1")
    namespace.ip("rule", "add", "iif", "eth1", "lookup", "77")
    assert not any("keeps what" in note for note in driver.plan(None, VIF).notes)


@pytest.mark.parametrize("theirs", [False, True])
def test_an_address_for_which_the_bridge_will_not_answer_is_named(
    theirs: bool, far: NetworkNamespace, namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    """The host has a service's address on lo, which the far side reaches until the plug."""
    if theirs:
        namespace.ip("link", "add", "br100", "up", "type", "bridge", "forward_delay", "0")
        with namespace.entered():
            Path("/proc/sys/net/ipv4/conf/br100/arp_ignore").write_text("1")
    namespace.ip("link", "set", "lo", "up")
    namespace.ip("addr", "add", "198.51.100.9/32", "dev", "lo")
    far.ip("link", "set", "far", "up")
    far.ip("addr", "add", "192.0.2.1/24", "dev", "far")
    far.ip("route", "add", "198.51.100.0/24", "dev", "far")

    def answers(address: str) -> bool:
        far.ip("neigh", "flush", "dev", "far")
        return far.run("ping", "-c1", "-W2", address, check=False).returncode == 0

    assert answers("198.51.100.9")
    told = "br100 answers ARP for its own addresses only (arp_ignore 1), not for 198.51.100.9 of lo"
    assert told in driver.plan(None, VIF).notes
    driver.plug(None, VIF)
    assert answers("192.0.2.7")
    assert not answers("198.51.100.9")
