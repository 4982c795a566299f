# SPDX-License-Identifier: Apache-2.0
"""A VLAN device on the uplink, on a kernel that has 802.1Q: made, shared, kept right, removed."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator

import pytest
from oslo_config.fixture import Config

from tests.bridge.vifs import bridge_vif, tap_of
from vifplug import VIF, Conflict, GenericVIFDriver
from vifplug.testing import Capture, NetworkNamespace, TapEnd, veth
from vifplug.testing.claims import kept_of
from vifplug.testing.dumps import differences

pytestmark = pytest.mark.kernel("8021q")


@pytest.fixture
def wire(namespace: NetworkNamespace) -> Iterator[Capture]:
    """The far end of eth1; the host has an address there, outside of the VLAN."""
    with NetworkNamespace(name="far") as far:
        for name in ("eth1", "eth2"):
            veth(namespace, name, far, name)
        namespace.ip("address", "add", "192.0.2.7/24", "dev", "eth1")
        with Capture(far, "eth1") as capture:
            yield capture


def tagged(conf: Config, number: int = 0, **network: object) -> VIF:
    conf.config(group="vifplug_bridge", create_tap=True, remove_unused=True)
    more = {"mtu": 1450, "interface": "eth1", "vlan": 100, "should_create_vlan": True, **network}
    return bridge_vif(number, **more)


def test_a_guests_frame_has_the_tag_on_the_wire_and_the_host_keeps_its_address(
    namespace: NetworkNamespace, conf: Config, wire: Capture
) -> None:
    vif = tagged(conf)
    driver, before = GenericVIFDriver(), namespace.everything()
    driver.plug(None, vif)
    head = bytes.fromhex("ffffffffffff" + vif.address.replace(":", ""))
    body = b"\x88\xb5" + bytes(60)
    with TapEnd(namespace, tap_of(vif)) as guest:
        seen: list[bytes] = []
        until = time.monotonic() + 10
        while head + struct.pack("!HH", 0x8100, 100) + body not in seen:
            assert time.monotonic() < until
            guest.send(head + body)
            seen += wire.frames(0.05)
        assert head + body not in seen, "untagged"
    addresses = namespace.everything()["addresses"]
    assert [one["local"] for one in addresses["eth1"]] == ["192.0.2.7"]
    driver.unplug(None, vif)
    assert differences(before, namespace.everything()) == []
    driver.close()


def test_the_device_goes_with_its_last_vif(
    namespace: NetworkNamespace, conf: Config, wire: Capture
) -> None:
    one, two = tagged(conf, 0), tagged(conf, 1)
    driver = GenericVIFDriver()
    driver.plug_all([(None, one), (None, two)])
    claims = [name for name in kept_of("vlan100") if ":uses-vlan:" in name]
    assert {claim.split(":")[1] for claim in claims} == {one.id, two.id}
    driver.unplug(None, one)
    assert namespace.ip_json("link", "show", "vlan100")
    driver.unplug(None, two)
    assert not {"vlan100", "br100"} & namespace.everything()["links"].keys()
    driver.close()


def test_its_mtu_is_set_again_at_each_plug(
    namespace: NetworkNamespace, conf: Config, wire: Capture
) -> None:
    one, driver = tagged(conf), GenericVIFDriver()
    driver.plug(None, one)
    namespace.ip("link", "set", "vlan100", "mtu", "1300")
    assert "MTU 1450" in str(driver.check(None, one))
    assert driver.plug(None, one).changed
    namespace.ip("link", "set", "vlan100", "mtu", "1300")
    driver.plug(None, tagged(conf, 1))
    assert namespace.ip_json("link", "show", "vlan100")[0]["mtu"] == 1450
    driver.close()


def test_two_uplinks_with_one_id_are_told_apart(
    namespace: NetworkNamespace, conf: Config, wire: Capture
) -> None:
    driver = GenericVIFDriver()
    driver.plug(None, tagged(conf))
    before = namespace.everything()
    other = tagged(conf, 1, interface="eth2", bridge="br200")
    with pytest.raises(Conflict, match="vlan100 is VLAN 100 on eth1; needed: VLAN 100 on eth2"):
        driver.plug(None, other)
    assert differences(before, namespace.everything()) == []
    driver.close()


def test_a_vlan_device_of_others_stays_as_it_is(
    namespace: NetworkNamespace, conf: Config, wire: Capture
) -> None:
    namespace.ip("link", "add", "link", "eth1", "name", "vlan100", "type", "vlan", "id", "100")
    namespace.ip("link", "set", "vlan100", "up")
    namespace.ip("address", "add", "198.51.100.7/24", "dev", "vlan100")
    vif, before = tagged(conf), namespace.everything()
    driver = GenericVIFDriver()
    driver.plug(None, vif)
    during = namespace.everything()
    assert [one["local"] for one in during["addresses"]["br100"]] == ["198.51.100.7"]
    driver.unplug(None, vif)
    assert differences(before, namespace.everything()) == []
    driver.close()


def test_a_bridge_that_is_made_anew_above_its_vlan_device_has_the_mtu_of_that(
    namespace: NetworkNamespace, conf: Config, wire: Capture
) -> None:
    """Another program has deleted the bridge alone, and the VIF's new form names no MTU."""
    vif, without = tagged(conf), tagged(conf, mtu=None)
    conf.config(group="vifplug_bridge", create_tap=False)
    driver = GenericVIFDriver()
    driver.plug(None, vif)
    namespace.ip("link", "del", vif.network.bridge)
    driver.plug(None, without)
    links = namespace.everything()["links"]
    assert (links[vif.network.bridge]["mtu"], links["vlan100"]["mtu"]) == (1450, 1450)
    assert not driver.check(None, without)
