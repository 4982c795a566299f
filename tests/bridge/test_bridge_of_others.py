# SPDX-License-Identifier: Apache-2.0
"""Bridges that others made and that keep a guest's frames back: a note says so before a plug."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from oslo_config.fixture import Config

from tests.bridge.frames import crosses
from tests.bridge.vifs import bridge_vif, tap_of
from vifplug import GenericVIFDriver
from vifplug.testing import NetworkNamespace, TapEnd, veth

THEIRS = {"should_create_bridge": False, "mtu": None}
VIF, OTHER = bridge_vif(0, **THEIRS), bridge_vif(1, **THEIRS)
FRAME = bytes.fromhex("fa163e112201 fa163e112200 88b5") + b"across the bridge".ljust(50)
BACK = FRAME[6:12] + FRAME[:6] + FRAME[12:]


@pytest.fixture
def driver(conf: Config, driver: GenericVIFDriver) -> Iterator[GenericVIFDriver]:
    conf.config(group="vifplug_bridge", create_tap=True)
    yield driver


def test_a_bridge_that_is_down_or_has_stp_on_is_told_of(
    namespace: NetworkNamespace, driver: GenericVIFDriver, caplog: pytest.LogCaptureFixture
) -> None:
    namespace.ip("link", "add", "br100", "type", "bridge", "stp_state", "1")
    down = "br100 is down: it passes no frame: ip link set br100 up"
    silent = "br100 has STP on: a new port passes nothing for 30 s"
    assert driver.plan(None, VIF).notes == (down, silent)
    with caplog.at_level(logging.WARNING):
        driver.plug(None, VIF)
        driver.plug(None, OTHER)
    assert {f"VIF {VIF.id}: {down}", f"VIF {VIF.id}: {silent}"} <= set(caplog.messages)
    assert driver.check(None, VIF).notes == (down,), "of a port that is there no more is known"
    with TapEnd(namespace, tap_of(VIF)) as one, TapEnd(namespace, tap_of(OTHER)) as two:
        assert not crosses(one, two, FRAME)
        namespace.ip("link", "set", "br100", "type", "bridge", "stp_state", "0")
        namespace.ip("link", "set", "br100", "type", "bridge", "forward_delay", "2")
        assert not crosses(one, two, FRAME)
        namespace.run(*down.rpartition(": ")[2].split())
        assert crosses(one, two, FRAME)
    assert driver.check(None, VIF).notes == ()


def test_an_address_that_the_bridge_or_its_uplink_has_is_told_of(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    veth(namespace, "eth1", namespace, "far")
    vif = bridge_vif(0, interface="eth1", mtu=None)
    assert driver.plan(None, vif).notes == ()
    namespace.ip("link", "set", "eth1", "address", VIF.address)
    lost = f"has the guest's address {VIF.address}: frames for the guest stay on this host"
    assert driver.plan(None, vif).notes == (f"eth1 {lost}",)
    namespace.ip("link", "add", "br100", "type", "bridge", "forward_delay", "0")
    namespace.ip("link", "set", "br100", "up")
    namespace.ip("link", "set", "eth1", "master", "br100")
    for each in (VIF, OTHER):
        driver.plug(None, each)
    assert driver.check(None, VIF).notes == (f"br100 {lost}",)
    assert driver.check(None, OTHER).notes == ()
    with TapEnd(namespace, tap_of(VIF)) as one, TapEnd(namespace, tap_of(OTHER)) as two:
        assert crosses(one, two, FRAME)
        assert not crosses(two, one, BACK)
