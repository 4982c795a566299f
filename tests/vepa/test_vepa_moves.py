# SPDX-License-Identifier: Apache-2.0
"""A VIF that comes from a Linux bridge, on which another program made its tap."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from oslo_config.fixture import Config

from tests.vepa.vifs import card, direct_vif
from vifplug import VIF, Conflict, GenericVIFDriver
from vifplug.model.host import Host
from vifplug.parts import Leaving
from vifplug.plan.derived import with_core
from vifplug.plan.removal import unused
from vifplug.plan.unused import removed_by
from vifplug.testing import NetworkNamespace, TapEnd
from vifplug.testing.configured import forked
from vifplug.testing.dumps import differences
from vifplug_bridge import opts as bridge_opts
from vifplug_bridge.plugin import BridgePlugin
from vifplug_vepa.macvtap import MacvtapPlugin
from vifplug_vepa.parts import KINDS


@pytest.fixture
def driver(namespace: NetworkNamespace, conf: Config) -> Iterator[GenericVIFDriver]:
    """A driver with the daemons of both plugins."""
    conf.register_opts(bridge_opts.OPTS, group=bridge_opts.GROUP)
    conf.config(group=bridge_opts.GROUP, remove_unused=True)
    card(namespace)
    with forked(MacvtapPlugin, BridgePlugin) as both:
        yield both


@pytest.fixture
def on_bridge() -> VIF:
    """The VIF on a bridge that its plug makes."""
    network = {"bridge": "br-x", "should_create_bridge": True}
    data = {"id": direct_vif().id, "vif_type": "bridge", "address": direct_vif().address,
            "network": network}  # fmt: skip
    return VIF.from_dict(data)


def names(namespace: NetworkNamespace) -> set[str]:
    return {link["ifname"] for link in namespace.ip_json("link")}


def test_the_tap_and_the_bridge_go(
    namespace: NetworkNamespace, driver: GenericVIFDriver, on_bridge: VIF
) -> None:
    vif, before = direct_vif(), namespace.everything()
    tap = f"tap{vif.id[:11]}"
    driver.plug(None, on_bridge)
    namespace.ip("tuntap", "add", tap, "mode", "tap")
    namespace.ip("link", "set", tap, "master", "br-x", "up")
    with pytest.raises(Conflict, match="this VIF in one place"):
        driver.plug(None, vif)
    driver.plug(None, vif, move=True)
    assert {tap, "br-x"} & names(namespace) == set()
    assert [one.vif_type for one in driver.list()] == [vif.vif_type]
    driver.unplug(None, vif)
    assert differences(before, namespace.everything()) == []


def test_a_tap_without_a_claim_shows_that_the_vif_is_elsewhere(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    vif = direct_vif()
    tap = f"tap{vif.id[:11]}"
    namespace.ip("link", "add", "br-y", "type", "bridge")
    namespace.ip("tuntap", "add", tap, "mode", "tap")
    namespace.ip("link", "set", tap, "master", "br-y", "up")
    with pytest.raises(Conflict, match=f"{tap} is on br-y already"):
        driver.plug(None, vif)


def test_a_guest_that_runs_on_the_tap_keeps_it(
    namespace: NetworkNamespace, driver: GenericVIFDriver, on_bridge: VIF
) -> None:
    vif = direct_vif()
    tap = f"tap{vif.id[:11]}"
    driver.plug(None, on_bridge)
    namespace.ip("tuntap", "add", tap, "mode", "tap")
    namespace.ip("link", "set", tap, "master", "br-x", "up")
    with TapEnd(namespace, tap):
        with pytest.raises(Conflict, match=f"{tap} is the tap of this VIF's guest"):
            driver.plug(None, vif, move=True)
        assert {tap, "br-x"} <= names(namespace)
    driver.unplug(None, on_bridge, force=True)


@pytest.mark.unit
def test_a_bridge_that_is_left_goes_before_its_vlan_device() -> None:
    def ours(role: str, name: str) -> dict[str, list[str]]:
        return {"altnames": [f"vifplug:shared::{role}:{name}"]}

    links = {
        "eth9": {"kind": "veth", "up": True},
        "vlan7": {"kind": "vlan", "lower": "eth9", "vlan": 7, "master": "br-x",
                  "altnames": ["vifplug:shared::vlan:vlan7", "vifplug:shared::uplink:br-x"]},
        "br-x": {"kind": "bridge", **ours("bridge", "br-x")},
    }  # fmt: skip
    host = Host.from_dict({"links": links})
    leaving = Leaving(vif_id=direct_vif().id)
    units = unused(["br-x", "vlan7"], leaving, host, with_core(KINDS))
    assert removed_by(units) == ("br-x", "vlan7")
