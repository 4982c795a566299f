# SPDX-License-Identifier: Apache-2.0
"""Ports in the dead VLAN, on trunks' bridges and on bridges of their own, by what passes them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from oslo_config.fixture import Config

from tests.ovs.databases import configuration
from tests.ovs.datapaths import on_both_datapaths
from tests.ovs.deadvlan import DEAD, FRAME, PAYLOAD, PLAIN, port_row, tagged
from tests.ovs.realhost import wait_for_bridges
from tests.ovs.vifs import IDS, ovs_vif
from vifplug import Conflict, GenericVIFDriver
from vifplug.testing import Capture, NetworkNamespace, OpenVSwitch, TapEnd, veth
from vifplug.testing.dumps import differences

TAP = f"tap{IDS[0]}"[:14]
PB, PBP, IBP = (f"{prefix}{IDS[0]}"[:14] for prefix in ("pb", "pbp", "ibp"))
TRUNK = "tbr-1f2e3d4c"
TAGGED = tagged(100)


pytestmark = on_both_datapaths


@contextmanager
def far_side(host: NetworkNamespace, ovs: OpenVSwitch, bridge: str) -> Iterator[Capture]:
    """What lies behind a wire that is a port of the bridge."""
    with NetworkNamespace() as far:
        veth(host, "uplink", far, "far")
        ovs.vsctl("add-port", bridge, "uplink")
        with Capture(far, "far") as wire:
            yield wire
        ovs.vsctl("del-port", bridge, "uplink")
        # A busy kernel takes away the wire of a namespace much later.
        host.ip("link", "del", "uplink")


def passes(guest: TapEnd, wire: Capture, frame: bytes = FRAME) -> bool:
    """Whether a guest's frame comes out at the far side; it is sent until it does."""
    for _ in range(8):
        guest.send(frame)
        try:
            wire.wait_for(lambda seen: PAYLOAD in seen, timeout=0.25)
        except TimeoutError:
            continue
        return True
    return False


def test_an_isolated_guest_reaches_nobody_until_it_is_wired(
    namespace: NetworkNamespace, br_int: OpenVSwitch, driver: GenericVIFDriver, conf: Config
) -> None:
    conf.config(group="vifplug_ovs", isolate=True)
    driver, vif = GenericVIFDriver(), ovs_vif()
    start = configuration(br_int)
    # Two, because a VIF that is alone races for its device, and may ask the switch twice.
    plugged = driver.plug_all([(None, vif), (None, ovs_vif(1))])
    assert [getattr(one, "process", one) for one in plugged] == ["manual"] * 2
    assert configuration(br_int) == start + 1, "isolated from the moment on in which it is there"
    assert port_row(br_int, TAP) == DEAD
    with far_side(namespace, br_int, "br-int") as wire, TapEnd(namespace, TAP) as guest:
        assert not passes(guest, wire)
        assert not passes(guest, wire, TAGGED), "nor with a tag of its own"
        assert not driver.check(None, vif)
        # As Neutron's agent does it.
        clear = ("--", "clear", "Port", TAP, "vlan_mode", "trunks")
        br_int.vsctl("set", "Port", TAP, "tag=[]", *clear)
        assert passes(guest, wire)
        assert not driver.plug(None, vif).changed
        assert port_row(br_int, TAP) == PLAIN
        assert passes(guest, wire), "a port that is live is never isolated"
    driver.unplug_all([(None, vif), (None, ovs_vif(1))])


def test_a_running_guest_whose_port_was_lost_is_not_cut_off(
    namespace: NetworkNamespace, br_int: OpenVSwitch, driver: GenericVIFDriver, conf: Config
) -> None:
    conf.config(group="vifplug_ovs", process="manual", isolate=True)
    driver, vif = GenericVIFDriver(), ovs_vif()
    driver.plug(None, vif)
    br_int.vsctl("del-port", TAP)
    with TapEnd(namespace, TAP):
        namespace.ip("link", "set", TAP, "up")
        assert driver.plug(None, vif).changed
        assert port_row(br_int, TAP) == PLAIN
    br_int.vsctl("del-port", TAP)
    assert driver.plug(None, vif).changed
    assert port_row(br_int, TAP) == DEAD, "without a guest it is made as at first"
    driver.unplug(None, vif)


@pytest.mark.parametrize("process", ["manual", "hybrid"])
def test_a_trunks_bridge_isolates_nobody(
    process: str, ovs: OpenVSwitch, driver: GenericVIFDriver, conf: Config
) -> None:
    conf.config(group="vifplug_ovs", process=process, isolate=True)
    driver, vif = GenericVIFDriver(), ovs_vif(bridge=TRUNK)
    before = ovs.everything()
    with pytest.raises(Conflict, match=f"OVS bridge {TRUNK} is not there"):
        driver.plug(None, vif)
    assert differences(before, ovs.everything()) == []
    ovs.add_bridge(TRUNK)
    driver.plug(None, vif)
    (port,) = ovs.vsctl("list-ports", TRUNK).split()
    assert port_row(ovs, port) == PLAIN
    driver.unplug(None, vif)
    assert ovs.vsctl("list-br").split() == [TRUNK]


def test_a_guest_on_a_bridge_of_its_own_is_reached_through_the_patch(
    namespace: NetworkNamespace, br_int: OpenVSwitch, driver: GenericVIFDriver, conf: Config
) -> None:
    conf.config(group="vifplug_ovs", per_port_bridge=True)
    driver, vif = GenericVIFDriver(), ovs_vif(mtu=1450)
    before = (namespace.everything(), br_int.everything())
    result = driver.plug(None, vif)
    assert (result.process, result.devices) == ("manual", (TAP,))
    assert br_int.vsctl("list-ports", PB).split() == [PBP, TAP]
    assert br_int.vsctl("list-ports", "br-int").split() == [IBP]
    ids = {row["name"]: row["external_ids"].get("iface-id") for row in br_int.rows("Interface")}
    assert ids == {"br-int": None, PB: None, PBP: None, TAP: None, IBP: vif.id}
    assert all(row["ofport"] > 0 and not row["error"] for row in br_int.rows("Interface"))
    (found,) = driver.list()
    assert (found.bridge, found.process) == ("br-int", "manual")
    with far_side(namespace, br_int, "br-int") as wire, TapEnd(namespace, TAP) as guest:
        assert passes(guest, wire)
        assert not driver.plug(None, vif).changed
    # Whatever the option says by then.
    conf.config(group="vifplug_ovs", per_port_bridge=False)
    driver = GenericVIFDriver()
    assert not driver.plug(None, vif).changed
    (gone,) = driver.unplug_ids([vif.id])
    assert getattr(gone, "changed", gone) is True
    wait_for_bridges(namespace, br_int)
    assert differences(before[0], namespace.everything()) == []
    assert differences(before[1], br_int.everything()) == []


def test_a_bridge_of_its_own_has_a_dead_end_where_ports_are_isolated(
    namespace: NetworkNamespace, br_int: OpenVSwitch, driver: GenericVIFDriver, conf: Config
) -> None:
    conf.config(group="vifplug_ovs", per_port_bridge=True, isolate=True)
    driver, vif = GenericVIFDriver(), ovs_vif()
    driver.plug(None, vif)
    assert [port_row(br_int, name) for name in (IBP, TAP, PBP)] == [DEAD, PLAIN, PLAIN]
    with far_side(namespace, br_int, "br-int") as wire, TapEnd(namespace, TAP) as guest:
        assert not passes(guest, wire)
        assert not passes(guest, wire, TAGGED)
    driver.unplug(None, vif)


def test_a_batch_on_bridges_of_their_own_is_one_transaction_each_way(
    namespace: NetworkNamespace, br_int: OpenVSwitch, driver: GenericVIFDriver, conf: Config
) -> None:
    conf.config(group="vifplug_ovs", per_port_bridge=True)
    driver = GenericVIFDriver()
    before, start = (namespace.everything(), br_int.everything()), configuration(br_int)
    pairs = [(None, ovs_vif(number)) for number in range(10)]
    assert [getattr(one, "changed", one) for one in driver.plug_all(pairs)] == [True] * 10
    assert configuration(br_int) == start + 1
    assert [getattr(one, "changed", one) for one in driver.unplug_all(pairs)] == [True] * 10
    assert configuration(br_int) == start + 2
    wait_for_bridges(namespace, br_int)
    assert differences(before[0], namespace.everything()) == []
    assert differences(before[1], br_int.everything()) == []
