# SPDX-License-Identifier: Apache-2.0
"""A VIF that leaves the switch, which takes devices and sets MTUs for as long as it has a port."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
from oslo_config.fixture import Config

from tests.ovs.moves import (
    AUTOMATIC,
    BRIDGE,
    ID,
    MANUAL,
    TAP,
    both_daemons,
    found,
    make_bridges,
)
from tests.ovs.vifs import IDS
from vifplug import VIF, Conflict, GenericVIFDriver
from vifplug.model.mark import Owner, derived_name
from vifplug.testing import NetworkNamespace, OpenVSwitch

TIMES = 3
"""How often the VIF moves: vswitchd is quick, but not every time."""


@pytest.fixture
def driver(
    namespace: NetworkNamespace, br_int: OpenVSwitch, conf: Config
) -> Iterator[GenericVIFDriver]:
    """A driver with the daemons of both plugins, on a host with bridges of both kinds."""
    make_bridges(namespace)
    with both_daemons(conf, create_tap=True) as both:
        yield both


def with_mtu(vif: VIF, mtu: int) -> VIF:
    return dataclasses.replace(vif, network=dataclasses.replace(vif.network, mtu=mtu))


def test_a_tap_that_leaves_the_switch_has_the_mtu_of_its_new_network(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    there, here = with_mtu(MANUAL.vif, 1450), with_mtu(BRIDGE.vif, 1400)
    driver.plug(None, there)
    for _ in range(TIMES):
        assert driver.plug(None, here, move=True).changed
        (tap,) = namespace.ip_json("link", "show", "dev", TAP)
        assert (tap["mtu"], tap["master"]) == (1400, BRIDGE.bridge)
        assert not driver.check(None, here)
        assert driver.plug(None, there, move=True).changed
        (tap,) = namespace.ip_json("link", "show", "dev", TAP)
        assert (tap["mtu"], "master" in tap) == (1450, False)
        assert not driver.check(None, there)


def test_a_port_without_a_device_takes_no_tap_of_another_vif_type(
    namespace: NetworkNamespace, br_int: OpenVSwitch, driver: GenericVIFDriver
) -> None:
    """After a reboot, the database has the port that libvirt made, and the tap is gone."""
    ids = (f"external_ids:iface-id={ID}", f"external_ids:vm-id={IDS[1]}")
    br_int.vsctl("--no-wait", "add-port", "br-int", TAP, "--", "set", "Interface", TAP, *ids)
    with pytest.raises(Conflict, match="is on br-int already"):
        driver.plug(None, BRIDGE.vif)
    assert found(namespace, br_int)["devices"] == set()
    driver.plug(None, BRIDGE.vif, move=True)
    assert found(namespace, br_int) == BRIDGE.shown("netdev")
    assert not driver.check(None, BRIDGE.vif)
    driver.unplug(None, BRIDGE.vif)
    driver.plug(None, MANUAL.vif)
    assert found(namespace, br_int) == MANUAL.shown("netdev")


def test_a_port_of_ours_that_has_lost_its_tap_takes_none_of_the_new_place(
    namespace: NetworkNamespace, br_int: OpenVSwitch, driver: GenericVIFDriver
) -> None:
    here = with_mtu(BRIDGE.vif, 1400)
    for _ in range(TIMES):
        driver.plug(None, with_mtu(MANUAL.vif, 1450))
        namespace.ip("link", "del", TAP)
        driver.plug(None, here, move=True)
        assert found(namespace, br_int) == BRIDGE.shown("netdev")
        assert not driver.check(None, here)
        driver.unplug(None, here)


def test_a_port_of_libvirts_without_a_device_does_not_stop_a_vif_on_another_bridge(
    namespace: NetworkNamespace, br_int: OpenVSwitch, driver: GenericVIFDriver
) -> None:
    ids = (f"external_ids:iface-id={ID}", f"external_ids:vm-id={IDS[1]}")
    br_int.add_bridge("br-two")
    br_int.vsctl("--no-wait", "add-port", "br-two", TAP, "--", "set", "Interface", TAP, *ids)
    driver.plug(None, AUTOMATIC.vif)
    assert not driver.check(None, AUTOMATIC.vif)
    assert (found(namespace, br_int)["ports"], found(namespace, br_int)["owners"]) == (
        {}, {("automatic", "ovs")})  # fmt: skip
    driver.unplug(None, AUTOMATIC.vif)
    assert found(namespace, br_int)["owners"] == set()


def test_a_move_that_was_killed_at_its_very_end_is_finished(
    namespace: NetworkNamespace, br_int: OpenVSwitch, driver: GenericVIFDriver
) -> None:
    """Only a device of the old place is left, and nothing else is to be done."""
    driver.plug(None, BRIDGE.vif)
    qbr = derived_name("qbr", ID)
    mark = Owner(vif_id=ID, vif_type="ovs", process="hybrid").mark("qbr")
    namespace.ip("link", "add", qbr, "type", "bridge")
    namespace.ip("link", "property", "add", "dev", qbr, "altname", mark)
    with pytest.raises(Conflict, match="hybrid"):
        driver.plug(None, BRIDGE.vif)
    result = driver.plug(None, BRIDGE.vif, move=True)
    assert (result.changed, result.removed) == (True, (qbr,))
    assert found(namespace, br_int) == BRIDGE.shown("netdev")
    assert not driver.check(None, BRIDGE.vif)
