# SPDX-License-Identifier: Apache-2.0
"""VIFs written into a domain's XML: what a plugin decides changes, and no other byte."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from tests.domains.conftest import ID, MAC, OTHER, TAP
from tests.planning import BRIDGE, OVS, VEPA
from vifplug import VIF, InvalidVIF
from vifplug.guest import splice
from vifplug.guest.interface import FilterRef, GuestSide, Interface, VirtualPort
from vifplug.sources import SOURCES
from vifplug.sources.domain import parse
from vifplug.testing.cases import Case, distinct_interfaces
from vifplug.testing.domain import schema

pytestmark = pytest.mark.unit

DOMAIN = """\
<?xml version='1.0' encoding='UTF-8'?>
<!-- a comment with <interface> in it -->
<domain type='kvm'  xmlns:qemu="http://libvirt.org/schemas/domain/qemu/1.0">
  <name>wéb1</name>
\t<uuid>7e5e7a3c-4a6e-4d55-9f1f-0a3c2b110b6a</uuid>
  <title>a &lt;title&gt;</title>
  <memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices>
    <!-- <interface type='bridge'/> -->
    <interface  type = 'bridge' >
{children}
    </interface>
    <interface type='network'><source network='default'/></interface>
    <memballoon model='none'/>
  </devices>
  <qemu:commandline><qemu:arg value='-d'/></qemu:commandline>
</domain>
"""
ALL = {
    "acpi": "<acpi index='4'/>",
    "address": "<address type='pci' domain='0x0000' bus='0x00' slot='0x10' function='0x0'/>",
    "alias": "<alias name='ua-mine'/>",
    "backend": "<backend tap='/dev/net/tun' vhost='/dev/vhost-net'/>",
    "backenddomain": "<backenddomain name='driver'/>",
    "bandwidth": "<bandwidth><inbound average='1000'/></bandwidth>",
    "boot": "<boot order='1'/>",
    "coalesce": "<coalesce><rx><frames max='7'/></rx></coalesce>",
    "driver": "<driver name='vhost' queues='2' txmode='iothread'><host csum='off'/></driver>",
    "filterref": "<filterref filter='clean-traffic'/>",
    "guest": "<guest dev='eth0'/>",
    "ip": "<ip address='192.0.2.7' prefix='24'/>",
    "link": "<link state='up'/>",
    "mac": f"<mac  address='{MAC}'/>",
    "model": "<model type='rtl8139'/>",
    "mtu": "<mtu size='1500'/>",
    "port": "<port isolated='yes'/>",
    "rom": "<rom bar='off'/>",
    "route": "<route family='ipv4' address='192.0.2.0' prefix='24' gateway='192.0.2.1'/>",
    "script": "<script path='/etc/qemu-ifup'/>",
    "downscript": "<downscript path='/etc/qemu-ifdown'/>",
    "source": "<source bridge='br0'/>",
    "target": "<target dev='old0'/>",
    "teaming": "<teaming type='persistent'/>",
    "tune": "<tune><sndbuf>1600</sndbuf></tune>",
    "virtualport": "<virtualport type='openvswitch'/>",
    "vlan": "<vlan trunk='yes'><tag id='42'/><tag id='43'/></vlan>",
}
"""Every child of libvirt's <interface>."""

VIFS = VIF.from_dict({"id": ID, "vif_type": "bridge", "address": MAC, "network": {"bridge": "b"}})


def domain(*names: str) -> str:
    return DOMAIN.format(children="\n".join(f"      {ALL[name]}" for name in names))


def wanted(interface: Interface, vif: VIF = VIFS, **more: Any) -> splice.Wanted:
    return splice.Wanted(vif=vif, interface=interface, **more)


def on_tap(**more: Any) -> Interface:
    return Interface(type="ethernet", mac=MAC, guest=GuestSide(model="virtio"), target=TAP,
                     managed=False, **more)  # fmt: skip


def into(text: str, *each: splice.Wanted) -> str:
    return splice.into(parse(text), each).decode()


def test_every_child_that_no_plugin_decides_survives_byte_for_byte() -> None:
    text = domain(*ALL)
    fresh = into(text, wanted(on_tap()))
    decided = ("source", "target", "virtualport", "vlan")
    expected = text.replace("type = 'bridge'", "type = 'ethernet'")
    for name in decided:
        child = f'<target dev="{TAP}" managed="no"/>' if name == "target" else ""
        line = f"      {ALL[name]}\n"
        expected = expected.replace(line, f"      {child}\n" if child else "")
    assert fresh == expected


def test_every_element_that_a_plugin_decides_is_its_own() -> None:
    interface = Interface(
        type="bridge",
        mac=MAC,
        guest=GuestSide(model="virtio", inbound=(("average", 5),)),
        source=(("bridge", "br-int"),),
        mtu=1400,
        vlan=7,
        target=TAP,
        virtualport=VirtualPort(type="openvswitch", parameters=(("interfaceid", OTHER),)),
        filterref=FilterRef(name="mine", parameters=(("IP", "192.0.2.7"),)),
    )
    fresh = into(domain(*ALL), wanted(interface))
    node = next(parse(fresh).interfaces())
    assert node.value("source", "bridge") == "br-int"
    assert node.value("mtu", "size") == "1400"
    assert [tag.attributes for tag in node.find("vlan").children] == [{"id": "7"}]
    assert node.value("virtualport/parameters", "interfaceid") == OTHER
    assert node.value("filterref", "filter") == "mine"
    assert node.value("bandwidth/inbound", "average") == "5"
    assert node.value("model", "type") == "rtl8139", "the guest's side is the user's"
    assert into(fresh, wanted(interface)) == fresh, "and a second time changes nothing"


def test_what_belongs_to_the_owner_of_a_source_survives() -> None:
    text = domain("mac").replace(
        ALL["mac"], f"{ALL['mac']}<source dev='x'>{ALL['ip']}<reconnect enabled='yes'/></source>"
    )
    assert f"<source>{ALL['ip']}</source>" in into(text, wanted(on_tap()))
    socket = Interface(type="vhostuser", mac=MAC, guest=GuestSide(model="virtio"),
                       source=(("type", "unix"), ("path", "/s"), ("mode", "server")))  # fmt: skip
    fresh = into(text, wanted(socket))
    assert '<source type="unix" path="/s" mode="server"><reconnect enabled=\'yes\'/>' in fresh


def test_limits_go_where_the_vif_of_before_had_them() -> None:
    text = domain("mac", "mtu", "bandwidth", "filterref")
    data = VIFS.to_dict() | {"qos": {"inbound_average": 1000}}
    before = VIF.from_dict(data | {"network": {"bridge": "b", "mtu": 1500}})
    assert "<mtu" in into(text, wanted(on_tap()))
    fresh = into(text, wanted(on_tap(), before=before))
    assert not re.search("<mtu|<bandwidth", fresh)
    assert ALL["filterref"] in fresh


@pytest.mark.parametrize("case", distinct_interfaces([*BRIDGE, *OVS, *VEPA]), ids=lambda c: c.name)
def test_libvirts_schema_takes_every_interface_in_a_domain_that_has_one(case: Case) -> None:
    interface = case.wiring.interface
    children = f"      <mac address='{interface.mac}'/>\n      <boot order='1'/>"
    text = DOMAIN.format(children=children)
    one = wanted(interface, case.vif)
    if interface.type == "pci":
        with pytest.raises(InvalidVIF, match="this one is a <hostdev>"):
            into(text, one)
        return
    fresh = into(text, one)
    assert into(fresh, one) == fresh
    for whole in (fresh, splice.defined(parse(text), [one]).decode()):
        found = schema()
        assert found.validate(etree.fromstring(whole.encode())), found.error_log
        again = splice.defined(parse(whole), [one])
        assert splice.defined(parse(again), [one]) == again


def test_define_writes_metadata_alias_and_a_new_interface() -> None:
    other = VIF.from_dict({**VIFS.to_dict(), "id": OTHER, "address": "fa:16:3e:44:55:66"})
    second = Interface(type="ethernet", mac=other.address, guest=GuestSide(model="virtio"),
                       target="tap1c7bae1f-8b", managed=False)  # fmt: skip
    both = (wanted(on_tap()), wanted(second, other))
    text = domain("mac", "boot")
    fresh = splice.defined(parse(text), both)
    found = [SOURCES["libvirt"].vif_of(part) for _, part in SOURCES["libvirt"].parts(fresh)]
    assert [(each.id, each.network.bridge, each.instance.name) for each in found] == [
        (ID, "b", "wéb1"), (OTHER, "b", "wéb1"),
    ]  # fmt: skip
    assert f'<alias name="ua-{ID}"/>'.encode() in fresh
    assert splice.defined(parse(fresh), both) == fresh
    lines = iter(fresh.splitlines())
    for kept in text.encode().splitlines():
        kept = kept.replace(b"type = 'bridge'", b"type = 'ethernet'")
        assert any(line.startswith(kept) for line in lines), kept


def test_a_vif_that_the_domain_does_not_have_is_refused_by_name() -> None:
    other = VIF.from_dict({**VIFS.to_dict(), "id": OTHER, "address": "fa:16:3e:44:55:66"})
    with pytest.raises(InvalidVIF, match=rf"VIF {OTHER}: its <interface> in wéb1 is missing"):
        into(domain("mac"), wanted(on_tap(), other))


@given(st.binary(max_size=60), st.integers(0, 2000), st.integers(0, 80))
def test_a_damaged_domain_is_changed_or_refused(junk: bytes, at: int, length: int) -> None:
    data = domain(*ALL).encode()
    damaged = data[:at] + junk + data[at + length :]
    try:
        fresh = splice.defined(parse(damaged), [wanted(on_tap())])
    except InvalidVIF as error:
        assert str(error).isprintable()
    else:
        assert etree.fromstring(fresh) is not None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "broken at line 1"),
        ("<domain>" * 300, "nested too deep"),
        ("<!DOCTYPE d [<!ENTITY a 'b'>]><domain/>", "DOCTYPE"),
        ("<?xml version='1.0' encoding='koi8-r'?><domain/>", "koi8-r"),
        ("\ufeff".encode("utf-16"), "not UTF-8"),
        ("<domain>" + " " * (16 << 20) + "</domain>", "larger than 16 MiB"),
        ("<domains/>", "<domains>"),
    ],
)
def test_what_is_no_domain_is_refused(text: str | bytes, words: str) -> None:
    with pytest.raises(InvalidVIF, match=words):
        parse(text)


def test_a_large_domain_is_read() -> None:
    text = domain("mac").replace("<title>", "<title>" + "x" * (2 << 20))
    assert TAP in into(text, wanted(on_tap()))
