# SPDX-License-Identifier: Apache-2.0
"""A bridge that filters VLANs, on a kernel that has that: no guest is silently in a wrong VLAN."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Iterator

import pytest
from oslo_config.fixture import Config

from tests.bridge.frames import crosses
from tests.bridge.vifs import bridge_vif, tap_of
from vifplug import GenericVIFDriver, InvalidVIF
from vifplug.testing import NetworkNamespace, TapEnd

pytestmark = pytest.mark.kernel("vlan_filtering")

THEIRS = {"should_create_bridge": False}
FRAME = bytes.fromhex("fa163e112201 fa163e112200 88b5") + b"across the bridge".ljust(50)


@pytest.fixture
def driver(conf: Config, driver: GenericVIFDriver) -> Iterator[GenericVIFDriver]:
    conf.config(group="vifplug_bridge", create_tap=True)
    yield driver


def make_bridge(namespace: NetworkNamespace, pvid: int) -> None:
    words = ("vlan_filtering", "1", "vlan_default_pvid", str(pvid), "forward_delay", "0")
    namespace.ip("link", "add", "br100", "type", "bridge", *words)
    namespace.ip("link", "set", "br100", "up")


def vlans(namespace: NetworkNamespace, device: str) -> list[int]:
    (found,) = json.loads(namespace.run("bridge", "-j", "vlan", "show", "dev", device).stdout)
    return [one["vlan"] for one in found["vlans"]]


def test_a_guest_without_a_vlan_is_told_of_and_gets_no_frame_before_it_has_one(
    namespace: NetworkNamespace, driver: GenericVIFDriver, caplog: pytest.LogCaptureFixture
) -> None:
    make_bridge(namespace, 0)
    vifs = [bridge_vif(number, **THEIRS) for number in (0, 1)]
    with caplog.at_level(logging.WARNING):
        for vif in vifs:
            driver.plug(None, vif)
    mend = f"bridge vlan add dev {tap_of(vifs[0])} vid ID pvid untagged"
    words = "br100 filters VLANs and gives a new port none (default PVID 0): no frame passes before"
    assert f"VIF {vifs[0].id}: {words}: {mend}" in caplog.messages
    with TapEnd(namespace, tap_of(vifs[0])) as one, TapEnd(namespace, tap_of(vifs[1])) as two:
        assert not crosses(one, two, FRAME)
        for vif in vifs:
            command = mend.replace(tap_of(vifs[0]), tap_of(vif)).replace("ID", "7")
            namespace.run(*command.split())
        assert crosses(one, two, FRAME)


def test_a_vlan_of_the_network_is_refused_and_of_another_system_told_of(
    namespace: NetworkNamespace, driver: GenericVIFDriver, caplog: pytest.LogCaptureFixture
) -> None:
    make_bridge(namespace, 1)
    vif, before = bridge_vif(vlan=100, **THEIRS), namespace.everything()
    for call in (driver.plan, driver.plug, driver.check, driver.get_config):
        with pytest.raises(InvalidVIF, match=r"network\.vlan is 100; allowed: only with"):
            call(None, vif)
    assert namespace.everything() == before
    foreign = dataclasses.replace(vif, foreign=True)
    with caplog.at_level(logging.WARNING):
        driver.plug(None, foreign)
    assert vlans(namespace, tap_of(vif)) == [1]
    words = "br100 filters VLANs: its new ports, and the guest, are in VLAN 1, not in 100"
    assert f"VIF {vif.id}: {words}" in caplog.messages
    driver.unplug(None, vif)


def test_a_bridge_without_vlans_of_its_own_is_no_matter_to_warn_of(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    make_bridge(namespace, 1)
    assert "note" not in str(driver.plan(None, bridge_vif(**THEIRS, mtu=None)))
    driver.plug(None, bridge_vif(**THEIRS, mtu=None))
    assert vlans(namespace, tap_of(bridge_vif())) == [1]
