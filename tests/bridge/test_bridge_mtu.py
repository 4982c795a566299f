# SPDX-License-Identifier: Apache-2.0
"""The MTU of a bridge that is not ours, and that the host itself may use."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from oslo_config.fixture import Config

from tests.bridge.vifs import bridge_vif, tap_of
from tests.libvirts_tap import LibvirtsTap
from vifplug import VIF, GenericVIFDriver
from vifplug.testing import NetworkNamespace, TapEnd, veth
from vifplug.testing.dumps import differences

THEIRS = {"should_create_bridge": False}


@pytest.fixture
def jumbo(namespace: NetworkNamespace) -> Iterator[NetworkNamespace]:
    """A host with an address on br100, which has its uplink's MTU, 9000, by itself."""
    with NetworkNamespace(name="far") as far:
        veth(namespace, "eth0", far, "eth0")
        namespace.ip("link", "set", "eth0", "mtu", "9000")
        namespace.ip("link", "add", "br100", "address", "02:00:00:00:00:01", "type", "bridge")
        namespace.ip("link", "set", "eth0", "master", "br100")
        namespace.ip("link", "set", "br100", "up")
        namespace.ip("addr", "add", "192.0.2.7/24", "dev", "br100")
        namespace.ip("addr", "add", "2001:db8::7/64", "dev", "br100", "nodad")
        assert mtu(namespace, "br100") == 9000
        yield namespace


def mtu(namespace: NetworkNamespace, device: str) -> int:
    (link,) = namespace.ip_json("link", "show", device)
    return int(link["mtu"])


def taps(conf: Config) -> None:
    conf.config(group="vifplug_bridge", create_tap=True)


def test_a_tap_of_a_network_without_an_mtu_has_the_bridges(
    jumbo: NetworkNamespace, conf: Config, driver: GenericVIFDriver
) -> None:
    taps(conf)
    vif, before = bridge_vif(mtu=None, **THEIRS), jumbo.everything()
    driver.plug(None, vif)
    assert (mtu(jumbo, tap_of(vif)), mtu(jumbo, "br100")) == (9000, 9000)
    assert not driver.check(None, vif)
    driver.unplug(None, vif)
    assert differences(before, jumbo.everything()) == []


def test_the_mtu_option_is_that_of_a_bridge_of_ours(
    namespace: NetworkNamespace, conf: Config, driver: GenericVIFDriver
) -> None:
    taps(conf)
    conf.config(group="vifplug", mtu=1400)
    vif = bridge_vif(mtu=None)
    driver.plug(None, vif)
    assert (mtu(namespace, tap_of(vif)), mtu(namespace, "br100")) == (1400, 1400)


def test_the_kernel_lowers_a_bridge_for_a_tap_that_nobody_plugged(jumbo: NetworkNamespace) -> None:
    with LibvirtsTap(jumbo, "tap1"):
        jumbo.ip("link", "set", "tap1", "mtu", "1400", "master", "br100")
        assert mtu(jumbo, "br100") == 1400


def test_a_smaller_tap_leaves_the_bridge_its_mtu_and_its_addresses(
    jumbo: NetworkNamespace, conf: Config, driver: GenericVIFDriver
) -> None:
    taps(conf)
    jumbo.ip("link", "add", "link", "br100", "name", "above", "mtu", "9000", "type", "macvlan")
    vif, before = bridge_vif(mtu=1400, **THEIRS), jumbo.everything()
    assert driver.plug(None, vif).changed
    assert [mtu(jumbo, name) for name in (tap_of(vif), "br100", "above")] == [1400, 9000, 9000]
    assert not driver.check(None, vif)
    assert not driver.plug(None, vif).changed
    assert jumbo.everything()["addresses"]["br100"] == before["addresses"]["br100"]
    driver.unplug(None, vif)
    assert differences(before, jumbo.everything()) == []


def test_two_vifs_with_and_without_an_mtu_do_not_pull_the_bridge(
    jumbo: NetworkNamespace, conf: Config, driver: GenericVIFDriver
) -> None:
    taps(conf)
    vifs = [bridge_vif(0, mtu=1400, **THEIRS), bridge_vif(1, mtu=None, **THEIRS)]
    for vif in vifs:
        driver.plug(None, vif)
    assert [mtu(jumbo, tap_of(vif)) for vif in vifs] == [1400, 9000]
    assert mtu(jumbo, "br100") == 9000
    assert not any(driver.check(None, vif) for vif in vifs)


def test_a_smaller_mtu_that_comes_later_leaves_the_bridge_its_own(
    jumbo: NetworkNamespace, conf: Config, driver: GenericVIFDriver
) -> None:
    taps(conf)
    driver.plug(None, bridge_vif(mtu=None, **THEIRS))
    vif = bridge_vif(mtu=1400, **THEIRS)
    assert "change  mtu     br100" in str(driver.plan(None, vif))
    driver.plug(None, vif)
    assert (mtu(jumbo, tap_of(vif)), mtu(jumbo, "br100")) == (1400, 9000)
    assert not driver.check(None, vif)


def test_a_tap_that_libvirt_makes_leaves_the_bridge_its_mtu(
    jumbo: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    vif, before = bridge_vif(mtu=1400, **THEIRS), jumbo.everything()
    driver.plug(None, vif)
    assert not driver.check(None, vif)
    assert not driver.plug(None, vif).changed
    # As libvirt does it for <mtu size='1400'/>.
    assert '<mtu size="1400"/>' in driver.get_config(None, vif).to_xml()
    with LibvirtsTap(jumbo, tap_of(vif), address=vif.address):
        jumbo.ip("link", "set", tap_of(vif), "mtu", "1400", "master", "br100", "up")
        assert mtu(jumbo, "br100") == 9000
        assert not driver.check(None, vif)
    driver.unplug(None, vif)
    assert differences(before, jumbo.everything()) == []


def test_a_tap_of_libvirts_that_was_taken_out_comes_back_without_lowering_the_bridge(
    jumbo: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    vif = bridge_vif(mtu=1400, **THEIRS)
    with LibvirtsTap(jumbo, tap_of(vif), address=vif.address):
        jumbo.ip("link", "set", tap_of(vif), "mtu", "1400", "up")
        driver.plug(None, vif)
        (link,) = jumbo.ip_json("link", "show", tap_of(vif))
        assert (link["master"], mtu(jumbo, "br100")) == ("br100", 9000)
        assert not driver.check(None, vif)


def test_an_uplink_lowers_a_bridge_of_others_to_what_the_wire_takes_and_the_tap_does_not(
    namespace: NetworkNamespace, conf: Config, driver: GenericVIFDriver
) -> None:
    taps(conf)
    namespace.ip("link", "add", "br100", "mtu", "9000", "type", "bridge")
    namespace.ip("link", "add", "eth1", "type", "veth", "peer", "name", "far")
    namespace.ip("link", "set", "eth1", "up")
    vif = bridge_vif(mtu=1400, interface="eth1")
    driver.plug(None, vif)
    assert [mtu(namespace, name) for name in ("br100", tap_of(vif))] == [1500, 1400]
    assert not driver.check(None, vif)


@pytest.mark.parametrize("create_tap", [False, True])
def test_an_mtu_above_that_of_the_bridge_is_plugged_with_a_warning(
    create_tap: bool,
    jumbo: NetworkNamespace,
    conf: Config,
    driver: GenericVIFDriver,
    caplog: pytest.LogCaptureFixture,
) -> None:
    conf.config(group="vifplug_bridge", create_tap=create_tap)
    jumbo.ip("link", "set", "br100", "mtu", "1400")
    vif: VIF = bridge_vif(mtu=9000, **THEIRS)
    words = "br100 has MTU 1400: it drops the network's larger frames (9000)"
    plan = " ".join(str(driver.plan(None, vif)).split())
    assert words in plan
    with caplog.at_level(logging.WARNING):
        driver.plug(None, vif)
    assert f"VIF {vif.id}: {words}" in caplog.messages
    assert mtu(jumbo, "br100") == 1400


def test_a_plan_tells_the_mtu_that_a_bridge_of_ours_has(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    driver.plug(None, bridge_vif(0, mtu=1450))
    vif = bridge_vif(1, mtu=1400)
    for _ in range(2):
        lines = str(driver.plan(None, vif)).splitlines()
        assert lines[1] == "  keep    bridge  br100            forward delay 0, STP off, MTU 1450"
        driver.plug(None, vif)


@pytest.mark.parametrize("create_tap", [False, True])
@pytest.mark.parametrize("asked", [1300, 9000])
def test_a_bridge_without_ports_keeps_its_mtu(
    asked: int, create_tap: bool, namespace: NetworkNamespace, conf: Config,
    driver: GenericVIFDriver,
) -> None:  # fmt: skip
    """The kernel gives such a bridge the MTU of its only port, also a larger one."""
    conf.config(group="vifplug_bridge", create_tap=create_tap)
    namespace.ip("link", "add", "br100", "address", "02:00:00:00:00:01", "type", "bridge")
    namespace.ip("link", "set", "br100", "up")
    vif = bridge_vif(mtu=asked, **THEIRS)
    driver.plug(None, vif)
    if not create_tap:
        with LibvirtsTap(namespace, tap_of(vif)):
            namespace.ip("link", "set", tap_of(vif), "mtu", str(asked), "master", "br100", "up")
            assert mtu(namespace, "br100") == 1500
            assert not driver.check(None, vif)
    else:
        assert (mtu(namespace, "br100"), mtu(namespace, tap_of(vif))) == (1500, asked)
        assert not driver.check(None, vif)
        assert not driver.plug(None, vif).changed
    driver.unplug(None, vif)
    assert mtu(namespace, "br100") == 1500


@pytest.mark.parametrize(
    ("create_tap", "network"),
    [
        pytest.param(True, {}, id="our tap, our bridge"),
        pytest.param(False, {}, id="libvirt's tap, our bridge"),
        pytest.param(True, THEIRS, id="our tap, their bridge"),
        pytest.param(False, THEIRS, id="libvirt's tap, their bridge"),
    ],
)
def test_a_plugged_vif_keeps_its_mtu_where_a_later_one_names_none(
    create_tap: bool, network: dict[str, bool], request: pytest.FixtureRequest, conf: Config
) -> None:
    theirs = network == THEIRS
    host: NetworkNamespace = request.getfixturevalue("jumbo" if theirs else "namespace")
    driver: GenericVIFDriver = request.getfixturevalue("driver")
    conf.config(group="vifplug_bridge", create_tap=create_tap)
    vif, bare = (bridge_vif(mtu=mtu, **network) for mtu in (1442, None))
    driver.plug(None, vif)
    if not create_tap:
        _left_alone(driver, bare, host)
        host.ip("tuntap", "add", tap_of(vif), "mode", "tap")
        host.ip("link", "set", tap_of(vif), "mtu", "1442", "master", "br100", "up")
    assert (mtu(host, tap_of(vif)), mtu(host, "br100")) == (1442, 9000 if theirs else 1442)
    _left_alone(driver, bare, host)
    assert "<mtu" not in driver.get_config(None, bare).to_xml()
    assert driver.plug(None, bridge_vif(mtu=1400, **network)).changed
    assert mtu(host, tap_of(vif)) == 1400


def _left_alone(driver: GenericVIFDriver, vif: VIF, host: NetworkNamespace) -> None:
    """Require that plan, check and plug say the same of a VIF, and that nothing changes."""
    before = host.everything()
    plan = driver.plan(None, vif)
    assert not plan.operations
    assert {step.action for step in plan.steps} == {"keep"}
    assert not driver.check(None, vif)
    assert not driver.plug(None, vif).changed
    assert differences(before, host.everything()) == []


def test_a_bare_tap_keeps_its_mtu_where_a_later_vif_names_none(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    data = {"id": bridge_vif().id, "vif_type": "tap", "address": "fa:16:3e:11:22:33"}
    vif, bare = (VIF.from_dict({**data, "network": network}) for network in ({"mtu": 1442}, {}))
    driver.plug(None, vif)
    assert mtu(namespace, tap_of(vif)) == 1442
    _left_alone(driver, bare, namespace)
    driver.unplug(None, bare)
    driver.plug(None, bare)
    assert mtu(namespace, tap_of(vif)) == 1500, "one that is not plugged has the option's"


def test_a_bridge_of_ours_that_was_lowered_is_repaired_without_an_mtu_of_the_network(
    namespace: NetworkNamespace, conf: Config, driver: GenericVIFDriver
) -> None:
    taps(conf)
    bare = bridge_vif(mtu=None)
    driver.plug(None, bare)
    namespace.ip("link", "set", "br100", "mtu", "1300")
    assert driver.plug(None, bare).changed
    assert (mtu(namespace, tap_of(bare)), mtu(namespace, "br100")) == (1500, 1500)


def test_a_tap_that_was_lowered_is_repaired_before_a_guest_holds_it(
    namespace: NetworkNamespace, conf: Config, driver: GenericVIFDriver
) -> None:
    taps(conf)
    bare = bridge_vif(mtu=None)
    driver.plug(None, bare)
    namespace.ip("link", "set", tap_of(bare), "mtu", "1300")
    assert driver.check(None, bare)
    assert driver.plug(None, bare).changed
    assert mtu(namespace, tap_of(bare)) == 1500


def test_a_guests_tap_keeps_its_mtu_beside_a_larger_one_on_a_bridge_of_ours(
    namespace: NetworkNamespace, conf: Config, driver: GenericVIFDriver
) -> None:
    taps(conf)
    vif, bare = bridge_vif(0, mtu=1442), bridge_vif(0, mtu=None)
    driver.plug_all([(None, vif), (None, bridge_vif(1, mtu=None))])
    with TapEnd(namespace, tap_of(vif)):
        assert (mtu(namespace, tap_of(vif)), mtu(namespace, "br100")) == (1442, 1500)
        _left_alone(driver, bare, namespace)
