# SPDX-License-Identifier: Apache-2.0
"""A firewall that drops bridged packets, and a network service that manages an uplink, are told."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from oslo_config.fixture import Config

from tests.bridge.conftest import conf, driver  # noqa: F401 (fixtures)
from tests.bridge.vifs import bridge_vif
from vifplug import GenericVIFDriver
from vifplug.query.firewall import dropping
from vifplug.testing import NetworkNamespace, veth
from vifplug.testing.shell import COMMAND

CALLS = {"IPv4": "bridge-nf-call-iptables", "IPv6": "bridge-nf-call-ip6tables"}
TOOLS = [
    ("IPv4", "iptables-nft", "nftables chain FORWARD of table filter"),
    ("IPv6", "ip6tables-nft", "nftables chain FORWARD of table filter"),
    ("IPv4", "iptables-legacy", "iptables chain FORWARD"),
    ("IPv6", "ip6tables-legacy", "iptables chain FORWARD"),
]


@pytest.fixture
def namespace() -> Iterator[NetworkNamespace]:
    with NetworkNamespace(enter=True) as entered:
        for name in CALLS.values():
            Path("/proc/sys/net/bridge", name).write_text("1")
        yield entered


@pytest.mark.parametrize(("family", "tool", "words"), TOOLS)
def test_a_policy_that_drops_is_found_and_left_as_it_is(
    family: str, tool: str, words: str, namespace: NetworkNamespace
) -> None:
    assert dropping() == []
    namespace.run(tool, "-A", "FORWARD", "-i", "lo", "-j", "ACCEPT")
    namespace.run(tool, "-P", "FORWARD", "DROP")
    rules = namespace.run(f"{tool}-save").stdout.splitlines()
    assert dropping() == [f"{family}: {words}"]
    after = namespace.run(f"{tool}-save").stdout.splitlines()
    assert [r for r in rules if r[:1] != "#"] == [r for r in after if r[:1] != "#"]
    Path("/proc/sys/net/bridge", CALLS[family]).write_text("0")
    assert dropping() == []
    Path("/proc/sys/net/bridge", CALLS[family]).write_text("1")
    namespace.run(tool, "-P", "FORWARD", "ACCEPT")
    assert dropping() == []


def test_plug_and_doctor_tell_of_it(
    namespace: NetworkNamespace,
    driver: GenericVIFDriver,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        driver.plug(None, bridge_vif(0))
        assert "drops" not in caplog.text
        namespace.run("iptables-nft", "-P", "FORWARD", "DROP")
        driver.plug(None, bridge_vif(1))
    assert "IPv4: nftables chain FORWARD of table filter drops bridged packets" in caplog.text
    checks = json.loads(namespace.run(COMMAND, "doctor", "-f", "json", check=False).stdout)
    (found,) = [check for check in checks if check["check"] == "bridged packets"]
    assert not found["ok"]
    assert "bridge-nf-call" in found["mend"]


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
