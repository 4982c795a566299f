# SPDX-License-Identifier: Apache-2.0
"""A host on which a history can happen: the simulated one. ``real`` has the real one."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from tests.histories import kernel
from tests.histories.acts import LINUX_BRIDGES
from tests.histories.driver import FACTS, SimulatedDriver
from tests.histories.state import Guest, State, device, switch_bridge
from tests.histories.switch import place_of, put_port
from vifplug import GenericVIFDriver
from vifplug.guest.interface import Interface
from vifplug.model.host import Host
from vifplug_ovs.snapshot import OvsBridge, OvsPort


class Machine(Protocol):
    """A host, its driver, and what guests and other programs do there."""

    @property
    def driver(self) -> GenericVIFDriver:
        """The driver of this host."""

    def host(self) -> Host:
        """Return the host as it is, with its switch."""

    def arm(self, kill_at: int) -> None:
        """Have a daemon of the next call killed before a step; -1 for none."""

    def start(self, vif_id: str, interface: Interface) -> None:
        """Start a guest, as libvirt would with this interface, if it can."""

    def stop(self, vif_id: str) -> None:
        """Stop a guest, if it runs."""

    def runs(self, vif_id: str) -> bool:
        """Whether a guest runs."""

    def reboot(self) -> None:
        """Take away what a reboot takes; the database stays."""

    def nomaster(self, name: str) -> None:
        """Take a device out of its bridge, if it is there."""

    def set_mtu(self, name: str, mtu: int) -> None:
        """Set a device's MTU, if it is there."""

    def rename(self, name: str, new: str) -> None:
        """Give a device another name, if it is there."""

    def delete_port(self, name: str) -> None:
        """Delete a port of the switch, if it is there."""

    def set_tag(self, name: str, tag: int) -> None:
        """Set the VLAN of a port of the switch, if it is there."""

    def delete_bridge(self, name: str) -> None:
        """Delete a bridge, of Linux or of the switch, if it is there."""


def first_state() -> State:
    """Return the host before anything has happened."""
    links = {"lo": device("loopback", 1, up=True)}
    for index, name in enumerate(("eth9", "wire9", "eth8", "wire8", "eth7", "wire7")):
        other = name.replace("eth", "wire") if "eth" in name else name.replace("wire", "eth")
        links[name] = device("veth", 2 + index, up=True, lower=other,
                             address=f"f2:00:00:00:00:{index:02x}")  # fmt: skip
    links["brfree"] = device("bridge", 20, up=True, address="02:00:00:00:0b:02", forward_delay=0)
    links["br-int"] = device("tap", 21, address="02:00:00:00:0b:03")
    return State(links, {"br-int": switch_bridge("br-int")})


class SimulatedMachine:
    """The simulated host."""

    def __init__(self, *, create_tap: bool) -> None:
        self.driver = SimulatedDriver(first_state(), create_tap=create_tap)

    @property
    def state(self) -> State:
        """The host as a value."""
        return self.driver.state

    def host(self) -> Host:
        return self.state.host(FACTS)

    def arm(self, kill_at: int) -> None:
        self.driver.arm(kill_at)

    def start(self, vif_id: str, interface: Interface) -> None:
        state, name = self.state, str(interface.target)
        if vif_id in state.guests:
            return
        link = state.links.get(name)
        if interface.type == "ethernet":
            if link and link.kind == "tap":
                state.guests[vif_id] = Guest(link.index, own_tap=False)
                kernel.settle(state)
            return
        if interface.type != "bridge":
            return  # a macvtap's guest is no matter of these histories
        bridge, switched = dict(interface.source)["bridge"], interface.virtualport
        master = state.links.get(bridge)
        there = bridge in state.bridges if switched else master and master.kind == "bridge"
        if link or not there or place_of(state, name):
            return
        mtu = interface.mtu or (master.mtu if master and not switched else kernel.USUAL_MTU)
        index = state.next_index()
        state.links[name] = device("tap", index, mtu=mtu, up=True, multi_queue=False,
                                   address=f"fe{interface.mac[2:]}",
                                   master=None if switched else bridge)  # fmt: skip
        state.guests[vif_id] = Guest(index, own_tap=True, port=name if switched else "")
        if switched:
            iface_id = dict(switched.parameters)["interfaceid"]
            ids = {"attached-mac": interface.mac, "iface-id": iface_id,
                   "iface-status": "active", "vm-id": vif_id}  # fmt: skip
            port = OvsPort(external_ids=ids, row=f"port {index}", interface=f"interface {index}")
            put_port(state, bridge, name, port)
        kernel.settle(state)

    def stop(self, vif_id: str) -> None:
        state = self.state
        guest = state.guests.pop(vif_id, None)
        if guest is None:
            return
        name = state.of_index(guest.index)
        if name and guest.own_tap:
            kernel.delete(state, name)
        if guest.port:
            self.delete_port(guest.port)
        kernel.settle(state)

    def runs(self, vif_id: str) -> bool:
        return vif_id in self.state.guests

    def reboot(self) -> None:
        before, state = self.state, first_state()
        state.number = before.number
        state.bridges = {name: _unclaimed(row) for name, row in before.bridges.items()}
        own = {name: link for name, link in before.links.items() if name in before.bridges}
        state.links = {n: k for n, k in state.links.items() if n != "br-int"} | own
        ports = {name for row in state.bridges.values() for name in row.ports}
        state.closed = frozenset(ports - state.links.keys())
        self.driver.state = state
        kernel.settle(state)

    def nomaster(self, name: str) -> None:
        if name in self.state.links:
            kernel.set_link(self.state, name, "master", None)

    def set_mtu(self, name: str, mtu: int) -> None:
        if name in self.state.links:
            kernel.set_link(self.state, name, "mtu", mtu)

    def rename(self, name: str, new: str) -> None:
        if name in self.state.links and new not in self.state.links:
            kernel.rename(self.state, name, new)

    def delete_port(self, name: str) -> None:
        if found := place_of(self.state, name):
            put_port(self.state, found[0], name, None)

    def set_tag(self, name: str, tag: int) -> None:
        if found := place_of(self.state, name):
            put_port(self.state, found[0], name, replace(found[1], tag=tag))

    def delete_bridge(self, name: str) -> None:
        state = self.state
        if name in state.bridges:
            state.closed -= state.bridges[name].ports.keys()
            del state.bridges[name]
            if name in state.links:
                kernel.delete(state, name)
        elif name in LINUX_BRIDGES and name in state.links:
            kernel.delete(state, name)


def _unclaimed(row: OvsBridge) -> OvsBridge:
    return replace(row, claims={})
