# SPDX-License-Identifier: Apache-2.0
"""A firewall that drops bridged packets, and a network service that manages an uplink, are told."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from oslo_config.fixture import Config

from tests.bridge.conftest import conf, driver  # noqa: F401 (fixtures)
from tests.bridge.vifs import bridge_vif
from vifplug import GenericVIFDriver
from vifplug.query import firewall
from vifplug.testing import NetworkNamespace, veth
from vifplug.testing.shell import COMMAND

CALLS = {"IPv4": "bridge-nf-call-iptables", "IPv6": "bridge-nf-call-ip6tables"}
TOOLS = [
    ("IPv4", "iptables-nft", "nftables chain FORWARD of table filter"),
    ("IPv6", "ip6tables-nft", "nftables chain FORWARD of table filter"),
    ("IPv4", "iptables-legacy", "iptables chain FORWARD"),
    ("IPv6", "ip6tables-legacy", "iptables chain FORWARD"),
]
ADDRESSES = {"IPv4": "192.0.2.{}", "IPv6": "2001:db8::{}"}


def call(value: str) -> None:
    """Have the packets of all bridges pass the firewall for IP packets, or not."""
    for name in CALLS.values():
        Path("/proc/sys/net/bridge", name).write_text(value)


@pytest.fixture
def namespace() -> Iterator[NetworkNamespace]:
    with NetworkNamespace(enter=True) as entered:
        call("1")
        yield entered


@dataclass
class Bridged:
    """Two guests on br0, and a firewall of the host that is in between."""

    host: NetworkNamespace
    guests: tuple[NetworkNamespace, NetworkNamespace]

    def passes(self, family: str, *, expected: bool) -> bool:
        """Whether a ping passes; one that is not ``expected`` is not waited for as long."""
        to = ADDRESSES[family].format(2)
        words = ("ping", "-c", "1", "-W", "20" if expected else "0.3", to)
        return self.guests[0].run(*words, check=False).returncode == 0


@pytest.fixture
def bridged(namespace: NetworkNamespace) -> Iterator[Bridged]:
    with NetworkNamespace() as one, NetworkNamespace() as two:
        namespace.ip("link", "add", "br0", "up", "type", "bridge")
        for number, guest in enumerate((one, two), start=1):
            veth(namespace, f"port{number}", guest, "eth0")
            namespace.ip("link", "set", f"port{number}", "master", "br0")
            for address, length in zip(ADDRESSES.values(), (24, 64), strict=True):
                what = f"{address.format(number)}/{length}"
                guest.ip("address", "add", what, "dev", "eth0", "nodad")
        yield Bridged(namespace, (one, two))


@dataclass(frozen=True)
class Case:
    """A firewall: commands, or nft(8)'s own language; and what it does with bridged IPv4.

    ``drops`` is the chain that drops, None where the ping passes. ``unsure`` are chains that may
    drop. ``called``: the sysctls are on.
    """

    rules: tuple[str, ...]
    drops: str | None = None
    unsure: tuple[str, ...] = ()
    called: bool = True
    family: str = "IPv4"


def nft(family: str, *lines: str, hook: str = "forward", more: str = "") -> str:
    """Return a table f with a base chain c, in nft's language."""
    body = "\n".join(lines)
    kind = "nat" if "masquerade" in body else "filter"
    return f"table {family} f {{\n{more}\nchain c {{\ntype {kind} hook {hook} {body}\n}}\n}}\n"


LAST_REJECT = nft(
    "inet",
    "priority 10; policy accept;",
    "ct state invalid drop",
    "jump zones",
    "reject with icmpx type admin-prohibited",
    more="chain zones {\niifname lo accept\n}",
)
CHAIN = "nftables chain {} of table {}"
CASES = {
    "no rule": Case(()),
    "firewalld's last reject": Case(
        (LAST_REJECT,), CHAIN.format("c", "inet f"), (CHAIN.format("c", "inet f"),)
    ),
    "the same for IPv6": Case(
        (LAST_REJECT,), CHAIN.format("c", "inet f"), (CHAIN.format("c", "inet f"),), family="IPv6"
    ),
    "a family that is not called": Case((LAST_REJECT,), called=False),
    "RHEL's iptables-services": Case(
        ("iptables-nft -A FORWARD -j REJECT --reject-with icmp-host-prohibited",),
        CHAIN.format("FORWARD", "filter"),
    ),
    "the same, legacy": Case(
        ("iptables-legacy -A FORWARD -j REJECT --reject-with icmp-host-prohibited",),
        "iptables chain FORWARD",
    ),
    "legacy, IPv6": Case(
        ("ip6tables-legacy -A FORWARD -i br+ -j DROP",), "iptables chain FORWARD", family="IPv6"
    ),
    "a jump to a chain that drops": Case(
        (
            "iptables-nft -N OWN",
            "iptables-nft -A OWN -s 198.51.100.0/24 -j ACCEPT",
            "iptables-nft -A OWN -j DROP",
            "iptables-nft -A FORWARD -m comment --comment all -j OWN",
        ),
        CHAIN.format("OWN", "filter"),
    ),
    "the same jump, legacy": Case(
        (
            "iptables-legacy -N OWN",
            "iptables-legacy -A OWN -s 198.51.100.0/24 -j ACCEPT",
            "iptables-legacy -A OWN -j DROP",
            "iptables-legacy -A FORWARD -m comment --comment all -g OWN",
        ),
        "iptables chain OWN",
    ),
    "a chain that returns": Case(
        (
            "iptables-legacy -N OWN",
            "iptables-legacy -A OWN -j RETURN",
            "iptables-legacy -A OWN -j DROP",
            "iptables-legacy -A FORWARD -j OWN",
        ),
    ),
    "before routing": Case(
        ("iptables-nft -t mangle -A PREROUTING -i br0 -j DROP",),
        CHAIN.format("PREROUTING", "mangle"),
    ),
    "before routing, legacy": Case(
        ("iptables-legacy -t raw -A PREROUTING -j DROP",), "iptables chain PREROUTING of table raw"
    ),
    "after routing": Case(
        (nft("ip", "priority 0; policy accept;", "oifname br0 drop", hook="postrouting"),),
        CHAIN.format("c", "f"),
    ),
    "frames' policy": Case(
        (nft("bridge", "priority 0; policy drop;"),), CHAIN.format("c", "bridge f"), called=False
    ),
    "frames' last drop": Case(
        ("ebtables -A FORWARD -j DROP",), CHAIN.format("FORWARD", "bridge filter"), called=False
    ),
    "a port's own chain": Case(
        (nft("netdev", "priority 0; policy drop;", hook='ingress device "port1"'),),
        CHAIN.format("c", "netdev f"),
        called=False,
    ),
    "another device's own chain": Case(
        (nft("netdev", "priority 0; policy drop;", hook='ingress device "lo"'),), called=False
    ),
    "the usual cure": Case(
        (
            "iptables-nft -P FORWARD DROP",
            "iptables-nft -A FORWARD -m physdev --physdev-is-bridged -j ACCEPT",
        ),
    ),
    "the usual cure, legacy": Case(
        (
            "iptables-legacy -P FORWARD DROP",
            "iptables-legacy -A FORWARD -m physdev --physdev-is-bridged -j ACCEPT",
        ),
    ),
    "the bridge is let through": Case(
        (nft("inet", "priority 0; policy drop;", 'iifname "br*" oifname "br0" accept'),)
    ),
    "the bridge by its number": Case(
        (nft("inet", "priority 0; policy drop;", 'iif "br0" accept'),)
    ),
    "other bridges' rules": Case(
        (
            "iptables-legacy -A FORWARD -o docker0 ! -i docker0 -j DROP",
            "iptables-nft -A FORWARD -i virbr0 -j REJECT",
        ),
    ),
    "a rule that may concern it": Case(
        (
            "iptables-legacy -A FORWARD -s 198.51.100.0/24 -j DROP",
            "iptables-nft -A FORWARD -p tcp -j REJECT",
        ),
        unsure=(CHAIN.format("FORWARD", "filter"), "iptables chain FORWARD"),
    ),
    "a map of verdicts": Case(
        (nft("ip", "priority 0;", "ip saddr vmap { 198.51.100.1 : drop, 192.0.2.1 : drop }"),),
        unsure=(CHAIN.format("c", "f"),),
    ),
    "to a program": Case(
        ("iptables-nft -A FORWARD -j NFQUEUE --queue-bypass",),
        unsure=(CHAIN.format("FORWARD", "filter"),),
    ),
    # The bridge has no address: then its packets are dropped.
    "addresses are changed": Case(
        (nft("ip", "priority 0;", "oifname != lo masquerade", hook="postrouting"),),
        unsure=(CHAIN.format("c", "f"),),
    ),
    "addresses are changed, legacy": Case(
        ("iptables-legacy -t nat -A POSTROUTING -s 192.0.2.0/24 -j MASQUERADE",),
        unsure=("iptables chain POSTROUTING of table nat",),
    ),
}  # fmt: skip
UNSEEN = ("a map of verdicts", "addresses are changed", "addresses are changed, legacy")
"""Those that drop the ping although we can't tell that."""


@pytest.mark.parametrize("name", CASES)
def test_what_is_said_of_a_firewall_is_what_it_does(name: str, bridged: Bridged) -> None:
    case = CASES[name]
    call("1" if case.called else "0")
    for rules in case.rules:
        if rules.startswith("table"):
            bridged.host.run("nft", "-f", "-", input=rules)
        else:
            bridged.host.run(*rules.split())
    said = firewall.look(["br0"])
    family = case.family if case.called else "frames"
    dropping = [words.partition(": ")[2] for words in said.dropping if words.startswith(family)]
    assert dropping == ([case.drops] if case.drops else [])
    assert {words.partition(": ")[2] for words in said.unsure} == {*case.unsure}
    passes = case.drops is None and name not in UNSEEN
    assert bridged.passes(case.family, expected=passes) == passes
    if not passes:
        assert said.dropping or said.unsure, "never is it said that packets pass"


def saved(host: NetworkNamespace, tool: str) -> list[str]:
    """Return the rules of a firewall, without what each has counted."""
    lines = host.run(f"{tool}-save").stdout.splitlines()
    return [line.partition(" [")[0] for line in lines if not line.startswith("#")]


@pytest.mark.parametrize(("family", "tool", "words"), TOOLS)
def test_a_policy_that_drops_is_found_and_left_as_it_is(
    family: str, tool: str, words: str, bridged: Bridged
) -> None:
    def dropping() -> list[str]:
        return list(firewall.look().dropping)

    assert dropping() == []
    host = bridged.host
    host.run(tool, "-A", "FORWARD", "-i", "lo", "-j", "ACCEPT")
    host.run(tool, "-P", "FORWARD", "DROP")
    rules = saved(host, tool)
    assert dropping() == [f"{family}: {words}"]
    assert saved(host, tool) == rules
    assert not bridged.passes(family, expected=False)
    Path("/proc/sys/net/bridge", CALLS[family]).write_text("0")
    assert dropping() == []
    # A bridge may call the firewall by its own setting.
    setting = CALLS[family].removeprefix("bridge-").replace("-", "_")
    host.ip("link", "add", "br1", "type", "bridge")
    host.ip("link", "set", "br0", "type", "bridge", setting, "1")
    assert dropping() == [f"{family}: {words} (br0)"]
    assert not bridged.passes(family, expected=False)
    assert firewall.look(["br1"]) == firewall.Statement()
    host.ip("link", "set", "br0", "type", "bridge", setting, "0")
    Path("/proc/sys/net/bridge", CALLS[family]).write_text("1")
    host.run(tool, "-P", "FORWARD", "ACCEPT")
    assert dropping() == []
    assert bridged.passes(family, expected=True)


def test_what_goes_to_the_host_itself_is_told_apart(namespace: NetworkNamespace) -> None:
    namespace.run("nft", "-f", "-", input=nft("bridge", "priority 0; policy drop;", hook="input"))
    said = firewall.look()
    assert said == firewall.Statement(host=("frames: nftables chain c of table bridge f",))


def test_many_chains_are_followed_a_while(namespace: NetworkNamespace) -> None:
    numbers = range(100)
    names = "".join(f":OWN{number} - [0:0]\n" for number in numbers)
    jumps = "".join(f"-A FORWARD -m mark --mark {number} -j OWN{number}\n" for number in numbers)
    for tool in ("iptables-nft-restore", "iptables-legacy-restore"):
        namespace.run(tool, input=f"*filter\n{names}{jumps}COMMIT\n")
    said = firewall.look(["br0"])
    assert said.dropping == ()
    assert "IPv4: iptables chain OWN99" in said.unsure
    assert "IPv4: nftables chain OWN99 of table filter" in said.unsure


def test_plug_and_doctor_tell_of_it(
    namespace: NetworkNamespace,
    driver: GenericVIFDriver,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        driver.plug(None, bridge_vif(0))
        assert "drops" not in caplog.text
        assert checked(namespace).startswith("ok no policy or last rule")
        namespace.run("iptables-nft", "-A", "FORWARD", "-j", "REJECT")
        driver.plug(None, bridge_vif(1))
    assert "IPv4: nftables chain FORWARD of table filter drops bridged packets" in caplog.text
    said = checked(namespace)
    assert said.startswith("MEND IPv4: nftables chain FORWARD of table filter drops")
    assert "bridge-nf-call" in said and "physdev-is-bridged" in said
    namespace.run("iptables-nft", "-I", "FORWARD", "-i", "br100", "-o", "br100", "-j", "ACCEPT")
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        driver.plug(None, bridge_vif(2))
    assert "drops" not in caplog.text
    assert checked(namespace).startswith("ok ")


def checked(namespace: NetworkNamespace) -> str:
    """Return what doctor says of bridged packets."""
    checks = json.loads(namespace.run(COMMAND, "doctor", "-f", "json", check=False).stdout)
    (found,) = [check for check in checks if check["check"] == "bridged packets"]
    return f"{'ok' if found['ok'] else 'MEND'} {found['detail']}; {found['mend']}"


# The services' own files as they write them; the services themselves don't run here.
STATES = {
    "NetworkManager": ("NetworkManager/devices", "[device]\nmanaged=true\n"),
    "systemd-networkd": ("systemd/netif/links", "ADMIN_STATE=configured\n"),
}


@pytest.mark.parametrize("service", STATES)
def test_an_uplink_that_a_service_manages_is_told_by_plug_and_doctor(
    service: str,
    namespace: NetworkNamespace,
    conf: Config,  # noqa: F811
    tmp_path: Path,
) -> None:
    veth(namespace, "eth1", namespace, "far")
    index = namespace.ip_json("link", "show", "eth1")[0]["ifindex"]
    folder, text = STATES[service]
    (tmp_path / "vif.json").write_text(json.dumps(bridge_vif(interface="eth1").to_dict()))
    (tmp_path / "state").write_text(text)
    run = f"{COMMAND} --config-file {tmp_path}/vifplug.conf"
    script = f"""
        mount -t tmpfs run /run
        mkdir -p /run/{folder}
        cp {tmp_path}/state /run/{folder}/{index}
        {run} plug {tmp_path}/vif.json
        {run} doctor
    """
    command = ("unshare", "--mount", "--propagation", "private", "sh", "-c", script)
    done = namespace.run(*command, check=False)
    assert f"warning: VIF {bridge_vif().id}: eth1 is managed by {service}" in done.stderr
    assert f"managed by {service}" in done.stdout
    assert f"have {service} leave eth1 alone" in done.stdout
