# SPDX-License-Identifier: Apache-2.0
"""The other kernel can do what the tests in it rely on."""

from __future__ import annotations

import struct

import pytest

from tests.bridge.conftest import conf, driver  # noqa: F401 (fixtures)
from vifplug import VIF, GenericVIFDriver
from vifplug.testing import Capture, NetworkNamespace, TapEnd, veth
from vifplug.testing.claims import every_claim

pytestmark = pytest.mark.kernel("8021q")

PAYLOAD = b"\x88\xb5" + b"over the wire".ljust(60, b".")
ADDRESSES = bytes.fromhex("ffffffffffff" + "020000000001")


def test_a_vlan_device_tags_what_it_sends_and_untags_what_it_receives() -> None:
    with NetworkNamespace() as near, NetworkNamespace() as far:
        veth(near, "eth0", far, "eth0")
        near.ip("link", "add", "link", "eth0", "name", "eth0.7", "type", "vlan", "id", "7")
        near.ip("link", "set", "eth0.7", "up")
        untagged = ADDRESSES + PAYLOAD
        tagged = ADDRESSES + struct.pack("!HH", 0x8100, 7) + PAYLOAD
        with Capture(near, "eth0.7") as vlan, Capture(far, "eth0") as wire:
            vlan.send(untagged)
            assert wire.wait_for(lambda frame: PAYLOAD in frame, timeout=5) == tagged
            wire.send(tagged)
            assert vlan.wait_for(lambda frame: PAYLOAD in frame, timeout=5) == untagged


def test_a_tap_has_a_guests_end() -> None:
    with NetworkNamespace() as host:
        host.ip("tuntap", "add", "tap0", "mode", "tap")
        host.ip("link", "set", "tap0", "up")
        with TapEnd(host, "tap0") as guest, Capture(host, "tap0") as capture:
            guest.send(ADDRESSES + PAYLOAD)
            assert capture.wait_for(lambda frame: PAYLOAD in frame, timeout=5)


def test_the_driver_plugs_and_unplugs(
    namespace: NetworkNamespace,
    driver: GenericVIFDriver,  # noqa: F811
) -> None:
    network = {"bridge": "br100", "should_create_bridge": True, "mtu": 1450}
    data = {"vif_type": "bridge", "address": "fa:16:3e:11:22:33", "network": network}
    vif = VIF.from_dict({"id": "0b6a9d0e-7a3c-4a6e-9d55-3f1f0a3c2b11", **data})

    assert driver.plug(None, vif).changed
    (link,) = namespace.ip_json("link", "show", "type", "bridge")
    assert (link["ifname"], link["mtu"]) == ("br100", 1450)
    assert not driver.check(None, vif)
    assert vif.id in str(every_claim())
    assert driver.unplug(None, vif).changed
    assert vif.id not in str((namespace.everything(), every_claim()))
