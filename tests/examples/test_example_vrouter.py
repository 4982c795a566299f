# SPDX-License-Identifier: Apache-2.0
"""VIFs of the vRouter, against a stand-in for its agent. No test here runs the real agent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.example_switch.conftest import bridged
from tests.examples.conftest import Example
from vifplug import VIF, DeadlineExceeded, GenericVIFDriver, Result, SwitchError, VifplugError
from vifplug.testing import NetworkNamespace, TapEnd
from vifplug.testing.configured import configured, emptied
from vifplug.testing.dumps import differences
from vifplug_bridge.plugin import BridgePlugin

EXAMPLE = "vrouter"
IDS = ("0b6a9d0e-7a3c-4a6e-9d55-3f1f0a3c2b11", "1c7bae1f-8b4d-4b7f-8e66-4a2a1b4d3c22")
NETWORK = "7d1a4b6c-2f0e-4e53-8a9b-6c5d4e3f2a10"
INSTANCE = "9b7f6e5d-4c3b-4a29-b817-06f5e4d3c2b1"
PROJECT = "5c3a1f0e-9d8b-4c7a-8e6f-4d2b0a9c8e7f"
TAPS = tuple(f"tap{one[:11]}" for one in IDS)
SHORT = 1.0


def vrouter_vif(number: int = 0, **more: Any) -> VIF:
    subnets = [{"cidr": "10.11.0.0/24", "ips": [f"10.11.0.{5 + number}"]},
               {"cidr": "2001:db8:b::/64", "ips": [f"2001:db8:b::{5 + number}"]}]  # fmt: skip
    data = {
        "id": IDS[number],
        "vif_type": "vrouter",
        "address": f"fa:16:3e:11:22:{number:02x}",
        "network": {"id": NETWORK, "subnets": subnets, "mtu": 1400},
        "instance": {"uuid": INSTANCE, "name": "instance-00000001"},
        "details": {"project_id": PROJECT},
    }
    return VIF.from_dict({**data, **more})


@dataclass(frozen=True)
class Hosted:
    """A host of the vRouter's."""

    namespace: NetworkNamespace
    agent: Any
    driver: GenericVIFDriver

    def require_served(self) -> None:
        """VIFs of another type are plugged and unplugged."""
        assert self.driver.plug(None, bridged()).changed
        assert self.driver.unplug(None, bridged()).changed
        self.namespace.ip("link", "delete", "br100")


@pytest.fixture
def host(namespace: NetworkNamespace, tmp_path: Path, example: Example) -> Iterator[Hosted]:
    namespace.ip("link", "add", "vhost0", "type", "veth", "peer", "name", "fabric")
    kinds = (BridgePlugin, example.kind)
    with (
        example.stand_in_agent.StandInAgent(namespace) as agent,
        configured(tmp_path, *kinds) as config,
    ):
        config.config(group="vifplug", libvirt_version="9.0.0", virt_type="qemu")
        config.config(group="vifplug_vrouter", agent=agent.address)
        with emptied(*kinds) as driver:
            yield Hosted(namespace, agent, driver)


def test_a_plug_tells_the_agent_and_an_unplug_has_it_forget(host: Hosted) -> None:
    driver, before = host.driver, host.namespace.everything()
    for by_id in (False, True):
        plugged = driver.plug(None, vrouter_vif())
        assert (plugged.changed, plugged.devices) == (True, (TAPS[0],))
        port = dict(host.agent.ports[IDS[0]])
        assert port.pop("author") and port.pop("time")
        assert port == {
            "id": IDS[0],
            "instance-id": INSTANCE,
            "display-name": "instance-00000001",
            "vn-id": NETWORK,
            "vm-project-id": PROJECT,
            "ip-address": "10.11.0.5",
            "ip6-address": "2001:db8:b::5",
            "mac-address": "fa:16:3e:11:22:00",
            "system-name": TAPS[0],
            "rx-vlan-id": -1,
            "tx-vlan-id": -1,
            "type": 0,
        }
        assert not driver.check(None, vrouter_vif())
        assert not driver.plug(None, vrouter_vif()).changed
        assert [(one.id, one.vif_type) for one in driver.list()] == [(IDS[0], "vrouter")]
        with TapEnd(host.namespace, TAPS[0]):
            assert [one.in_use for one in driver.list()] == [True]
        if by_id:
            (outcome,) = driver.unplug_ids([IDS[0]])
            assert isinstance(outcome, Result) and outcome.changed
        else:
            assert driver.unplug(None, vrouter_vif()).changed
        assert host.agent.ports == {}
        assert differences(before, host.namespace.everything()) == []
        assert not driver.unplug(None, vrouter_vif()).changed


def test_a_vif_without_addresses_or_an_instance_has_the_agents_words_for_none(
    host: Hosted,
) -> None:
    host.driver.plug(None, vrouter_vif(network={"id": NETWORK}, instance={}, details={}))
    port = host.agent.ports[IDS[0]]
    assert (port["ip-address"], port["ip6-address"]) == ("0.0.0.0", "::")
    assert (port["instance-id"], port["display-name"], port["vm-project-id"]) == ("", "", "")


def test_drift_is_told_and_repaired(host: Hosted) -> None:
    driver = host.driver
    driver.plug_all([(None, vrouter_vif(number)) for number in range(2)])
    tell = [f"tell the agent of {TAPS[0]}"]
    host.agent.ports[IDS[0]]["ip-address"] = "10.11.0.99"
    assert [str(o) for o in driver.check(None, vrouter_vif()).operations] == tell
    assert driver.plug(None, vrouter_vif()).changed
    assert host.agent.ports[IDS[0]]["ip-address"] == "10.11.0.5"
    del host.agent.ports[IDS[0]]
    assert [str(o) for o in driver.check(None, vrouter_vif()).operations] == tell
    assert driver.plug(None, vrouter_vif()).changed
    assert not driver.check(None, vrouter_vif())
    assert not driver.check(None, vrouter_vif(1))


@pytest.mark.parametrize("by_id", [True, False])
def test_after_a_reboot_the_agents_port_still_goes(by_id: bool, host: Hosted) -> None:
    host.driver.plug(None, vrouter_vif())
    host.namespace.ip("link", "delete", TAPS[0])
    assert host.driver.check(None, vrouter_vif())
    if by_id:
        (outcome,) = host.driver.unplug_ids([IDS[0]])
        assert isinstance(outcome, Result) and outcome.changed
    else:
        assert host.driver.unplug(None, vrouter_vif()).changed
    assert host.agent.ports == {}


def test_an_agent_that_refuses_leaves_nothing_behind(host: Hosted) -> None:
    before = host.namespace.everything()
    host.agent.refusal = 500, "no such virtual network"
    with pytest.raises(VifplugError, match=r"POST /port: status 500, .*no such virtual network"):
        host.driver.plug(None, vrouter_vif())
    assert differences(before, host.namespace.everything()) == []
    host.agent.refusal = None
    host.driver.plug(None, vrouter_vif())
    host.agent.refusal = 500, "not now"
    for _ in range(2):
        with pytest.raises(VifplugError, match="not now"):
            host.driver.unplug(None, vrouter_vif())
    host.agent.refusal = None
    assert host.driver.unplug(None, vrouter_vif()).changed
    assert host.agent.ports == {}


def test_an_agent_that_is_down_is_an_error_each_time_and_of_its_own_vifs_only(
    host: Hosted,
) -> None:
    host.driver.plug(None, vrouter_vif())
    host.agent.stop()
    for _ in range(2):
        with pytest.raises(SwitchError, match="Connection refused"):
            host.driver.plug(None, vrouter_vif(1))
        with pytest.raises(VifplugError, match="Connection refused"):
            host.driver.unplug(None, vrouter_vif())
    host.require_served()
    host.agent.start()
    assert host.driver.unplug(None, vrouter_vif()).changed
    assert host.agent.ports == {}


def test_an_agent_that_hangs_costs_its_own_vifs_their_time_only(host: Hosted) -> None:
    host.driver.plug(None, vrouter_vif())
    known = dict(host.agent.ports)
    host.agent.pause()
    with pytest.raises((SwitchError, DeadlineExceeded)):
        host.driver.plug(None, vrouter_vif(1), timeout=SHORT)
    with pytest.raises((SwitchError, VifplugError)):
        host.driver.unplug(None, vrouter_vif(), timeout=SHORT)
    host.require_served()
    host.agent.resume()
    host.driver.plug(None, vrouter_vif())
    assert host.agent.ports == known
    assert host.driver.unplug(None, vrouter_vif()).changed
    assert host.agent.ports == {}


def test_a_host_without_the_vrouter_has_no_complaint(host: Hosted) -> None:
    host.agent.stop()
    host.namespace.ip("link", "delete", "vhost0")
    assert host.driver.list() == []
    assert not host.driver.unplug_ids([IDS[0]])[0].changed
