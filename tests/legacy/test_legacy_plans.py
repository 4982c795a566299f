# SPDX-License-Identifier: Apache-2.0
"""What the five drivers ask of libvirt and of the host, beside what their originals did."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
    NETWORK,
    QUANTUM,
    make,
    name,
    pair,
)
from vifplug import VIF, Conflict, GenericVIFDriver, Host, InvalidVIF
from vifplug.legacy import LegacyVIFDriver
from vifplug.testing import validate
from vifplug.testing.configured import configured
from vifplug_bridge.plugin import BridgePlugin
from vifplug_ovs.plugin import OvsPlugin
from vifplug_ovs.snapshot import Ovs

pytestmark = pytest.mark.unit

NOOP = "nova.virt.firewall.NoopFirewallDriver"
NWFILTER = "nova.virt.libvirt.firewall.IptablesFirewallDriver"
LINKS = {
    "br100": {"kind": "bridge", "up": True, "forward_delay": 0, "stp": False},
    "eth1": {"kind": "physical", "up": True},
}
FACTS = {"links": LINKS, "ovs": {"bridges": {"br-int": {}, "br-vms": {}}}}
HOST = Host.from_dict({**FACTS, "firewall": True}, [Ovs])

ids = pytest.mark.parametrize("kind", FIVE, ids=lambda kind: kind.__name__)


@pytest.fixture(autouse=True)
def conf(tmp_path: Path) -> Iterator[Config]:
    with configured(tmp_path, BridgePlugin, OvsPlugin) as config:
        config.config(group="vifplug", libvirt_version="9.0.0", virt_type="kvm")
        yield config


def original(kind: type[LegacyVIFDriver]) -> str:
    """Return the interface as the original made it, with libvirt_use_virtio_for_bridges.

    2012.2 with use_ipv6; Quantum's Linux bridge as the blueprint describes it, since November 2012.
    """
    ids, mac = IDS[kind], MACS[kind]
    filterref = (
        f'<filterref filter="nova-instance-instance-00000001-{mac.replace(":", "")}">'
        '<parameter name="IP" value="10.0.0.5"/><parameter name="DHCPSERVER" value="10.0.0.2"/>'
        '<parameter name="RASERVER" value="2001:db8::1/128"/>'
        '<parameter name="PROJNET" value="10.0.0.0"/>'
        '<parameter name="PROJMASK" value="255.255.255.0"/>'
        '<parameter name="PROJNET6" value="2001:db8::"/><parameter name="PROJMASK6" value="64"/>'
        "</filterref>"
    )
    tap = f'<target dev="tap{ids[:11]}"/>'
    vport = f'<virtualport type="openvswitch"><parameters interfaceid="{ids}"/></virtualport>'
    kinds = {
        BRIDGE: ("bridge", f'<source bridge="br100"/>{filterref}'),
        MANUAL: ("ethernet", f'<script path=""/>{tap}'),
        HYBRID: ("bridge", f'<source bridge="qbr{ids[:11]}"/>{filterref}'),
        AUTOMATIC: ("bridge", f'<source bridge="br-int"/>{vport}'),
        QUANTUM: ("bridge", f'<source bridge="{BRQ}"/>{tap}'),
    }
    type_, inner = kinds[kind]
    head = f'<mac address="{mac}"/><model type="virtio"/>'
    return f'<interface type="{type_}">{head}{inner}</interface>'


RASERVER = ("filterref/parameter", "RASERVER=2001:db8::1/128", "RASERVER=2001:db8::1")
DIFFERENCES: dict[type[LegacyVIFDriver], tuple[set[str], set[str]]] = {
    BRIDGE: ({f"{RASERVER[0]} {RASERVER[1]}"}, {f"{RASERVER[0]} {RASERVER[2]}", "target dev=TAP"}),
    MANUAL: ({"script", "script path="}, {"target managed=no"}),
    HYBRID: ({f"{RASERVER[0]} {RASERVER[1]}"}, {f"{RASERVER[0]} {RASERVER[2]}", "target dev=TAP"}),
    AUTOMATIC: (set(), {"target dev=TAP"}),
    QUANTUM: (set(), set()),
}
"""What each original's interface has and ours has not, and the reverse: docs/legacy.md's list."""


def facts(xml: str, kind: type[LegacyVIFDriver]) -> set[str]:
    """Return what an interface says, one line a fact."""
    found: set[str] = set()

    def walk(element: Any, path: str) -> None:
        if element.tag == "parameter":
            found.add(f"{path} {element.get('name')}={element.get('value')}")
            return
        found.update(f"{path} {n}={v}".strip() for n, v in element.attrib.items())
        if path and not element.attrib.get("dev"):
            found.add(path)
        for child in element:
            walk(child, f"{path}/{child.tag}".lstrip("/"))

    walk(etree.fromstring(xml), "")
    return {fact.replace(name("tap", kind), "TAP") for fact in found}


@ids
def test_the_interface_is_the_originals_but_for_what_the_page_lists(
    kind: type[LegacyVIFDriver], conf: Config
) -> None:
    for group in ("vifplug_bridge", "vifplug_ovs"):
        conf.config(group=group, use_ipv6=True)
    ours = make(kind).get_config(INSTANCE, pair(kind), host=HOST).to_xml()
    validate(ours)
    then, now = facts(original(kind), kind), facts(ours, kind)
    assert (then - now, now - then) == DIFFERENCES[kind]


@pytest.mark.parametrize(
    ("kind", "parts"),
    [
        (BRIDGE, ["keep br100", "move eth1 -> br100", "make br100"]),
        (MANUAL, ["keep br-int", "make TAP", "make TAP -> br-int"]),
        (HYBRID, ["keep br-int", "make QBR", "make QVB = QVO", "make QVB -> QBR",
                  "make QVO -> br-int"]),
        (AUTOMATIC, ["keep br-int", "make br-int"]),
        (QUANTUM, [f"make {BRQ}", f"make {BRQ}"]),
    ],
)  # fmt: skip
def test_the_plan_is_what_the_original_did(kind: type[LegacyVIFDriver], parts: list[str]) -> None:
    plan = make(kind).plan(INSTANCE, pair(kind), host=HOST)
    steps = [f"{step.action} {step.part.title}" for step in plan.steps]
    for prefix in ("tap", "qbr", "qvb", "qvo"):
        steps = [step.replace(name(prefix, kind), prefix.upper()) for step in steps]
    assert steps == parts, "where a bridge stands twice, the second is this VIF's claim on it"
    assert plan.owner.vif_type == kind.vif_type
    assert plan.owner.process == kind.pins.get("process", "")
    assert plan.notes == ()


CONFLICTING: list[dict[str, Any]] = [
    {"firewall": True},
    {"firewall": False},
    {"libvirt_version": "0.9.10"},
    {"virt_type": "qemu"},
]


@pytest.mark.parametrize("told", CONFLICTING)
@pytest.mark.parametrize("kind", [MANUAL, HYBRID, AUTOMATIC], ids=lambda kind: kind.__name__)
def test_three_drivers_are_all_ovs_and_each_keeps_its_way(
    kind: type[LegacyVIFDriver], told: dict[str, Any], conf: Config
) -> None:
    conf.config(group="vifplug_ovs", process="manual" if kind is not MANUAL else "hybrid")
    network, mapping = pair(kind)
    host = Host.from_dict({**FACTS, **told}, [Ovs])
    plan = make(kind).plan(INSTANCE, (network, mapping), host=host)
    assert plan.owner.process == kind.pins["process"]
    vif = VIF.from_dict(
        {"id": IDS[kind], "vif_type": "ovs", "address": MACS[kind],
         "network": {"bridge": "br-int"},
         "details": {"ovs_hybrid_plug": kind is MANUAL, "ovs_create_tap": kind is not MANUAL}}
    )  # fmt: skip
    assert make(kind).plan(INSTANCE, vif, host=host).owner.process == kind.pins["process"]


def test_a_vif_of_another_type_is_connected_as_the_driver_does() -> None:
    vif = VIF.from_dict({"id": IDS[MANUAL], "vif_type": "bridge", "address": MACS[MANUAL]})
    xml = make(AUTOMATIC).get_config(INSTANCE, vif, host=HOST).to_xml()
    assert '<virtualport type="openvswitch">' in xml
    assert '<source bridge="br-int"/>' in xml


@pytest.mark.parametrize("driver", [None, "", NWFILTER, NOOP])
@ids
def test_no_firewall_driver_is_a_firewall_where_the_original_looked(
    kind: type[LegacyVIFDriver], driver: str | None, conf: Config
) -> None:
    conf.config(group="vifplug", firewall_driver=driver)
    legacy = make(kind)
    xml = legacy.get_config(INSTANCE, pair(kind), host=legacy.look([]).host).to_xml()
    assert ("<filterref" in xml) == (kind in (BRIDGE, HYBRID) and driver != NOOP)
    generic = GenericVIFDriver().look([]).host
    assert generic.firewall == (driver == NWFILTER), "GenericVIFDriver keeps its own rule"


@pytest.mark.parametrize("kind", [BRIDGE, HYBRID], ids=lambda kind: kind.__name__)
def test_what_the_network_filters_is_not_filtered_again(kind: type[LegacyVIFDriver]) -> None:
    vif = VIF.from_dict(
        {"id": IDS[kind], "vif_type": kind.vif_type, "address": MACS[kind],
         "filtered": True, "network": {"bridge": "br100"}}
    )  # fmt: skip
    assert "<filterref" not in make(kind).get_config(INSTANCE, vif, host=HOST).to_xml()


def nova_entry(kind: type[LegacyVIFDriver]) -> dict[str, Any]:
    """Return the same NIC as an entry of Nova's network model, also of a Folsom cache."""
    network, mapping = pair(kind)
    subnets = [
        {"cidr": network["cidr"], "gateway": {"address": "10.0.0.1"},
         "ips": [{"address": "10.0.0.5"}], "meta": {"dhcp_server": "10.0.0.2"}},
        {"cidr": network["cidr_v6"], "gateway": {"address": "2001:db8::1"},
         "ips": [{"address": "2001:db8::5"}], "meta": {}},
    ]  # fmt: skip
    meta = {n: network[n] for n in ("multi_host", "bridge_interface", "vlan")}
    meta |= {n: mapping[n] for n in ("should_create_bridge", "should_create_vlan")}
    network = {"id": NETWORK, "bridge": network["bridge"], "subnets": subnets, "meta": meta}
    return {"id": IDS[kind], "address": MACS[kind], "network": network}


@ids
def test_a_vif_a_pair_and_novas_own_are_the_same(kind: type[LegacyVIFDriver]) -> None:
    driver, network = make(kind), pair(kind)[0]
    vif = VIF.from_dict(
        {"id": IDS[kind], "vif_type": kind.vif_type, "address": MACS[kind],
         "network": {"id": NETWORK, "bridge": network["bridge"] or None,
                     "interface": network["bridge_interface"],
                     "should_create_bridge": kind is BRIDGE, "subnets": [
            {"cidr": "10.0.0.0/24", "gateway": "10.0.0.1", "dhcp_server": "10.0.0.2",
             "ips": ["10.0.0.5"]},
            {"cidr": "2001:db8::/64", "gateway": "2001:db8::1", "ips": ["2001:db8::5"]}]}}
    )  # fmt: skip
    grizzly = {**pair(kind)[1], "vif_type": "ovs", "vif_devname": None, "ovs_interfaceid": None}
    given: list[Any] = [vif, pair(kind), list(pair(kind)), (network, grizzly), nova_entry(kind)]
    before = copy.deepcopy(given)
    for one in given:
        assert driver.plan(INSTANCE, one, host=HOST) == driver.plan(INSTANCE, vif, host=HOST)
        xml = driver.get_config(INSTANCE, one, host=HOST).to_xml()
        assert xml == driver.get_config(INSTANCE, vif, host=HOST).to_xml()
    assert given == before, "the original of one of them wrote into its caller's network"


@pytest.mark.parametrize("kind", [MANUAL, HYBRID, AUTOMATIC], ids=lambda kind: kind.__name__)
def test_the_bridge_that_an_old_network_lacks_is_the_options(
    kind: type[LegacyVIFDriver], conf: Config
) -> None:
    conf.config(group="vifplug_ovs", integration_bridge="br-vms")
    plan = make(kind).plan(INSTANCE, pair(kind), host=HOST)
    assert plan.steps[0].part.title == "br-vms"
    network, mapping = pair(kind)
    plan = make(kind).plan(INSTANCE, (network | {"bridge": "br-int"}, mapping), host=HOST)
    assert plan.steps[0].part.title == "br-int"


def test_a_device_name_that_a_mapping_lacks_or_has_as_none_is_a_taps() -> None:
    network, mapping = pair(MANUAL)
    for more in ({}, {"vif_devname": None}, {"vif_devname": ""}):
        interface = make(MANUAL).get_config(INSTANCE, (network, mapping | more), host=HOST)
        assert interface.target == name("tap", MANUAL)
    given = mapping | {"vif_devname": "tapelsewhere"}
    assert make(MANUAL).get_config(INSTANCE, (network, given), host=HOST).target == "tapelsewhere"


@ids
def test_construction_warns_in_the_callers_name_and_says_what_to_use(
    kind: type[LegacyVIFDriver],
) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        driver = kind()
    (warning,) = caught
    assert warning.category is DeprecationWarning
    assert warning.filename == __file__
    assert "use vifplug.GenericVIFDriver" in str(warning.message)
    assert f"vif_type {kind.vif_type}" in str(warning.message)
    assert isinstance(driver, GenericVIFDriver)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (None, "a pair of network and mapping"),
        ((), "a pair of network and mapping"),
        (({}, {}), "a pair of network and mapping"),
        (({}, {"mac": "fa:16:3e:11:22:33"}), "mapping.vif_uuid is missing"),
        (({}, {"vif_uuid": IDS[BRIDGE]}), "mapping.mac is missing"),
        (([], {"mac": 7}), "network is"),
        ({"address": "x"}, "id is missing"),
        ("vif", "a pair of network and mapping"),
    ],
)
@ids
def test_what_is_no_vif_is_refused(kind: type[LegacyVIFDriver], given: Any, says: str) -> None:
    driver = make(kind)
    for call in (driver.get_config, driver.plan, driver.plug, driver.unplug):
        with pytest.raises(InvalidVIF, match=says):
            call(INSTANCE, given)


def test_a_pair_without_ipv6_and_one_without_addresses(conf: Config) -> None:
    conf.config(group="vifplug_bridge", use_ipv6=True)
    network, mapping = pair(BRIDGE)
    four = {n: v for n, v in mapping.items() if n not in ("gateway_v6", "ip6s")}
    xml = make(BRIDGE).get_config(INSTANCE, (network, four), host=HOST).to_xml()
    assert "RASERVER" not in xml
    none = network | {"cidr": None, "cidr_v6": None}
    xml = make(BRIDGE).get_config(INSTANCE, (none, mapping | {"ips": []}), host=HOST).to_xml()
    assert "<filterref" in xml and "<parameter" not in xml


def test_nova_networks_vlan_device_is_the_uplink_unless_multi_host() -> None:
    network, mapping = pair(BRIDGE)
    given = (network | {"vlan": 100}, mapping | {"should_create_vlan": True})
    host = Host.from_dict({"links": {"eth1": LINKS["eth1"]}})
    plan = make(BRIDGE).plan(INSTANCE, given, host=host)
    assert [f"{step.action} {step.part.title}" for step in plan.steps] == [
        "make br100",
        "make vlan100",
        "make vlan100",
        "move vlan100 -> br100",
        "make br100",
    ]
    with pytest.raises(Conflict, match="br100"):
        elsewhere = (given[0] | {"multi_host": True}, given[1])
        make(BRIDGE).plan(INSTANCE, elsewhere, host=host)
