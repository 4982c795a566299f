# SPDX-License-Identifier: Apache-2.0
"""A bridge of ours that a VIF leaves in a move, and that no VIF uses after it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
from oslo_config.fixture import Config

from tests.ovs.conftest import Host
from tests.ovs.moves import MANUAL, both_daemons
from tests.ovs.vifs import IDS
from vifplug import VIF, GenericVIFDriver
from vifplug.testing import NetworkNamespace, OpenVSwitch, veth
from vifplug_bridge import opts as bridge_opts

ADDRESS = "192.0.2.7/24"


def of_ours(vif_id: str, bridge: str = "br-ours") -> VIF:
    """Return a VIF on a Linux bridge that vifplug makes, with the host's uplink."""
    network = {
        "bridge": bridge, "interface": "eth1" if bridge == "br-ours" else None,
        "should_create_bridge": True,
    }  # fmt: skip
    network = {name: value for name, value in network.items() if value is not None}
    data = {
        "id": vif_id, "vif_type": "bridge", "address": "fa:16:3e:11:22:33", "network": network,
    }  # fmt: skip
    return VIF.from_dict(data)


def names(namespace: NetworkNamespace, *options: str) -> set[str]:
    """Return the names of the host's devices, of all or of some."""
    return {link["ifname"] for link in namespace.ip_json("link", "show", *options)}


def addresses(namespace: NetworkNamespace, device: str) -> list[str]:
    """Return the IPv4 addresses of a device."""
    (link,) = namespace.ip_json("-4", "address", "show", "dev", device) or [{}]
    return [f"{each['local']}/{each['prefixlen']}" for each in link.get("addr_info", ())]


@pytest.fixture
def driver(
    namespace: NetworkNamespace, br_int: OpenVSwitch, conf: Config
) -> Iterator[GenericVIFDriver]:
    """A driver with both plugins' daemons on a host with an uplink that has the host's address."""
    with NetworkNamespace() as far:
        veth(namespace, "eth1", far, "far")
        namespace.ip("address", "add", ADDRESS, "dev", "eth1")
        with both_daemons(conf, create_tap=True) as both:
            yield both


@pytest.fixture
def unused(conf: Config) -> None:
    """Remove what is unused; the daemons are forked after this."""
    conf.register_opts(bridge_opts.OPTS, group=bridge_opts.GROUP)
    for group in ("vifplug_bridge", "vifplug_ovs"):
        conf.config(group=group, remove_unused=True)


def test_to_open_vswitch(
    unused: None, namespace: NetworkNamespace, ovs: OpenVSwitch, driver: GenericVIFDriver
) -> None:
    host = Host(namespace, ovs, driver)
    others = dataclasses.replace(MANUAL.vif, id=IDS[1])
    for vif_id in IDS[:2]:
        driver.plug(None, of_ours(vif_id))
    assert addresses(namespace, "br-ours") == [ADDRESS]
    driver.plug(None, MANUAL.vif, move=True)
    assert names(namespace, "master", "br-ours") != {"eth1"}, "another VIF uses the bridge"
    result = driver.plug(None, others, move=True)
    assert result.changed
    assert "br-ours" not in names(namespace)
    assert addresses(namespace, "eth1") == [ADDRESS]
    assert {one.bridge for one in driver.list()} == {"br-int"}
    driver.unplug_all([(None, MANUAL.vif), (None, others)])
    assert host.differs(host.before) == []


def test_to_another_bridge(
    unused: None, namespace: NetworkNamespace, ovs: OpenVSwitch, driver: GenericVIFDriver
) -> None:
    host = Host(namespace, ovs, driver)
    driver.plug(None, of_ours(IDS[0]))
    there = of_ours(IDS[0], "br-two-l")
    driver.plug(None, there, move=True)
    assert "br-ours" not in names(namespace)
    assert addresses(namespace, "eth1") == [ADDRESS]
    assert not driver.check(None, there)
    driver.unplug(None, there)
    assert host.differs(host.before) == []


def test_it_stays_where_the_option_is_not_set(
    namespace: NetworkNamespace, ovs: OpenVSwitch, driver: GenericVIFDriver
) -> None:
    driver.plug(None, of_ours(IDS[0]))
    driver.plug(None, MANUAL.vif, move=True)
    assert addresses(namespace, "br-ours") == [ADDRESS]
