# SPDX-License-Identifier: Apache-2.0
"""VIFs that a running os-vif has plugged: adopted while frames go on, checked, unplugged."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from oslo_config.fixture import Config

from tests import osvif
from tests.ovs.conftest import Host
from tests.ovs.streams import Stream
from vifplug import VIF, GenericVIFDriver
from vifplug.testing import Capture, NetworkNamespace, OpenVSwitch, TapEnd, veth
from vifplug.testing.dumps import differences


@pytest.fixture(scope="module")
def programs() -> Path:
    """os-vif's programs, installed while the test is not in its namespace yet."""
    return osvif.installed()


@pytest.fixture
def os_vif(
    programs: Path, namespace: NetworkNamespace, br_int: OpenVSwitch, tmp_path: Path
) -> Iterator[osvif.Ask]:
    """A function that has os-vif plug or unplug, in a process of its own."""
    with osvif.running(programs, tmp_path, br_int.endpoint) as ask:
        yield ask


def rows(ovs: OpenVSwitch, name: str) -> tuple[Any, ...]:
    """Return what must not change of a port while it is adopted."""
    (port,) = (row for row in ovs.rows("Port") if row["name"] == name)
    (interface,) = (row for row in ovs.rows("Interface") if row["name"] == name)
    return port["_uuid"], interface["_uuid"], interface["ofport"], interface["ifindex"]


def give_its_queueing(ovs: OpenVSwitch, port: str) -> None:
    """Add the QoS row that os-vif makes on a system datapath, which this kernel lacks."""
    named = uuid.uuid5(uuid.UUID("68da264a-847f-42a8-8ab0-5e774aee3d95"), port)
    ids = (f"external_ids:id={named}", "external_ids:_type=linux-noop")
    made = ("--id=@made", "create", "QoS", "type=linux-noop", *ids)
    ovs.vsctl(*made, "--", "set", "Port", port, "qos=@made")


@pytest.mark.parametrize("kind", ["manual", "hybrid"])
def test_adopted_with_no_frame_lost_checked_and_unplugged(
    kind: str, os_vif: osvif.Ask, namespace: NetworkNamespace, br_int: OpenVSwitch, conf: Config
) -> None:
    vif_id = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{kind}0"))
    vif = VIF.from_dict(
        {
            "id": vif_id,
            "vif_type": "ovs",
            "address": "fa:16:3e:00:00:00",
            "network": {"bridge": "br-int", "mtu": 1450},
        }
    )
    driver = GenericVIFDriver()
    with NetworkNamespace() as far:
        veth(namespace, "uplink", far, "far")
        br_int.vsctl("add-port", "br-int", "uplink")
        host = Host(namespace, br_int, driver)
        os_vif("plug", kind)
        tap = f"tap{vif_id[:11]}"
        port = tap if kind == "manual" else f"qvo{vif_id[:11]}"
        give_its_queueing(br_int, port)
        if kind == "hybrid":  # which libvirt makes for the guest
            namespace.ip("tuntap", "add", tap, "mode", "tap")
            namespace.ip("link", "set", tap, "master", f"qbr{vif_id[:11]}", "up")
        before = rows(br_int, port)
        links = {name: link["ifindex"] for name, link in namespace.everything()["links"].items()}
        with TapEnd(namespace, tap) as guest, Capture(far, "far") as wire:
            time.sleep(0.5)
            with Stream(guest, wire, vif.address) as stream:
                time.sleep(0.2)
                plan = driver.plan(None, vif)
                assert plan.owner.process == kind
                result = driver.plug(None, vif)
                assert not driver.check(None, vif)
                time.sleep(0.2)
            sent, *lost = stream.lost()
        assert sent > 100
        assert lost == [0, 0]
        assert result.changed, "its marks are ours now"
        assert rows(br_int, port) == before
        now = namespace.everything()["links"]
        assert {name: link["ifindex"] for name, link in now.items()} == links
        assert [(one.id, one.process) for one in driver.list()] == [(vif_id, kind)]
        assert not driver.plug(None, vif).changed
        driver.unplug(None, vif, force=True)
        assert host.differs(host.before) == []
    driver.close()


@pytest.mark.parametrize("kind", ["manual", "hybrid"])
def test_unplugged_without_having_been_adopted(
    kind: str, os_vif: osvif.Ask, namespace: NetworkNamespace, br_int: OpenVSwitch, conf: Config
) -> None:
    driver = GenericVIFDriver()
    host = Host(namespace, br_int, driver)
    os_vif("plug", kind)
    driver.unplug_ids([str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{kind}0"))])
    assert differences({"": host.before}, {"": host.everything()}) == []
    driver.close()


@pytest.mark.parametrize("kind", ["manual", "hybrid"])
def test_os_vif_unplugs_what_we_have_plugged(
    kind: str, os_vif: osvif.Ask, namespace: NetworkNamespace, br_int: OpenVSwitch, conf: Config
) -> None:
    """The way back: what os-vif leaves of ours is nothing."""
    conf.config(group="vifplug_ovs", process=kind)
    driver = GenericVIFDriver()
    host = Host(namespace, br_int, driver)
    vif_id = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{kind}0"))
    data = {"id": vif_id, "vif_type": "ovs", "address": "fa:16:3e:00:00:00",
            "network": {"bridge": "br-int", "mtu": 1450}}  # fmt: skip
    assert driver.plug(None, VIF.from_dict(data)).process == kind
    os_vif("unplug", kind)
    assert host.differs(host.before) == []
    driver.close()
