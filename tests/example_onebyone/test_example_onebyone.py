# SPDX-License-Identifier: Apache-2.0
"""A switch without transactions, in four methods: what it plugs, what an error leaves."""

from __future__ import annotations

from types import ModuleType

import pytest

from tests.example_onebyone.conftest import (
    BRIDGED,
    IDS,
    SOCKET,
    TAP,
    TAP_1,
    Relayd,
    bridged,
    by_socket,
    vif,
)
from vifplug import GenericVIFDriver, PlugFailed, Result, SwitchError
from vifplug.errors import DeadlineExceeded, UnplugFailed
from vifplug.testing import NetworkNamespace
from vifplug.testing.dumps import differences

IPS = ("198.51.100.7", "2001:db8:7::7")


def links(namespace: NetworkNamespace) -> set[str]:
    return {link["ifname"] for link in namespace.ip_json("link")}


def test_the_privileged_module_ends_with_its_entrypoints(package: ModuleType) -> None:
    context = package.context
    assert context.is_entrypoint(package.plug) and context.is_entrypoint(package.unplug)
    assert context.prefix == "vifplug_relay.privileged"
    groups = dict(context.list_opts())
    assert {opt.name for opt in groups["vifplug_relay"]} == {"socket", "answer"}
    assert {opt.name for opt in groups["vifplug_relay_privileged"]} >= {"helper_command", "user"}


@pytest.mark.parametrize(
    "name", ["vifplug_relay.privileged.load", "vifplug_bridge.privileged.plug"]
)
def test_its_daemon_takes_calls_of_its_own_plug_and_unplug_only(
    name: str, package: ModuleType, driver: GenericVIFDriver
) -> None:
    with pytest.raises(NameError, match=r"refused: .*; allowed: vifplug_relay.privileged.plug, "):
        package.context.channel.remote_call(name, ({},), {}, 10.0)


@pytest.mark.parametrize("asked", [vif(ips=IPS), by_socket()], ids=["tap", "socket"])
def test_a_plug_makes_all_and_an_unplug_leaves_nothing(
    asked: object, driver: GenericVIFDriver, relayd: Relayd, namespace: NetworkNamespace
) -> None:
    assert isinstance(asked, type(vif()))
    before = namespace.everything()
    plugged = driver.plug(None, asked)
    assert plugged.changed
    (port,) = relayd.ports.values()
    assert (port["vif_id"], port["segment"]) == (IDS[0], "blue")
    assert not driver.check(None, asked)
    assert not driver.plug(None, asked).changed
    (listed,) = driver.list()
    assert (listed.id, listed.vif_type, listed.bridge) == (IDS[0], "relay", "blue")
    assert listed.devices == ((TAP,) if asked.network.subnets else (SOCKET,))
    driver.unplug(None, asked)
    assert relayd.ports == {}
    assert differences(before, namespace.everything()) == []
    assert not driver.unplug(None, asked).changed


def test_a_vif_that_is_refused_leaves_the_others_plugged(
    driver: GenericVIFDriver, relayd: Relayd, namespace: NetworkNamespace
) -> None:
    relayd.refuse(TAP_1)
    plugged, refused, other, beside = driver.plug_all(
        [(None, vif()), (None, vif(1)), (None, vif(2)), (None, bridged())]
    )
    for one in (plugged, other, beside):
        assert isinstance(one, Result) and one.changed
    assert isinstance(refused, PlugFailed) and not refused.left
    assert f"plug failed at add port {TAP_1}: no licence for {TAP_1}; undone" in str(refused)
    assert TAP_1 not in links(namespace)
    assert len(relayd.ports) == 2


def test_an_unplug_that_is_refused_hurts_no_other(
    driver: GenericVIFDriver, relayd: Relayd, namespace: NetworkNamespace
) -> None:
    pairs = [(None, vif(0)), (None, vif(1)), (None, vif(2))]
    driver.plug_all(pairs)
    relayd.refuse(TAP_1)
    gone, refused, other = driver.unplug_all(pairs)
    assert isinstance(gone, Result) and isinstance(other, Result)
    assert isinstance(refused, UnplugFailed)
    assert f"remove port {TAP_1}: no licence for {TAP_1}" in str(refused)
    assert list(relayd.ports) == [TAP_1]
    # The tap is gone, and with it the mark. The switch still tells of the VIF.
    (again,) = driver.unplug_ids([IDS[1]])
    assert isinstance(again, UnplugFailed)
    relayd.restart()
    assert driver.unplug(None, vif(1)).changed
    assert relayd.ports == {}


def test_what_can_not_be_undone_is_told(
    driver: GenericVIFDriver, relayd: Relayd, namespace: NetworkNamespace
) -> None:
    relayd.die_at_the_next_port()
    with pytest.raises(PlugFailed) as failed:
        driver.plug(None, vif())
    assert [line.partition(":")[0] for line in failed.value.left] == [f"remove port {TAP}"]
    assert "; undone" not in str(failed.value)
    assert list(relayd.ports) == [TAP]
    assert TAP not in links(namespace)
    relayd.restart()
    assert driver.unplug(None, vif()).changed
    assert relayd.ports == {}


@pytest.mark.parametrize("asked", [vif(), by_socket()], ids=["tap", "socket"])
@pytest.mark.parametrize("by_id", [False, True], ids=["by VIF", "by id"])
def test_a_port_that_outlives_a_reboot_is_unplugged(
    by_id: bool,
    asked: object,
    driver: GenericVIFDriver,
    relayd: Relayd,
    namespace: NetworkNamespace,
) -> None:
    assert isinstance(asked, type(vif()))
    driver.plug(None, asked)
    if TAP in links(namespace):
        namespace.ip("link", "delete", TAP)
    relayd.restart()
    (listed,) = driver.list()
    assert listed.id == IDS[0]
    (done,) = driver.unplug_ids([IDS[0]]) if by_id else driver.unplug_all([(None, asked)])
    assert isinstance(done, Result) and done.changed
    assert relayd.ports == {}


@pytest.mark.parametrize("by_id", [False, True], ids=["by VIF", "by id"])
def test_an_unplug_fails_as_long_as_the_switch_is_down(
    by_id: bool, driver: GenericVIFDriver, relayd: Relayd
) -> None:
    driver.plug(None, vif())
    relayd.end()

    def unplug() -> object:
        return (driver.unplug_ids([IDS[0]]) if by_id else driver.unplug_all([(None, vif())]))[0]

    for _ in range(2):
        failed = unplug()
        assert isinstance(failed, (UnplugFailed, SwitchError)), failed
        assert "Connection refused" in str(failed)
    relayd.start()
    done = unplug()
    assert isinstance(done, Result) and done.changed
    assert relayd.ports == {}


def test_a_switch_that_hangs_costs_no_other_vif_its_plug(
    driver: GenericVIFDriver, relayd: Relayd, namespace: NetworkNamespace
) -> None:
    relayd.hang()
    failed, plugged = driver.plug_all([(None, vif()), (None, bridged())], timeout=12)
    relayd.go_on()
    assert isinstance(failed, (SwitchError, DeadlineExceeded, PlugFailed))
    assert failed.vif_id == IDS[0]
    assert isinstance(plugged, Result) and plugged.changed
    assert [one.id for one in driver.list()] == [BRIDGED]
    assert relayd.ports == {}
    assert TAP not in links(namespace)


def test_a_switch_that_hangs_costs_no_other_vif_its_unplug(
    driver: GenericVIFDriver, relayd: Relayd, namespace: NetworkNamespace
) -> None:
    pairs = [(None, vif()), (None, bridged())]
    driver.plug_all(pairs)
    relayd.hang()
    failed, unplugged = driver.unplug_all(pairs, timeout=12)
    relayd.go_on()
    assert isinstance(failed, (SwitchError, DeadlineExceeded, UnplugFailed))
    assert isinstance(unplugged, Result) and unplugged.changed
    driver.unplug(None, vif())
    assert relayd.ports == {}
