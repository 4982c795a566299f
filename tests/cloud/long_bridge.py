# SPDX-License-Identifier: Apache-2.0
"""VIFs of a real Neutron with its linuxbridge and its macvtap agent: ``make cloud`` runs these."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.cloud.bridges import LINUXBRIDGE, BridgeCloud
from tests.cloud.guest import Guest
from tests.cloud.neutrons import eventually

_LITTLE = 1
"""Seconds for which a frame is sent that must not come. One that may come always follows it."""


def _starts(cloud: BridgeCloud, *ports: dict[str, Any]) -> None:
    """Make the guests' taps, as libvirt does."""
    ip = cloud.host.namespace.ip
    for port in ports:
        tap, bridge = f"tap{port['id'][:11]}", f"brq{port['network_id'][:11]}"
        ip("tuntap", "add", tap, "mode", "tap")
        ip("link", "set", tap, "up", "master", bridge)


def _stops(cloud: BridgeCloud, *ports: dict[str, Any]) -> None:
    for port in ports:
        cloud.host.namespace.ip("link", "del", f"tap{port['id'][:11]}")


def test_the_linuxbridge_agent_wires_a_port_of_type_bridge(bridges: BridgeCloud) -> None:
    host, neutron = bridges.host, bridges.neutron
    ports = neutron.ports(bridges.bridged, 2)
    for port in ports:
        assert port["binding:vif_type"] == "bridge"
        assert port["binding:vif_details"]["bound_drivers"] == {"0": "linuxbridge"}
    host.done("plug", *ports)
    _starts(bridges, *ports)
    neutron.wait_for("ACTIVE", *ports)
    brq = f"brq{bridges.bridged['id'][:11]}"

    def members() -> set[str]:
        links = host.namespace.ip_json("link", "show", "master", brq)
        return {link["ifname"] for link in links}

    taps = {f"tap{port['id'][:11]}" for port in ports}
    assert members() == taps | {"uplink"}, "the agent adds the uplink to our bridge"
    for one in host.done("check", *ports) + host.done("plug", *ports):
        assert one["changed"] is False
    with Guest(host.namespace, ports[0]) as guest, Guest(host.namespace, ports[1]) as other:
        assert guest.ping(other)
        assert not guest.ping(other, ip="10.7.0.250", within=_LITTLE)
        assert not guest.ping(other, source="02:00:00:00:00:01", within=_LITTLE)
        assert not guest.announces(other, "10.7.0.250", within=_LITTLE)
        assert guest.announces(other, guest.ip)
        # The agent ends and starts again: the wires stay.
        neutron.programs.kill(LINUXBRIDGE)
        new = neutron.port(bridges.bridged)
        host.done("plug", new)
        _starts(bridges, new)
        bridges.start_agent(LINUXBRIDGE)
        neutron.wait_for("ACTIVE", new, *ports)
        assert guest.ping(other)
    _stops(bridges, new, *ports)
    host.done("unplug", new, *ports)
    neutron.wait_for("DOWN", new, *ports)
    assert host.listed() == {}
    # The bridge has the network's uplink, which is the agent's.
    assert members() == {"uplink"}
    neutron.delete(new, *ports)


def test_the_macvtap_agent_wires_a_port_of_type_macvtap(bridges: BridgeCloud) -> None:
    host, neutron = bridges.host, bridges.neutron
    before = host.devices()
    port = neutron.port(bridges.direct)
    assert port["binding:vif_type"] == "macvtap"
    details = port["binding:vif_details"]
    assert (details["physical_interface"], details["macvtap_mode"]) == ("uplink2", "bridge")
    host.done("plug", port)
    # As libvirt makes it.
    words = ("link", "add", "link", details["macvtap_source"], "name", "macvtap0", "address")
    host.namespace.ip(*words, port["mac_address"], "type", "macvtap", "mode", "bridge")
    host.namespace.ip("link", "set", "macvtap0", "up")
    (link,) = host.namespace.ip_json("link", "show", "macvtap0")
    # As QEMU holds it.
    with Path(f"/dev/tap{link['ifindex']}").open("rb+", buffering=0):
        neutron.wait_for("ACTIVE", port)
        assert [one["changed"] for one in host.done("check", port)] == [False]
        assert [one["changed"] for one in host.done("plug", port)] == [False]
    host.namespace.ip("link", "del", "macvtap0")
    neutron.wait_for("DOWN", port)
    host.done("unplug", port)
    assert host.devices() == before
    assert eventually(lambda: host.listed() == {})
    neutron.delete(port)


def test_the_macvtap_agent_binds_no_port_of_vnic_type_macvtap(bridges: BridgeCloud) -> None:
    port = bridges.neutron.port(bridges.direct, **{"binding:vnic_type": "macvtap"})
    assert port["binding:vif_type"] == "binding_failed"
    assert bridges.host.vifplug("plug", port).returncode == 2
    bridges.neutron.delete(port)
