# SPDX-License-Identifier: Apache-2.0
"""A port is isolated until Neutron's agent has wired it, where Neutron says that its agent will."""

from __future__ import annotations

import contextlib
import itertools
import time
from typing import Any

import pytest
from oslo_config.fixture import Config

from tests.libvirts_tap import LibvirtsTap
from tests.ovs.databases import configuration
from tests.ovs.deadvlan import DEAD, FRAME, PAYLOAD, PLAIN, port_row, tagged
from tests.ovs.vifs import IDS, ovs_vif
from tests.processes import HANGS
from vifplug import GenericVIFDriver
from vifplug.sources import SOURCES
from vifplug.testing import NetworkNamespace, OpenVSwitch, TapEnd

TAP, FAR = (f"tap{vif_id}"[:14] for vif_id in IDS[:2])


def neutron_port(drivers: dict[str, str] | None) -> dict[str, Any]:
    """Return a port as Neutron's API shows it once these mechanism drivers have bound it."""
    details: dict[str, Any] = {"connectivity": "l2", "bridge_name": "br-int", "port_filter": True}
    return {
        "port": {
            "id": IDS[0],
            "network_id": IDS[20],
            "mac_address": "fa:16:3e:11:22:00",
            "device_owner": "compute:nova",
            "binding:vif_type": "ovs",
            "binding:vnic_type": "normal",
            "binding:vif_details": details | ({"bound_drivers": drivers} if drivers else {}),
        }
    }


def nova_entry(drivers: dict[str, str] | None) -> dict[str, Any]:
    """Return the same port as Nova has it."""
    port = neutron_port(drivers)["port"]
    return {
        "id": port["id"],
        "address": port["mac_address"],
        "type": "ovs",
        "vnic_type": "normal",
        "details": port["binding:vif_details"],
        "network": {"id": port["network_id"], "bridge": "br-int", "subnets": [], "meta": {}},
    }


AS_THEY_SAY = {"neutron": neutron_port, "nova": nova_entry}
AGENT = {"0": "openvswitch"}
WIRED_BY = (
    pytest.param("neutron", AGENT, DEAD, {}, id="agent"),
    pytest.param("nova", AGENT, DEAD, {}, id="agent-nova"),
    pytest.param("neutron", {"0": "fabric", "1": "openvswitch"}, DEAD, {}, id="agent-of-a-fabric"),
    pytest.param("nova", {"0": "ovn"}, PLAIN, {"isolate": True, "process": "manual"}, id="ovn"),
    pytest.param("neutron", None, PLAIN, {"process": "manual"}, id="unsaid"),
    pytest.param("neutron", None, DEAD, {"isolate": True}, id="unsaid-isolate"),
)


_NUMBERS = itertools.count()


def arrives(guest: TapEnd, other: TapEnd, frame: bytes, *, within: float = HANGS) -> bool:
    """Whether a guest's frame comes to another guest; it is sent until it does."""
    # Its own number, because one that is late is no proof for the next.
    number = f"{next(_NUMBERS)}.".encode()
    until = time.monotonic() + within
    while time.monotonic() < until:
        guest.send(frame + number)
        with contextlib.suppress(TimeoutError):
            while PAYLOAD + number not in other.receive(timeout=0.25):
                pass
            return True
    return False


@pytest.mark.parametrize(("source", "drivers", "row", "options"), WIRED_BY)
def test_a_guest_has_no_way_into_another_network_before_neutrons_agent_wires_its_port(
    source: str,
    drivers: dict[str, str] | None,
    row: tuple[Any, Any, Any],
    options: dict[str, Any],
    namespace: NetworkNamespace,
    br_int: OpenVSwitch,
    driver: GenericVIFDriver,
    conf: Config,
) -> None:
    conf.config(group="vifplug_ovs", process="manual")
    other = ovs_vif(1)
    GenericVIFDriver().plug(None, other)
    br_int.vsctl("set", "Port", FAR, "tag=1")
    conf.config(group="vifplug_ovs", **{"process": "choose", **options})
    driver = GenericVIFDriver()
    vif = SOURCES[source].vif_of(AS_THEY_SAY[source](drivers))
    start = configuration(br_int)
    # Two, because a VIF that is alone races for its device, and may ask the switch twice.
    plugged = driver.plug_all([(None, vif), (None, ovs_vif(2))])
    assert getattr(plugged[0], "process", plugged[0]) == "manual"
    assert configuration(br_int) == start + 1, "isolated from the moment on in which it is there"
    assert port_row(br_int, TAP) == row
    said = "dead VLAN 4095" if row == DEAD else ""
    assert driver.plan(None, vif).unwired == driver.check(None, vif).unwired == said
    assert [one.unwired or "" for one in driver.list() if one.id == vif.id] == [said]
    with TapEnd(namespace, TAP) as guest, TapEnd(namespace, FAR) as far:
        # A port without a VLAN is a trunk of all of them.
        if row == PLAIN:
            assert arrives(guest, far, tagged(1))
        else:
            assert not arrives(guest, far, tagged(1), within=2)
        # As Neutron's agent does it, where both ports are of one network.
        clear = ("--", "clear", "Port", TAP, "vlan_mode", "trunks")
        br_int.vsctl("set", "Port", TAP, "tag=1", *clear)
        assert arrives(guest, far, FRAME)
        # Its VLAN is the agent's to choose, once the switch has looked at its flows again.
        until = time.monotonic() + 30
        while arrives(guest, far, tagged(1), within=2):
            assert time.monotonic() < until
        assert not driver.plug(None, vif).changed
        assert not driver.check(None, vif)
        assert driver.check(None, vif).unwired == ""
    driver.unplug_all([(None, vif), (None, other), (None, ovs_vif(2))], force=True)


@pytest.mark.parametrize(("bridge", "row"), [("br-int", PLAIN), ("br-other", DEAD)])
def test_the_option_leaves_out_the_bridge_of_the_hosts_ovn(
    bridge: str,
    row: tuple[Any, Any, Any],
    br_int: OpenVSwitch,
    driver: GenericVIFDriver,
    conf: Config,
) -> None:
    # OVN takes no port out of the dead VLAN. An inactive binding does not tell who wires it.
    ids = ("external_ids:ovn-remote=unix:/nowhere", f"external_ids:ovn-bridge={bridge}")
    br_int.vsctl("set", "Open_vSwitch", ".", *ids)
    conf.config(group="vifplug_ovs", process="manual", isolate=True)
    driver, vif = GenericVIFDriver(), SOURCES["neutron"].vif_of(neutron_port(None))
    driver.plug(None, vif)
    assert port_row(br_int, TAP) == row
    assert not driver.check(None, vif)
    driver.unplug(None, vif)


def test_the_port_that_libvirt_made_is_told_where_the_agent_has_taken_it_out(
    namespace: NetworkNamespace, br_int: OpenVSwitch, driver: GenericVIFDriver, conf: Config
) -> None:
    conf.config(group="vifplug_ovs", process="automatic")
    driver, vif = GenericVIFDriver(), ovs_vif(interface_id=IDS[7])
    driver.plug(None, vif)
    assert driver.check(None, vif).unwired == "", "libvirt has made no port"
    with LibvirtsTap(namespace, TAP):
        namespace.ip("link", "set", TAP, "up")
        ids = (f"external_ids:{key}={IDS[7]}" for key in ("iface-id", "vm-id"))
        row = ("--", "set", "Interface", TAP, *ids, "--", "set", "Port", TAP, "tag=4095")
        br_int.vsctl("add-port", "br-int", TAP, *row)
        checked = driver.check(None, vif)
        assert (bool(checked), checked.unwired) == (False, "dead VLAN 4095")
        assert [one.unwired for one in driver.list()] == ["dead VLAN 4095"]
        assert not driver.plug(None, vif).changed
        assert br_int.vsctl("get", "Port", TAP, "tag").strip() == "4095"
        br_int.vsctl("del-port", TAP)
    driver.unplug(None, vif)
