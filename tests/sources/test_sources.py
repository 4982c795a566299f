# SPDX-License-Identifier: Apache-2.0
"""Other systems' models: what becomes of them, there and back, and with anything in them."""

from __future__ import annotations

import copy
import dataclasses
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.documents import json_values, paths
from tests.planning import BRIDGE, OVS, PLUGINS
from tests.sources.cases import CASES, GOOD, Case
from vifplug import VIF, Host, InvalidVIF, VifplugError
from vifplug.model.mark import Owner
from vifplug.plan.compare import plan
from vifplug.sources import SOURCES
from vifplug.testing.cases import Case as PlanningCase
from vifplug.testing.cases import good

pytestmark = pytest.mark.unit

SEVERAL = settings(max_examples=200, suppress_health_check=list(HealthCheck))
OURS = good([*BRIDGE, *OVS])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_gives_what_its_folder_says(case: Case) -> None:
    assert case.expected(), "the folder says nothing of what comes of it"
    assert case.actual() == case.expected()


def back(source: str, vif: VIF) -> VIF:
    """Return a VIF after its way through a system's model, as JSON, and back."""
    document = json.loads(json.dumps(SOURCES[source].data_of(vif)))
    ((_, part),) = SOURCES[source].parts(document)
    return SOURCES[source].vif_of(part)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.name)
def test_what_one_system_said_survives_the_way_through_each(case: Case, source: str) -> None:
    for vif in case.vifs():
        assert back(source, vif) == vif


NEEDS_NO_FIELDS_OF_OUR_OWN = {
    "neutron": ("ovs-with-all-beside", "bridge", "hw-veb", "802-1qbh", "802-1qbg", "vhostuser"),
    "nova": ("ovs", "bridge-2026-1", "instance-and-flavor-beside", "pair-folsom", "802-1qbg"),
    "os-vif": ("openvswitch", "openvswitch-create-tap", "bridge-hybrid", "bridge", "older"),
}


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.name)
def test_a_systems_own_vif_is_said_in_its_own_words(case: Case) -> None:
    if case.folder.name not in NEEDS_NO_FIELDS_OF_OUR_OWN.get(case.source, ()):
        return
    for vif in case.vifs():
        shorn = SOURCES[case.source].data_of(vif)
        if case.name == "neutron-ovs-with-all-beside":
            # Who serves DHCP stands in other ports, so our subnets say it.
            own = shorn["port"]["binding:profile"].pop("vifplug")
            assert set(own) == {"network"} and set(own["network"]) == {"subnets"}
        elif case.name == "os-vif-older":
            assert shorn.pop("vifplug") == {"interface_id": None}
        assert "vifplug" not in json.dumps(shorn)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("case", OURS, ids=lambda case: case.name)
def test_a_vif_of_ours_plans_the_same_after_the_way_through_each(
    case: PlanningCase, source: str
) -> None:
    vif = back(source, case.vif)
    plugin = PLUGINS[vif.vif_type](case.read("options.json"))  # type: ignore[arg-type]
    plugin.check(vif)
    passed_over = plugin.passed_over(vif)
    wiring = plugin.wire(vif, case.host)
    wiring = dataclasses.replace(wiring, passed_over=(*passed_over, *wiring.passed_over))
    owner = Owner(vif_id=vif.id, vif_type=vif.vif_type, process=wiring.process)
    assert f"{plan(owner, wiring, case.host)}\n" == case.expected()["plan.txt"]
    assert f"{wiring.interface.to_xml()}\n" == case.expected()["interface.xml"]


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


uuids = st.uuids().map(str)
devices = st.from_regex(r"[a-z][a-z0-9.-]{0,14}", fullmatch=True)
words = st.from_regex(r"[a-z][a-z0-9 ]{0,20}", fullmatch=True)
rates = maybe(st.integers(0, 2**32 - 1))
flags = st.booleans()
subnets = st.lists(
    st.fixed_dictionaries(
        {"cidr": st.sampled_from(["10.0.0.0/24", "10.1.0.9/16", "2001:db8::/64"])},
        optional={
            "gateway": st.sampled_from(["10.0.0.1", "2001:db8::1"]),
            "dhcp_server": st.just("10.0.0.2"),
            "ips": st.lists(st.sampled_from(["10.0.0.5", "10.0.0.6", "2001:db8::5"]), max_size=3),
        },
    ),
    max_size=3,
)
networks = st.fixed_dictionaries(
    {"bridge": st.sampled_from(["br100", "br-int"]) | devices},
    optional={
        "id": uuids,
        "label": words,
        "mtu": st.integers(1280, 9000),
        "interface": st.just("eth1") | devices,
        "vlan": st.integers(1, 4094),
        "should_create_bridge": flags,
        "should_create_vlan": flags,
        "multi_host": flags,
        "subnets": subnets,
    },
)
limits = st.fixed_dictionaries(
    {},
    optional={f"{way}bound_{word}": rates for way in ("in", "out")
              for word in ("average", "peak", "burst")},
)  # fmt: skip
common = {
    "id": uuids,
    "address": st.from_regex(r"fa(:[0-9a-f]{2}){5}", fullmatch=True),
    "network": networks,
}
optional: dict[str, st.SearchStrategy[Any]] = {
    "devname": devices,
    "vnic_type": st.sampled_from(["normal", "direct", "macvtap", "virtio-forwarder"]),
    "filtered": flags,
    "interface_id": uuids,
    "profile_id": words,
    "manager_id": st.integers(0, 255),
    "type_id": st.integers(0, 0xFFFFFF),
    "type_id_version": st.integers(0, 255),
    "instance_id": uuids,
    "model": st.just("e1000"),
    "queues": st.integers(1, 256),
    "qos": limits,
    "instance": st.fixed_dictionaries({"name": st.just("instance-00000001")},
                                      optional={"uuid": uuids}),
}  # fmt: skip
details = {
    "bridge": st.just({}),
    "tap": st.fixed_dictionaries({}, optional={"mac_address": st.just("02:00:00:00:00:07")}),
    "ovs": st.fixed_dictionaries(
        {},
        optional={
            "datapath_type": st.sampled_from(["system", "netdev"]),
            "ovs_hybrid_plug": flags,
            "ovs_create_tap": flags,
        },
    ),
    "802.1qbg": st.just({}),
    "802.1qbh": st.just({"pci_slot": "0000:81:00.3"}),
    "hw_veb": st.just({"vlan": 7, "trusted": True, "of_a_third_party": [1, {"a": None}]}),
}


@st.composite
def vifs(draw: st.DrawFn, *types: str) -> VIF:
    """Draw a VIF of ours with any of the fields that there are."""
    vif_type = draw(st.sampled_from(types))
    data = draw(st.fixed_dictionaries(common, optional=optional))
    return VIF.from_dict({**data, "vif_type": vif_type, "details": draw(details[vif_type])})


LINKS = {"br100": {"kind": "bridge", "up": True}, "eth1": {"kind": "physical", "up": True}}
OVS = {"endpoint": "unix:/run/openvswitch/db.sock", "bridges": {"br-int": {}, "br100": {}}}
HOSTS = [
    Host.from_dict({"links": LINKS, "ovs": OVS, **more}, PLUGINS.snapshots)
    for more in ({}, {"firewall": True, "virt_type": "qemu"}, {"libvirt_version": "0.9.10"})
]


def outcome(vif: VIF, host: Host) -> list[Any]:
    """Return what becomes of a VIF on a host, as far as it comes: wiring, XML, plan, an error."""
    plugin = PLUGINS[vif.vif_type]({"filter_parameters": True, "use_ipv6": True})
    found: list[Any] = []
    try:
        plugin.check(vif)
        wiring = plugin.wire(vif, host)
        found += [wiring, wiring.interface.to_xml()]
        owner = Owner(vif_id=vif.id, vif_type=vif.vif_type, process=wiring.process)
        found.append(str(plan(owner, wiring, host)))
    except VifplugError as error:
        found.append(str(error))
    return found


@pytest.mark.parametrize("source", SOURCES)
@SEVERAL
@given(vif=vifs("bridge", "ovs", "tap"))
def test_any_vif_plans_the_same_after_the_way_through_each(source: str, vif: VIF) -> None:
    again = back(source, vif)
    for host in HOSTS:
        assert outcome(again, host) == outcome(vif, host)


def test_a_limit_that_neutron_can_not_say_survives() -> None:
    data = {"id": "0b6a9d0e-7a3c-4a6e-9d55-3f1f0a3c2b11", "vif_type": "bridge",
            "address": "fa:16:3e:11:22:33", "network": {"bridge": "br0"},
            "qos": {"inbound_average": 2**32 - 1, "outbound_average": 8}}  # fmt: skip
    assert back("neutron", VIF.from_dict(data)).to_dict() == data


@pytest.mark.parametrize("source", SOURCES)
@SEVERAL
@given(vif=vifs(*details))
def test_any_vif_of_any_type_is_the_same_after_the_way_through_each(source: str, vif: VIF) -> None:
    assert back(source, vif) == vif


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, Any]:
    """Draw a system's document with one to three values replaced or removed."""
    case = draw(st.sampled_from(CASES))
    data = copy.deepcopy(case.data)
    for _ in range(draw(st.integers(1, 3))):
        places = [path for path in paths(data) if path]
        if not places:
            break
        *outer, last = draw(st.sampled_from(places))
        place = data
        for key in outer:
            place = place[key]
        if draw(st.booleans()):
            place[last] = draw(json_values)
        else:
            del place[last]
    return case.source, data


@settings(SEVERAL, max_examples=1500)
@given(mutated())
def test_whatever_comes_a_vif_or_an_invalid_vif_comes_out(drawn: tuple[str, Any]) -> None:
    name, data = drawn
    source = SOURCES[name]
    try:
        found = source.parts(data)
    except InvalidVIF as error:
        assert str(error)
        return
    for _, part in found:
        try:
            vif = source.vif_of(part)
        except InvalidVIF as error:
            assert str(error).isprintable()
        else:
            assert VIF.from_dict(vif.to_dict()) == vif
            assert back(name, vif) == vif


@pytest.mark.parametrize("source", SOURCES)
@SEVERAL
@given(data=json_values)
def test_any_json_is_read_or_refused(source: str, data: Any) -> None:
    try:
        for _, part in SOURCES[source].parts(data):
            SOURCES[source].vif_of(part)
    except InvalidVIF as error:
        assert str(error)


def test_what_was_given_is_not_changed() -> None:
    for case in GOOD:
        data = case.data
        for _, part in SOURCES[case.source].parts(data):
            SOURCES[case.source].vif_of(part)
        assert data == case.data


def test_details_that_the_plugin_does_not_know_are_an_error_in_our_format_only() -> None:
    data = {"id": "0b6a9d0e-7a3c-4a6e-9d55-3f1f0a3c2b11", "vif_type": "bridge",
            "address": "fa:16:3e:11:22:33", "network": {"bridge": "br0"},
            "details": {"connectivity": "l2"}}  # fmt: skip
    with pytest.raises(InvalidVIF, match=r"details\.connectivity"):
        PLUGINS["bridge"]().check(VIF.from_dict(data))
    PLUGINS["bridge"]().check(VIF.from_dict(data, lenient=True))
    PLUGINS["bridge"]().check(back("neutron", VIF.from_dict(data)))


def test_a_detail_that_the_plugin_knows_is_checked_whoever_said_it() -> None:
    (case,) = [case for case in GOOD if case.name == "neutron-tap"]
    data = case.data
    data["port"]["binding:vif_details"]["mac_address"] = "nonsense"
    vif = SOURCES["neutron"].vif_of(data)
    with pytest.raises(InvalidVIF, match=r"details\.mac_address is 'nonsense'"):
        PLUGINS["tap"]().check(vif)
