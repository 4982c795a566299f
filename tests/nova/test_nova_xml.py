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
from tests.nova.differences import DIFFERENCES, FROM_NOVA_20, Difference
from tests.nova.environments import ROOT, Environment
from vifplug.testing import Libvirt, NetworkNamespace, OpenVSwitch

ORACLE = Path(__file__).parent / "inside/oracle.py"
Case = dict[str, Any]


@pytest.fixture(scope="module")
def host() -> Iterator[NetworkNamespace]:
    with NetworkNamespace() as found:
        yield found


@pytest.fixture(scope="module")
def ovs(host: NetworkNamespace) -> Iterator[OpenVSwitch]:
    with OpenVSwitch(host) as found:
        found.add_bridge("br-int")
        yield found


@pytest.fixture
def conf(tmp_path: Path, host: NetworkNamespace, ovs: OpenVSwitch) -> Iterator[Path]:
    """A nova.conf; the test is in the host's namespace, without a way to the package index."""
    file = tmp_path / "nova.conf"
    file.write_text(f"[vifplug_ovs]\novsdb_connection = {ovs.endpoint}\n")
    with host.entered():
        yield file


def asked(nova: Environment, conf: Path, cases: list[Case]) -> list[dict[str, dict[str, str]]]:
    lines = "".join(f"{json.dumps(case)}\n" for case in cases)
    done = nova.run(ORACLE, conf, input=lines)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == len(cases), done.stderr
    return found


def compared(
    cases: list[Case],
    answers: list[dict[str, dict[str, str]]],
    differences: tuple[Difference, ...] = DIFFERENCES,
) -> Counter[str]:
    """Assert that our XML is Nova's but for the differences; return how often each was seen."""
    seen: Counter[str] = Counter()
    for case, answer in zip(cases, answers, strict=True):
        stock, ours = answer["stock"], answer["ours"]
        if "error" in stock:
            assert ours.get("error") == stock["error"], (case, ours)
            seen[stock["error"]] += 1
            continue
        assert "xml" in ours, (case, ours)
        assert ours["class"] == stock.get("class", "LibvirtConfigGuestInterface")
        wanted = parsed(stock["xml"])
        for difference in differences:
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


@pytest.mark.parametrize(
    "firewall",
    ["nova.virt.firewall.NoopFirewallDriver", "nova.virt.libvirt.firewall.IptablesFirewallDriver"],
)
def test_with_a_firewall_all_is_as_it_was_in_nova_20(
    firewall: str, nova20: Path, nova34: Environment, conf: Path
) -> None:
    """The last Nova that chose by firewall driver, and by libvirt's version."""
    cases = vifs.cases(600, types=("ovs", "tap", "bridge"), seed=20)
    for number, case in enumerate(cases):
        case["vif"] |= {"delegate_create": False, "address": "fa:16:3e:11:22:33"}
        for newer in ("ovs_create_tap", "bound_drivers"):
            case["vif"]["details"].pop(newer, None)
        case["firewall_driver"] = firewall
        case["libvirt_version"] = ("1.3.2", "3.2.0", "8.0.0", "9.0.0")[number % 4]
        case["extra_specs"].pop("hw:virtio_packed_ring", None)
        # Models, and how many queues a guest gets and of what size, are each Nova's own rule.
        case["image"] = {}
        case["extra_specs"].pop("hw:vif_multiqueue_enabled", None)
        case["libvirt_options"] |= dict.fromkeys(("rx_queue_size", "tx_queue_size", "max_queues"))
    lines = "".join(f"{json.dumps(case)}\n" for case in cases)
    oracle = ORACLE.with_name("oracle20.py")
    native = {"OS_NOVA_DISABLE_EVENTLET_PATCHING": "1"}
    done = nova34.run(oracle, input=lines, PYTHONPATH=str(nova20), **native)
    stock = [json.loads(line) for line in done.stdout.splitlines()]
    conf.write_text(f"{conf.read_text()}[vifplug]\nfirewall_driver = {firewall}\n")
    ours = [answer["ours"] for answer in asked(nova34, conf, cases)]
    answers = [{"stock": old, "ours": new} for old, new in zip(stock, ours, strict=True)]
    seen = compared(cases, answers, FROM_NOVA_20)
    assert seen["equal"] > 400 and seen["an MTU with libvirt older than 3.3 too"], seen
    filters = sum("<filterref" in answer.get("xml", "") for answer in stock)
    assert (filters > 100) == ("Iptables" in firewall)


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
    assert [one.name for one in FROM_NOVA_20 if f"| {one.name} |" not in text] == []
    heading = text.partition("## Where the XML differs")[2].partition("\n## ")[0]
    rows = [line for line in heading.splitlines() if line.startswith("| ")][1:]
    # The two tables' heads, less the first row, which is one of them.
    assert len(rows) == len(FROM_NOVA_20) + 1


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
