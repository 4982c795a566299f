# SPDX-License-Identifier: Apache-2.0
"""The XML of our VIF driver beside that of Nova's own, for generated VIFs, in the Nova's Python."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from tests.nova import vifs
from tests.nova.differences import DIFFERENCES
from tests.nova.environments import ROOT, Environment
from vifplug.testing import Libvirt, NetworkNamespace, OpenVSwitch

ORACLE = Path(__file__).parent / "inside/oracle.py"
Case = dict[str, Any]


@pytest.fixture(scope="module")
def ovs() -> Iterator[OpenVSwitch]:
    with NetworkNamespace(enter=True) as host, OpenVSwitch(host) as found:
        found.add_bridge("br-int")
        yield found


@pytest.fixture
def conf(tmp_path: Path, ovs: OpenVSwitch) -> Path:
    file = tmp_path / "nova.conf"
    file.write_text(f"[vifplug_ovs]\novsdb_connection = {ovs.endpoint}\n")
    return file


def asked(nova: Environment, conf: Path, cases: list[Case]) -> list[dict[str, dict[str, str]]]:
    lines = "".join(f"{json.dumps(case)}\n" for case in cases)
    done = nova.run(ORACLE, conf, input=lines)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == len(cases), done.stderr
    return found


def compared(cases: list[Case], answers: list[dict[str, dict[str, str]]]) -> Counter[str]:
    """Assert that our XML is Nova's but for the differences; return how often each was seen."""
    seen: Counter[str] = Counter()
    for case, answer in zip(cases, answers, strict=True):
        stock, ours = answer["stock"], answer["ours"]
        if "error" in stock:
            assert ours == stock, case
            seen[stock["error"]] += 1
            continue
        assert "xml" in ours, (case, ours)
        assert ours["class"] == stock["class"] == "LibvirtConfigGuestInterface"
        wanted = parsed(stock["xml"])
        for difference in DIFFERENCES:
            before = etree.tostring(wanted)
            difference.change(case, wanted)
            seen[difference.name] += etree.tostring(wanted) != before
        assert text(parsed(ours["xml"])) == text(wanted), case
        seen["equal"] += parsed(stock["xml"]).tag == "interface"
    return seen


def text(element: Any) -> str:
    return etree.tostring(element, encoding="unicode", pretty_print=True)


def parsed(xml: str) -> Any:
    return etree.fromstring(xml, etree.XMLParser(remove_blank_text=True))


def test_xml_is_that_of_nova_34_but_for_the_differences(nova34: Environment, conf: Path) -> None:
    cases = vifs.cases(1500, types=("ovs", "tap", "macvtap", "802.1qbg"), seed=34)
    seen = compared(cases, asked(nova34, conf, cases))
    assert all(seen[difference.name] for difference in DIFFERENCES), seen
    assert seen["UnsupportedHardware"] and seen["equal"] > 1000, seen


def test_xml_of_a_linux_bridge_is_that_of_nova_33(nova33: Environment, conf: Path) -> None:
    cases = vifs.cases(500, types=("bridge",), seed=33)
    seen = compared(cases, asked(nova33, conf, cases))
    assert seen["equal"] > 350, seen


def test_what_no_plugin_claims_is_novas_to_the_letter(nova34: Environment, conf: Path) -> None:
    cases = vifs.others(seed=1)
    for case, answer in zip(cases, asked(nova34, conf, cases), strict=True):
        assert answer["ours"] == answer["stock"], case


def test_a_card_given_whole_is_the_same_where_it_is_not_left_to_nova(
    nova34: Environment, conf: Path
) -> None:
    cases = [case for case in vifs.others(seed=2) if case["vif"]["type"] == "hostdev_physical"]
    conf.write_text(conf.read_text() + "[vifplug_nova]\nleave =\n")
    for case, answer in zip(cases, asked(nova34, conf, cases), strict=True):
        assert answer["ours"]["class"] == "LibvirtConfigGuestHostdevPCI"
        stock, ours = (parsed(answer[who]["xml"]) for who in ("stock", "ours"))
        assert etree.tostring(ours, method="c14n") == etree.tostring(stock, method="c14n"), case


def test_a_linux_bridge_is_had_on_nova_34_where_it_is_no_more(
    nova34: Environment, nova33: Environment, conf: Path
) -> None:
    cases = vifs.cases(100, types=("bridge",), seed=3)
    new, old = asked(nova34, conf, cases), asked(nova33, conf, cases)
    assert {answer["stock"].get("error") for answer in new} == {"NovaException"}
    assert [answer["ours"] for answer in new] == [answer["ours"] for answer in old]


def test_every_difference_is_in_the_documentation() -> None:
    text = (ROOT / "docs/nova.md").read_text()
    assert [one.name for one in DIFFERENCES if f"| {one.name} |" not in text] == []
    heading = text.partition("## Where the XML differs")[2].partition("\n## ")[0]
    rows = [line for line in heading.splitlines() if line.startswith("| ")][1:]
    assert len(rows) == len(DIFFERENCES)


def test_libvirt_takes_all_of_it(nova34: Environment, conf: Path, ovs: OpenVSwitch) -> None:
    cases = vifs.cases(60, types=("ovs", "tap", "bridge", "macvtap", "802.1qbg"), seed=9)
    for case in cases:
        case["libvirt_version"] = "9.0.0"
        case["libvirt_options"] |= {"virt_type": "qemu"}
    with NetworkNamespace() as host, Libvirt(host) as libvirt:
        for answer in asked(nova34, conf, cases):
            if "xml" in answer["ours"]:
                libvirt.define(answer["ours"]["xml"])


def test_xml_for_another_host_is_without_this_ones_facts(
    nova34: Environment, conf: Path, ovs: OpenVSwitch
) -> None:
    """The source has a multi-queue tap, an old libvirt and the VIF plugged as hybrid."""
    case = vifs.cases(1, types=("ovs",), seed=5)[0]
    vif = case["vif"]
    vif |= {"delegate_create": True, "devname": f"tap{vif['id'][:11]}"}
    vif["details"] = {"port_filter": True}
    case |= {"image": {}, "extra_specs": {}, "vcpus": 1, "libvirt_version": "8.0.0"}
    case["libvirt_options"] = {"virt_type": "kvm", "use_virtio_for_bridges": True}
    name = f"qbr{vif['id'][:11]}"
    environment = NetworkNamespace(enter=True)
    with environment as host:
        host.ip("link", "add", name, "type", "bridge")
        host.ip("tuntap", "add", vif["devname"], "mode", "tap", "multi_queue")
        here, there = asked(nova34, conf, [case, {**case, "for_another_host": True}])
    assert f'<source bridge="{name}"/>' in here["ours"]["xml"], "as it is plugged here"
    xml = parsed(there["ours"]["xml"])
    assert xml.get("type") == "ethernet" and xml.find("source") is None
    assert xml.find("target").get("managed") == "no" and xml.find("driver") is None
