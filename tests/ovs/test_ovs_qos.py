# SPDX-License-Identifier: Apache-2.0
"""Queueing disciplines of ports on the kernel's datapath: linux-noop leaves them as they are."""

from __future__ import annotations

import pytest
from oslo_config.fixture import Config

from tests.ovs.datapaths import on_the_kernels_datapath
from tests.ovs.vifs import IDS, ovs_vif
from vifplug import GenericVIFDriver
from vifplug.testing import NetworkNamespace, OpenVSwitch
from vifplug.testing.dumps import differences

PORTS = {"manual": f"tap{IDS[0]}"[:14], "hybrid": f"qvo{IDS[0]}"[:14]}


def discipline(namespace: NetworkNamespace, device: str) -> str:
    """Return a device's root queueing discipline with its settings, as tc(8) shows it."""
    shown = namespace.run("tc", "qdisc", "show", "dev", device, "root").stdout
    return shown.split("root")[0].split()[1] + shown.partition("refcnt")[2][2:].rstrip()


@on_the_kernels_datapath
@pytest.mark.parametrize("process", PORTS)
def test_linux_noop_leaves_a_ports_queueing_discipline_as_it_is(
    process: str, namespace: NetworkNamespace, br_int: OpenVSwitch, driver: GenericVIFDriver,
    conf: Config,
) -> None:  # fmt: skip
    conf.config(group="vifplug_ovs", process=process)
    driver, vif, port = GenericVIFDriver(), ovs_vif(), PORTS[process]
    before = br_int.everything()
    driver.plug(None, vif)
    (row,) = br_int.rows("QoS")
    assert row["type"] == "linux-noop"
    assert row["external_ids"]["vifplug-id"] == vif.id
    namespace.run("tc", "qdisc", "replace", "dev", port, "root", "pfifo", "limit", "77")
    br_int.vsctl("set", "Port", port, "external_ids:touched=yes")
    br_int.add_bridge("br-more")
    br_int.vsctl("del-br", "br-more")
    assert "77p" in discipline(namespace, port)
    driver.unplug(None, vif)
    assert br_int.rows("QoS") == []
    assert differences(before, br_int.everything()) == []


@on_the_kernels_datapath
def test_without_it_the_switch_puts_its_own_there(
    namespace: NetworkNamespace, br_int: OpenVSwitch, driver: GenericVIFDriver, conf: Config
) -> None:
    conf.config(group="vifplug_ovs", process="manual", qos_type="")
    driver, port = GenericVIFDriver(), PORTS["manual"]
    namespace.ip("tuntap", "add", port, "mode", "tap")
    namespace.run("tc", "qdisc", "replace", "dev", port, "root", "pfifo", "limit", "77")
    driver.plug(None, ovs_vif())
    assert br_int.rows("QoS") == []
    assert "77p" not in discipline(namespace, port)
    driver.unplug(None, ovs_vif())


@on_the_kernels_datapath
def test_a_shaping_type_is_in_effect(
    namespace: NetworkNamespace, br_int: OpenVSwitch, driver: GenericVIFDriver, conf: Config
) -> None:
    conf.config(group="vifplug_ovs", process="manual", qos_type="linux-htb")
    driver, port = GenericVIFDriver(), PORTS["manual"]
    driver.plug(None, ovs_vif())
    assert discipline(namespace, port).startswith("htb")
    assert not driver.plug(None, ovs_vif()).changed
    driver.unplug(None, ovs_vif())
    assert br_int.rows("QoS") == []
