# SPDX-License-Identifier: Apache-2.0
"""An uplink that is down comes up for a bridge of ours, and is set down once that bridge goes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from oslo_config.fixture import Config

from tests.bridge.vifs import bridge_vif
from vifplug import GenericVIFDriver
from vifplug.testing import NetworkNamespace, veth
from vifplug.testing.dumps import differences

MARK = "vifplug:shared::woken:eth1"
WAYS = pytest.mark.parametrize(
    "network",
    [
        {},
        pytest.param({"vlan": 100, "should_create_vlan": True}, marks=pytest.mark.kernel("8021q")),
    ],
    ids=["the card itself", "a VLAN device on it"],
)


@pytest.fixture
def host(namespace: NetworkNamespace) -> Iterator[NetworkNamespace]:
    """A host with a card that is down."""
    with NetworkNamespace(name="far") as far:
        veth(namespace, "eth1", far, "eth1")
        namespace.ip("link", "set", "eth1", "down")
        yield namespace


@pytest.fixture
def conf(conf: Config) -> Config:
    """The process' configuration: a bridge goes with its last user."""
    conf.config(group="vifplug_bridge", remove_unused=True)
    return conf


def is_up(host: NetworkNamespace) -> bool:
    (link,) = host.ip_json("link", "show", "eth1")
    return "UP" in link["flags"]


@WAYS
def test_it_is_set_down_with_the_last_vif(
    network: dict[str, object], host: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    before = host.everything()
    one, two = (bridge_vif(number, interface="eth1", **network) for number in range(2))
    driver.plug(None, one)
    driver.plug(None, two)
    assert is_up(host)
    assert not driver.check(None, two)
    driver.unplug(None, one)
    assert is_up(host)
    driver.unplug(None, two)
    assert differences(before, host.everything()) == []


def test_it_stays_up_where_the_host_has_an_address_by_then(
    host: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    vif = bridge_vif(interface="eth1")
    driver.plug(None, vif)
    host.ip("address", "add", "192.0.2.7/24", "dev", "br100")
    driver.unplug(None, vif)
    assert is_up(host)
    (link,) = host.ip_json("address", "show", "eth1")
    assert "192.0.2.7" in {each.get("local") for each in link["addr_info"]}


def test_an_uplink_that_was_up_stays_up(host: NetworkNamespace, driver: GenericVIFDriver) -> None:
    host.ip("link", "set", "eth1", "up")
    before, vif = host.everything(), bridge_vif(interface="eth1")
    driver.plug(None, vif)
    driver.unplug(None, vif)
    assert differences(before, host.everything()) == []
