# SPDX-License-Identifier: Apache-2.0
"""The five drivers on a real kernel and a real Open vSwitch: a frame gets out, nothing stays."""

from __future__ import annotations

import copy

import pytest
from lxml import etree
from oslo_config.fixture import Config

from tests.legacy.pairs import (
    AUTOMATIC,
    BRIDGE,
    BRQ,
    FIVE,
    HYBRID,
    IDS,
    INSTANCE,
    MACS,
    MANUAL,
    QUANTUM,
    make,
    name,
    pair,
)
from vifplug import GenericVIFDriver, Interface
from vifplug.legacy import LegacyVIFDriver
from vifplug.testing import Capture, NetworkNamespace, OpenVSwitch, TapEnd, veth
from vifplug.testing.claims import every_claim
from vifplug.testing.dumps import differences

ids = pytest.mark.parametrize("kind", FIVE, ids=lambda kind: kind.__name__)
OF_OVS = (MANUAL, HYBRID, AUTOMATIC)


def wired(namespace: NetworkNamespace, ovs: OpenVSwitch, kind: type[LegacyVIFDriver],
          far: NetworkNamespace) -> None:  # fmt: skip
    """Lay the wire to the far side that the driver's network has; eth1 joins br100 by the plug."""
    veth(namespace, "eth1", far, "far")
    if kind in OF_OVS:
        ovs.vsctl("add-port", "br-int", "eth1")


class LibvirtsTap:
    """The tap of a guest, as libvirt makes it for an interface where nobody has made it before."""

    def __init__(self, namespace: NetworkNamespace, ovs: OpenVSwitch, interface: Interface) -> None:
        self._namespace, self._ovs = namespace, ovs
        self._root = etree.fromstring(interface.to_xml())
        self.name = self._root.find("target").get("dev")
        self._made = self._root.get("type") == "bridge"
        self._switched = self._root.find("virtualport") is not None

    def start(self) -> None:
        if not self._made:
            return
        bridge = self._root.find("source").get("bridge")
        self._namespace.ip("tuntap", "add", self.name, "mode", "tap", "vnet_hdr")
        self._namespace.ip("link", "set", self.name, "up")
        if not self._switched:
            self._namespace.ip("link", "set", self.name, "master", bridge)
            return
        interface_id = self._root.find("virtualport/parameters").get("interfaceid")
        keys = (f"external_ids:iface-id={interface_id}", "external_ids:vm-id=x")
        self._ovs.vsctl("add-port", bridge, self.name, "--", "set", "Interface", self.name, *keys)

    def stop(self) -> None:
        if not self._made:
            return
        if self._switched:
            self._ovs.vsctl("del-port", self.name)
        self._namespace.ip("link", "del", self.name)


def gets_out(namespace: NetworkNamespace, tap: str, kind: type[LegacyVIFDriver],
             far: NetworkNamespace) -> bool:  # fmt: skip
    """Whether a guest's frame comes out on the far side, once all ports are up."""
    frame = bytes.fromhex("ffffffffffff" + MACS[kind].replace(":", "") + "88b5") + b"hello" * 10
    with TapEnd(namespace, tap) as guest, Capture(far, "far") as wire:
        for _ in range(50):
            guest.send(frame)
            try:
                return wire.wait_for(lambda found: found == frame, 0.2) == frame
            except TimeoutError:
                continue
    return False


@ids
def test_a_frame_gets_out_and_the_unplug_leaves_nothing(
    kind: type[LegacyVIFDriver], namespace: NetworkNamespace, ovs: OpenVSwitch, host: Config
) -> None:
    with NetworkNamespace() as far:
        wired(namespace, ovs, kind, far)
        if kind is QUANTUM:  # its agent makes the bridge and joins it to the network
            namespace.ip("link", "add", BRQ, "up", "type", "bridge", "forward_delay", "0")
            namespace.ip("link", "set", "eth1", "master", BRQ)
        before = namespace.everything(), ovs.everything()
        driver, given = make(kind), pair(kind)
        kept = copy.deepcopy(given)
        result = driver.plug(INSTANCE, given)
        assert (result.vif_type, result.process) == (kind.vif_type, kind.pins.get("process"))
        tap = LibvirtsTap(namespace, ovs, driver.get_config(INSTANCE, given))
        assert tap.name == name("tap", kind)
        tap.start()
        assert gets_out(namespace, tap.name, kind, far)

        assert not driver.check(INSTANCE, given)
        # A spawn plugged twice, and each start of the service plugs all that runs.
        assert not driver.plug(INSTANCE, given).changed
        assert [one.id for one in driver.list()] == [IDS[kind]]

        tap.stop()
        assert driver.unplug(INSTANCE, given).changed
        assert not driver.unplug(INSTANCE, given).changed
        assert given == kept
        assert driver.list() == []
        left = f"{namespace.everything()}{every_claim()}{ovs.everything()}"
        assert IDS[kind][:11] not in left
        if kind in OF_OVS:
            assert differences(before[0], namespace.everything()) == []
            assert differences(before[1], ovs.everything()) == []
        driver.close()


def test_the_bridge_of_nova_network_is_made_with_its_uplink(
    namespace: NetworkNamespace, ovs: OpenVSwitch, host: Config
) -> None:
    namespace.ip("link", "add", "eth1", "type", "veth", "peer", "name", "eth1-far")
    namespace.ip("link", "set", "eth1", "up")
    namespace.ip("addr", "add", "192.0.2.7/24", "dev", "eth1")
    driver = make(BRIDGE)
    driver.plug(INSTANCE, pair(BRIDGE))
    links = {link["ifname"]: link for link in namespace.ip_json("-d", "addr")}
    assert links["eth1"]["master"] == "br100"
    assert [one["local"] for one in links["br100"]["addr_info"]] == ["192.0.2.7"]
    assert links["br100"]["linkinfo"]["info_data"]["stp_state"] == 0
    driver.unplug(INSTANCE, pair(BRIDGE))
    driver.close()


def test_multi_host_makes_no_bridge(
    namespace: NetworkNamespace, ovs: OpenVSwitch, host: Config
) -> None:
    network, mapping = pair(BRIDGE)
    namespace.ip("link", "add", "eth1", "type", "veth", "peer", "name", "eth1-far")
    namespace.ip("link", "add", "br100", "type", "bridge")
    driver = make(BRIDGE)
    driver.plug(INSTANCE, (network | {"multi_host": True}, mapping))
    assert [link for link in namespace.ip_json("link") if link.get("master")] == []
    driver.unplug(INSTANCE, (network, mapping))
    driver.close()


def test_quantums_bridge_is_made_where_its_agent_has_not_yet(
    namespace: NetworkNamespace, ovs: OpenVSwitch, host: Config
) -> None:
    driver = make(QUANTUM)
    driver.plug(INSTANCE, pair(QUANTUM))
    (link,) = namespace.ip_json("-d", "link", "show", BRQ)
    assert (link["linkinfo"]["info_kind"], "UP" in link["flags"]) == ("bridge", True)
    driver.unplug(INSTANCE, pair(QUANTUM))
    driver.close()


def test_the_ports_ids_are_those_of_the_original(
    namespace: NetworkNamespace, ovs: OpenVSwitch, host: Config
) -> None:
    ports = {MANUAL: name("tap", MANUAL), HYBRID: name("qvo", HYBRID)}
    for kind, port in ports.items():
        driver = make(kind)
        driver.plug(INSTANCE, pair(kind))
        (row,) = [row for row in ovs.rows("Interface") if row["name"] == port]
        ids = {key: value for key, value in row["external_ids"].items() if "vifplug" not in key}
        assert ids == {
            "iface-id": IDS[kind],
            "iface-status": "active",
            "attached-mac": MACS[kind],
            "vm-uuid": INSTANCE["uuid"],
        }
        driver.unplug(INSTANCE, pair(kind))
        driver.close()


@pytest.mark.parametrize(
    "after", [MANUAL, AUTOMATIC, GenericVIFDriver], ids=lambda one: one.__name__
)
def test_what_one_driver_plugged_another_leaves_alone_and_takes_away(
    after: type[GenericVIFDriver], namespace: NetworkNamespace, ovs: OpenVSwitch, host: Config
) -> None:
    before = namespace.everything(), ovs.everything()
    driver = make(HYBRID)
    driver.plug(INSTANCE, pair(HYBRID))
    vif = driver._taken(INSTANCE, pair(HYBRID))
    other = after() if after is GenericVIFDriver else make(after)  # type: ignore[arg-type]
    plan = other.plan(INSTANCE, vif)
    assert (plan.owner.process, bool(plan)) == ("hybrid", False), "a live NIC keeps its way"
    assert other.unplug(INSTANCE, vif).changed
    assert differences(before[0], namespace.everything()) == []
    assert differences(before[1], ovs.everything()) == []
    driver.close()


def test_a_batch_of_all_kinds_of_input(
    namespace: NetworkNamespace, ovs: OpenVSwitch, host: Config
) -> None:
    driver, good = make(MANUAL), pair(MANUAL)
    bad = (good[0], {**good[1], "mac": "no"})
    plugged, refused = driver.plug_all([(INSTANCE, good), (INSTANCE, bad)])
    assert getattr(plugged, "changed", plugged) is True
    assert "mapping.mac is 'no'" in str(refused)
    assert driver.unplug(None, good).changed
    driver.close()
