# SPDX-License-Identifier: Apache-2.0
"""VIFs of a real Neutron, which its Open vSwitch agent wires beside vifplug."""

from __future__ import annotations

import json
from typing import Any

from tests.cloud.agents import AgentCloud
from tests.cloud.churn import churn
from tests.cloud.guest import Guest
from tests.cloud.neutrons import eventually
from tests.ovs.deadvlan import DEAD, PLAIN

_UNWIRED = "dead VLAN 4095"
_NOT_WIRED = f"not wired: {_UNWIRED}"
_LITTLE = 1
"""Seconds for which a frame is sent that must not come. One that may come always follows it."""


def _wired(cloud: AgentCloud, port: dict[str, Any], *, prefix: str = "tap") -> bool:
    """Whether a port is in a VLAN of the agent's, and is no trunk."""
    row = cloud.host.row(port, prefix=prefix)
    return bool(row and row[0] and row[0] != 4095 and row[1:] == ([], []))


def _forges_in_vain(guest: Guest, other: Guest) -> None:
    """Require that nothing comes to another guest under addresses that are not the port's."""
    assert not guest.ping(other, ip="10.7.0.250", within=_LITTLE)
    assert not guest.ping(other, source="02:00:00:00:00:01", within=_LITTLE)
    assert not guest.announces(other, "10.7.0.250", within=_LITTLE)
    assert not guest.offers_addresses(other, within=_LITTLE)
    # What is its own comes through meanwhile.
    assert guest.announces(other, guest.ip)
    assert guest.ping(other)


def test_the_agent_wires_a_port_and_its_guest_has_neutrons_address(cloud: AgentCloud) -> None:
    before, host = cloud.host.devices(), cloud.host
    ports = cloud.neutron.ports(cloud.one, 2)
    with cloud.plugged(*ports):
        assert all(_wired(cloud, port) for port in ports)
        tags = {row[0] for port in ports if (row := host.row(port))}
        assert len(tags) == 1, "both are of one network"
        assert [one["changed"] for one in host.done("plug", *ports)] == [False, False]
        for one in host.done("check", *ports):
            assert not one["changed"] and _NOT_WIRED not in one["warnings"]
        with (
            Guest(host.namespace, ports[0]) as guest,
            Guest(host.namespace, ports[1]) as other,
        ):
            assert guest.dhcp() == guest.ip
            assert other.dhcp() == other.ip
            assert guest.ping(other)
            _forges_in_vain(guest, other)
    cloud.neutron.wait_for("DOWN", *ports)
    assert host.devices() == before
    assert host.listed() == {}
    cloud.neutron.delete(*ports)


def test_a_guest_has_no_way_into_another_network_before_the_agent_wires_it(
    cloud: AgentCloud,
) -> None:
    far, port = cloud.neutron.port(cloud.one), cloud.neutron.port(cloud.two)
    with cloud.plugged(far):
        (vlan, *_) = cloud.host.row(far) or ()
        with cloud.agent_paused(), cloud.plugged(port, active=False):
            assert cloud.host.row(port) == DEAD
            with (
                Guest(cloud.host.namespace, port) as guest,
                Guest(cloud.host.namespace, far) as other,
            ):
                assert not guest.reaches_from_vlan(other, vlan, within=_LITTLE)
                # The same frame arrives from a port as others plug it.
                name = f"tap{port['id'][:11]}"
                cloud.host.ovs.vsctl("clear", "Port", name, "tag", "vlan_mode", "trunks")
                assert cloud.host.row(port) == PLAIN
                assert guest.reaches_from_vlan(other, vlan)
                cloud.host.ovs.vsctl(
                    "set", "Port", name, "tag=4095", "vlan_mode=trunk", "trunks=4095"
                )
                (one,) = cloud.host.done("check", port)
                assert _NOT_WIRED in one["warnings"]
        with cloud.plugged(port):
            assert _wired(cloud, port)
            with (
                Guest(cloud.host.namespace, port) as guest,
                Guest(cloud.host.namespace, far) as other,
            ):
                assert guest.dhcp() == guest.ip
                assert not guest.reaches_from_vlan(other, vlan, within=_LITTLE)
    cloud.neutron.delete(far, port)


def test_a_port_that_is_changed_while_plugged(cloud: AgentCloud) -> None:
    host, port = cloud.host, cloud.neutron.port(cloud.one)
    with cloud.plugged(port):
        cloud.neutron.change(port, admin_state_up=False)
        cloud.neutron.wait_for("DOWN", port)
        assert eventually(lambda: (host.row(port) or [0])[0] == 4095)
        (checked,) = host.done("check", port)
        assert not checked["changed"]
        assert _NOT_WIRED in checked["warnings"]
        assert host.listed()[port["id"]]["unwired"] == _UNWIRED
        row = host.row(port)
        assert [one["changed"] for one in host.done("plug", port)] == [False]
        assert host.row(port) == row, "the agent's VLAN is the agent's"
        cloud.neutron.change(port, admin_state_up=True)
        cloud.neutron.wait_for("ACTIVE", port)
        assert eventually(lambda: _wired(cloud, port))
        assert host.listed()[port["id"]]["unwired"] is None
        # Without security, the port may say what it likes.
        other = cloud.neutron.port(cloud.one)
        with (
            cloud.plugged(other),
            Guest(host.namespace, port) as guest,
            Guest(host.namespace, other) as peer,
        ):
            assert not guest.announces(peer, "10.7.0.250", within=_LITTLE)
            cloud.neutron.change(port, security_groups=[], port_security_enabled=False)
            assert guest.announces(peer, "10.7.0.250")
            shown = cloud.neutron.shown(port)
            assert [one["changed"] for one in host.done("plug", shown)] == [False]
            assert guest.announces(peer, "10.7.0.250")
    cloud.neutron.delete(port, other)


def test_the_agent_is_killed_and_starts_again(cloud: AgentCloud) -> None:
    old, new, gone = ports = cloud.neutron.ports(cloud.one, 3)
    with cloud.plugged(old, gone):
        tag = (cloud.host.row(old) or [0])[0]
        cloud.kill_agent()
        with (
            cloud.plugged(new, active=False),
            Guest(cloud.host.namespace, old) as guest,
            Guest(cloud.host.namespace, new) as other,
        ):
            assert cloud.host.row(new) == DEAD
            cloud.host.done("unplug", gone)
            assert not guest.announces(other, guest.ip, within=_LITTLE)
            cloud.start_agent()
            cloud.neutron.wait_for("ACTIVE", old, new)
            assert eventually(lambda: _wired(cloud, new))
            assert cloud.host.row(old) == cloud.host.row(new) == (tag, [], [])
            assert other.dhcp() == other.ip
            assert guest.ping(other)
    cloud.neutron.delete(*ports)


def test_a_port_that_neutron_deletes_while_it_is_plugged(cloud: AgentCloud) -> None:
    before, port = cloud.host.devices(), cloud.neutron.port(cloud.one)
    with cloud.plugged(port):
        cloud.neutron.delete(port)
        assert eventually(lambda: (cloud.host.row(port) or [0])[0] == 4095)
        (checked,) = cloud.host.done("check", port)
        assert not checked["changed"]
        assert _NOT_WIRED in checked["warnings"]
        assert [one["changed"] for one in cloud.host.done("plug", port)] == [False]
    assert cloud.host.devices() == before


def test_ports_that_this_host_may_not_plug(cloud: AgentCloud) -> None:
    before = cloud.host.devices()
    unbound = cloud.neutron.port(cloud.one, **{"binding:host_id": ""})
    failed = cloud.neutron.port(cloud.one, **{"binding:host_id": "no-such-host"})
    assert (unbound["binding:vif_type"], failed["binding:vif_type"]) == (
        "unbound",
        "binding_failed",
    )
    good = cloud.neutron.port(cloud.one)
    for bad in (unbound, failed):
        refused = cloud.host.vifplug("plug", good, bad)
        assert refused.returncode == 2
        (problem,) = [one["problem"] for one in json.loads(refused.stdout) if one["error"]]
        assert bad["binding:vif_type"] in json.dumps(problem)
        assert bad["id"] in refused.stdout
        assert cloud.host.devices() == before, "nothing is plugged, not even the good one"
    # Only Neutron knows that a port is another host's: its agent here never lets it out.
    cloud.neutron.pretend("host2")
    other = cloud.neutron.port(cloud.one, **{"binding:host_id": "host2"})
    assert other["binding:vif_type"] == "ovs"
    with cloud.plugged(other, good, active=False):
        cloud.neutron.wait_for("ACTIVE", good)
        (checked,) = cloud.host.done("check", other)
        assert _NOT_WIRED in checked["warnings"]
        with (
            Guest(cloud.host.namespace, other) as guest,
            Guest(cloud.host.namespace, good) as peer,
        ):
            assert not guest.announces(peer, guest.ip, within=_LITTLE)
    assert cloud.host.devices() == before
    cloud.neutron.delete(unbound, failed, good, other)


def test_ports_come_and_go_beside_the_agent(cloud: AgentCloud) -> None:
    churn(cloud, 10, rounds=3, seed=1)


def test_the_hybrid_plug_of_a_firewall_of_iptables(cloud: AgentCloud) -> None:
    host = cloud.host
    cloud.run_agent("iptables_hybrid")
    before = host.devices()
    ports = cloud.neutron.ports(cloud.one, 2)
    assert all(port["binding:vif_details"]["ovs_hybrid_plug"] for port in ports)
    taps = [f"tap{port['id'][:11]}" for port in ports]
    assert [one["process"] for one in host.done("plug", *ports)] == ["hybrid", "hybrid"]
    # As libvirt makes them.
    for port, tap in zip(ports, taps, strict=True):
        host.namespace.ip("tuntap", "add", tap, "mode", "tap")
        host.namespace.ip("link", "set", tap, "up", "master", f"qbr{port['id'][:11]}")
    cloud.neutron.wait_for("ACTIVE", *ports)
    assert all(_wired(cloud, port, prefix="qvo") for port in ports)
    with (
        Guest(host.namespace, ports[0]) as guest,
        Guest(host.namespace, ports[1]) as other,
    ):
        assert guest.dhcp() == guest.ip
        assert guest.ping(other)
        _forges_in_vain(guest, other)
    for tap in taps:
        host.namespace.ip("link", "del", tap)
    host.done("unplug", *ports)
    cloud.neutron.wait_for("DOWN", *ports)
    assert host.devices() == before
    cloud.neutron.delete(*ports)
