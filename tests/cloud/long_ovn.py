# SPDX-License-Identifier: Apache-2.0
"""VIFs of a real Neutron with OVN, on two hosts: ``make cloud`` runs these tests."""

from __future__ import annotations

from typing import Any

from tests.cloud.guest import Guest
from tests.cloud.neutrons import eventually
from tests.cloud.ovns import OvnCloud
from tests.ovs.deadvlan import PLAIN

_LITTLE = 1
"""Seconds for which a frame is sent that must not come. One that may come always follows it."""


def _interface(cloud: OvnCloud, number: int, port: dict[str, Any]) -> dict[str, Any]:
    """Return the row of a port's interface on a host."""
    name = f"tap{port['id'][:11]}"
    (found,) = [row for row in cloud.ovn[number].ovs.rows("Interface") if row["name"] == name]
    return dict(found)


def test_ovn_wires_a_port_and_its_guest_has_neutrons_address(ovn: OvnCloud) -> None:
    first, second = ovn.hosts
    before = first.devices(), second.devices()
    here = ovn.neutron.port(ovn.network)
    there = ovn.neutron.port(ovn.network, **{"binding:host_id": "host2"})
    details = here["binding:vif_details"]
    assert details["bound_drivers"] == {"0": "ovn"}
    with ovn.plugged(first, here), ovn.plugged(second, there):
        assert (ovn.column(here, "chassis"), ovn.column(there, "chassis")) == ("host1", "host2")
        # OVN takes no port out of the dead VLAN, so that the option isolate does not count.
        assert first.row(here) == second.row(there) == PLAIN
        interface = _interface(ovn, 0, here)
        assert interface["external_ids"]["iface-id"] == here["id"]
        assert interface["external_ids"]["attached-mac"] == here["mac_address"]
        assert interface["mtu"] == ovn.network["mtu"]
        for host, port in ((first, here), (second, there)):
            assert [one["changed"] for one in host.done("plug", port)] == [False]
            assert [one["changed"] for one in host.done("check", port)] == [False]
        with Guest(first.namespace, here) as guest, Guest(second.namespace, there) as other:
            assert guest.dhcp() == guest.ip
            assert other.dhcp() == other.ip
            assert guest.ping(other)
            assert not guest.ping(other, ip="10.7.0.250", within=_LITTLE)
            assert not guest.ping(other, source="02:00:00:00:00:01", within=_LITTLE)
            assert not guest.announces(other, "10.7.0.250", within=_LITTLE)
            assert guest.ping(other)
    ovn.neutron.wait_for("DOWN", here, there)
    assert (first.devices(), second.devices()) == before
    ovn.neutron.delete(here, there)


def test_a_port_moves_to_the_other_host_by_its_bindings(ovn: OvnCloud) -> None:
    first, second = ovn.hosts
    port = ovn.neutron.port(ovn.network)
    peer = ovn.neutron.port(ovn.network)
    bindings = f"/ports/{port['id']}/bindings"
    with ovn.plugged(first, port, peer):
        made = ovn.neutron.call("POST", bindings, {"binding": {"host": "host2"}})["binding"]
        assert made["status"] == "INACTIVE"
        ovn.neutron.change(port, **{"binding:profile": {"migrating_to": "host2"}})
        # As Nova has it on the destination: the port with that host's binding. Neutron does not
        # tell of an inactive binding who wires it.
        assert "bound_drivers" not in made["vif_details"]
        there = port | {f"binding:{key}": made[key] for key in ("vif_type", "vif_details")}
        there |= {"binding:host_id": "host2", "binding:profile": {"migrating_to": "host2"}}
        second.done("plug", there, networks=(ovn.network,))
        installed = "ovn-installed"
        assert eventually(lambda: installed in _interface(ovn, 1, port)["external_ids"])
        assert ovn.column(port, "chassis") == "host1"
        assert eventually(lambda: ovn.column(port, "additional_chassis") == "host2")
        assert first.row(port) == second.row(port) == PLAIN
        # The source's port is still as asked.
        moving = ovn.neutron.shown(port)
        assert [one["changed"] for one in first.done("check", moving)] == [False]
        assert [one["changed"] for one in first.done("plug", moving)] == [False]
        with (
            Guest(first.namespace, port) as source,
            Guest(first.namespace, peer) as other,
            Guest(second.namespace, port) as target,
        ):
            assert source.ping(other)
            # A guest that arrives announces itself, as QEMU does; until then OVN keeps it out.
            assert not target.ping(other, within=_LITTLE)
            target.announces_itself()
            ovn.neutron.call("PUT", f"{bindings}/host2/activate")
            assert eventually(lambda: ovn.column(port, "chassis") == "host2")
            assert target.ping(other)
            assert target.dhcp() == target.ip
        ovn.neutron.call("DELETE", f"{bindings}/host1")
        ovn.neutron.change(port, **{"binding:profile": {}})
        first.done("unplug", port)
        ovn.neutron.wait_for("ACTIVE", port)
        with Guest(second.namespace, port) as target, Guest(first.namespace, peer) as other:
            assert target.ping(other)
        assert ovn.neutron.shown(port)["binding:host_id"] == "host2"
        second.done("unplug", ovn.neutron.shown(port))
        ovn.neutron.wait_for("DOWN", port)
    assert first.listed() == second.listed() == {}
    ovn.neutron.delete(port, peer)


def test_a_plug_does_not_wait_for_ovn_controller(ovn: OvnCloud) -> None:
    host, port = ovn.hosts[0], ovn.neutron.port(ovn.network)
    ovn.ovn[0].stop_controller()
    with ovn.plugged(host, port, active=False):
        assert [one["changed"] for one in host.done("check", port)] == [False]
        assert ovn.neutron.shown(port)["status"] == "DOWN"
        ovn.ovn[0].start_controller()
        ovn.neutron.wait_for("ACTIVE", port)
        with Guest(host.namespace, port) as guest:
            assert guest.dhcp() == guest.ip
    ovn.neutron.wait_for("DOWN", port)
    ovn.neutron.delete(port)


def test_a_port_that_neutron_changes_and_deletes_while_it_is_plugged(ovn: OvnCloud) -> None:
    host = ovn.hosts[0]
    before = host.devices()
    port, peer = ovn.neutron.ports(ovn.network, 2)
    with (
        ovn.plugged(host, port, peer),
        Guest(host.namespace, port) as guest,
        Guest(host.namespace, peer) as other,
    ):
        assert guest.ping(other)
        ovn.neutron.change(port, admin_state_up=False)
        assert eventually(lambda: not guest.ping(other, within=_LITTLE))
        assert [one["changed"] for one in host.done("plug", port)] == [False]
        ovn.neutron.change(port, admin_state_up=True)
        assert guest.ping(other)
        ovn.neutron.delete(port)
        assert eventually(lambda: not guest.ping(other, within=_LITTLE))
        assert [one["changed"] for one in host.done("check", port)] == [False]
    assert host.devices() == before
    ovn.neutron.delete(peer)


def test_a_port_for_a_host_that_ovn_does_not_know(ovn: OvnCloud) -> None:
    before = ovn.hosts[0].devices()
    port = ovn.neutron.port(ovn.network, **{"binding:host_id": "no-such-host"})
    assert port["binding:vif_type"] == "binding_failed"
    assert ovn.hosts[0].vifplug("plug", port).returncode == 2
    assert ovn.hosts[0].devices() == before
    ovn.neutron.delete(port)
