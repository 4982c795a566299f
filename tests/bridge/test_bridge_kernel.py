# SPDX-License-Identifier: Apache-2.0
"""Plug, check, list and unplug on a real kernel, through the real privileged daemon."""

from __future__ import annotations

import dataclasses
from contextlib import ExitStack
from pathlib import Path

import pytest
from oslo_config.fixture import Config

from tests.bridge.frames import arrives, crosses
from tests.bridge.vifs import IDS, bridge_vif, tap_of
from vifplug import VIF, Conflict, GenericVIFDriver, InvalidVIF, PlugFailed
from vifplug.testing import Capture, NetworkNamespace, TapEnd
from vifplug.testing.claims import kept_of
from vifplug.testing.configured import fork
from vifplug.testing.dumps import differences
from vifplug_bridge import privileged
from vifplug_bridge.plugin import BridgePlugin


def sysctl(path: str) -> str:
    return Path("/proc/sys/net", path).read_text().strip()


def test_the_bridge_made_on_demand_is_quiet_and_forwards_at_once(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    driver.plug(None, bridge_vif())
    (link,) = namespace.ip_json("-d", "link", "show", "br100")
    settings = link["linkinfo"]["info_data"]
    assert (settings["forward_delay"], settings["stp_state"]) == (0, 0)
    assert settings["ageing_time"] == 30000, "ageing is left as the kernel has it"
    assert (link["mtu"], "UP" in link["flags"]) == (1450, True)
    assert sysctl("ipv4/conf/br100/arp_ignore") == "1"
    assert sysctl("ipv4/conf/br100/arp_announce") == "2"
    assert sysctl("ipv6/conf/br100/disable_ipv6") == "1"
    assert [a for a in namespace.ip_json("-6", "addr") if a.get("ifname") == "br100"] == []


def test_a_bridge_that_was_there_keeps_its_settings(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    namespace.ip("link", "add", "name", "br100", "type", "bridge")
    before = namespace.everything()
    driver.plug(None, bridge_vif())
    driver.unplug(None, bridge_vif())
    assert differences(before, namespace.everything()) == []


def test_a_bridge_of_a_network_that_uses_ipv6_keeps_ipv6(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    namespace.ip("link", "add", "eth1", "type", "veth", "peer", "name", "eth1-peer")
    namespace.ip("addr", "add", "2001:db8::7/64", "dev", "eth1", "nodad")
    driver.plug(None, bridge_vif(interface="eth1"))
    assert sysctl("ipv6/conf/br100/disable_ipv6") == "0"


def test_what_libvirts_tap_leaves_to_us_is_a_claim_that_list_and_unplug_know(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    driver.plug(None, bridge_vif(0))
    driver.plug(None, bridge_vif(1))
    assert [(one.id, one.bridge, one.devices) for one in driver.list()] == [
        (IDS[0], "br100", ()),
        (IDS[1], "br100", ()),
    ]
    claims = [f"vifplug:{vif_id}::uses-bridge:bridge" for vif_id in IDS[:2]]
    assert kept_of("br100") == ["vifplug:shared::bridge:br100", *claims]
    (result,) = driver.unplug_ids([IDS[0]])
    assert getattr(result, "changed", None) is True
    assert [one.id for one in driver.list()] == [IDS[1]]


@pytest.mark.parametrize("queues", [None, 4])
def test_a_frame_crosses_between_two_taps_made_beforehand(
    queues: int | None, namespace: NetworkNamespace, conf: Config, driver: GenericVIFDriver
) -> None:
    conf.config(group="vifplug_bridge", create_tap=True)
    vifs = [dataclasses.replace(bridge_vif(number), queues=queues) for number in (0, 1)]
    for vif in vifs:
        assert driver.plug(None, vif).devices == (tap_of(vif),)
    (link,) = namespace.ip_json("-d", "link", "show", tap_of(vifs[0]))
    tun = link["linkinfo"]["info_data"]
    assert (tun["persist"], tun["multi_queue"]) == (True, queues is not None)
    assert link["address"] == "fe:16:3e:11:22:00", "never the guest's own: the bridge would eat it"
    assert (link["mtu"], link["master"]) == (1450, "br100")
    assert sysctl(f"ipv6/conf/{tap_of(vifs[0])}/disable_ipv6") == "1"

    with ExitStack() as stack:
        ends = [TapEnd(namespace, tap_of(vif), queues=queues or 1) for vif in vifs]
        one, two = (stack.enter_context(end) for end in ends)
        assert all(plugged.in_use for plugged in driver.list())
        frame = bytes.fromhex("fa163e112201 fa163e112200 88b5") + b"across the bridge".ljust(50)
        assert crosses(one, two, frame)
    assert not any(plugged.in_use for plugged in driver.list())


def test_a_live_nic_loses_no_frame_while_it_is_plugged_again(
    namespace: NetworkNamespace, conf: Config, driver: GenericVIFDriver
) -> None:
    conf.config(group="vifplug_bridge", create_tap=True)
    driver.plug_all([(None, bridge_vif(0)), (None, bridge_vif(1))])
    with ExitStack() as stack:
        ends = [TapEnd(namespace, tap_of(bridge_vif(number))) for number in (0, 1)]
        one, two = (stack.enter_context(end) for end in ends)
        assert crosses(
            one, two, bytes.fromhex("fa163e112201 fa163e112200 88b5") + b"first".ljust(50)
        )
        for number in range(50):
            assert not driver.plug(None, bridge_vif(number % 2)).changed
            frame = bytes.fromhex("fa163e112201 fa163e112200 88b5") + b"%050d" % number
            one.send(frame)
            assert arrives(two, frame)


def test_drift_is_shown_and_repaired(
    namespace: NetworkNamespace, conf: Config, driver: GenericVIFDriver
) -> None:
    conf.config(group="vifplug_bridge", create_tap=True)
    vif = bridge_vif()
    driver.plug(None, vif)
    plugged = namespace.everything()
    namespace.ip("link", "set", tap_of(vif), "nomaster", "mtu", "1280", "down")
    (Path("/proc/sys/net/ipv6/conf") / tap_of(vif) / "disable_ipv6").write_text("0\n")
    drift = str(driver.check(None, vif))
    assert "change  tap     tap0b6a9d0e-7a   IPv6 off, MTU 1450, up" in drift
    assert "make    port" in drift
    assert driver.plug(None, vif).changed
    assert differences(plugged, namespace.everything()) == []


def test_the_last_user_takes_our_unused_bridge_along_only_when_told(
    namespace: NetworkNamespace, conf: Config, driver: GenericVIFDriver
) -> None:
    driver.plug(None, bridge_vif(0))
    driver.unplug(None, bridge_vif(0))
    assert namespace.ip_json("link", "show", "br100"), "kept: the option is off"

    conf.config(group="vifplug_bridge", remove_unused=True)
    fork(BridgePlugin)  # the option is the daemon's, not the caller's
    for number in (0, 1):
        GenericVIFDriver().plug(None, bridge_vif(number))
    GenericVIFDriver().unplug(None, bridge_vif(0))
    assert namespace.ip_json("link", "show", "br100"), "kept: another VIF claims it"
    namespace.ip("tuntap", "add", "stranger", "mode", "tap")
    namespace.ip("link", "set", "stranger", "master", "br100")
    GenericVIFDriver().unplug(None, bridge_vif(1))
    assert namespace.ip_json("link", "show", "br100"), "kept: a stranger's port is on it"
    namespace.ip("link", "del", "stranger")
    GenericVIFDriver().plug(None, bridge_vif(0))
    GenericVIFDriver().unplug(None, bridge_vif(0))
    assert "br100" not in namespace.everything()["links"]


def test_a_bridge_that_others_made_is_never_removed(
    namespace: NetworkNamespace, conf: Config, driver: GenericVIFDriver
) -> None:
    conf.config(group="vifplug_bridge", remove_unused=True)
    fork(BridgePlugin)
    namespace.ip("link", "add", "name", "br100", "type", "bridge")
    driver.plug(None, bridge_vif())
    driver.unplug(None, bridge_vif())
    assert namespace.ip_json("link", "show", "br100")


def test_unplug_also_removes_what_nova_plugged(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    vif = bridge_vif()
    namespace.ip("tuntap", "add", tap_of(vif), "mode", "tap")
    namespace.ip("tuntap", "add", "tap-stranger", "mode", "tap")
    assert driver.unplug(None, vif).devices == (tap_of(vif),)
    assert set(namespace.everything()["links"]) == {"lo", "tap-stranger"}


def test_unplug_of_one_vif_spares_another_whose_names_collide(
    namespace: NetworkNamespace, conf: Config, driver: GenericVIFDriver
) -> None:
    conf.config(group="vifplug_bridge", create_tap=True)
    mine = bridge_vif()
    twin = dataclasses.replace(mine, id=f"{mine.id[:-1]}9", address="fa:16:3e:11:22:99")
    driver.plug(None, mine)
    with pytest.raises(Conflict, match=f"belongs to VIF {mine.id}"):
        driver.plug(None, twin)
    assert not driver.unplug(None, twin).changed
    assert not driver.check(None, mine)


def test_one_bad_vif_in_a_batch_fails_alone(
    namespace: NetworkNamespace, conf: Config, driver: GenericVIFDriver
) -> None:
    conf.config(group="vifplug_bridge", create_tap=True)
    namespace.ip("link", "add", tap_of(bridge_vif(1)), "type", "bridge")
    found = driver.plug_all([(None, bridge_vif(number)) for number in (0, 1, 2)])
    assert isinstance(found[1], Conflict)
    assert [getattr(one, "changed", None) for one in (found[0], found[2])] == [True, True]
    assert [one.id for one in driver.list()] == [IDS[0], IDS[2]]


def test_a_batch_of_vifs_on_a_missing_bridge_is_planned_once(driver: GenericVIFDriver) -> None:
    first, second = driver.plan_all([(None, bridge_vif(0)), (None, bridge_vif(1))])
    assert "make    bridge  br100" in str(first)
    assert "keep    bridge  br100" in str(second)


def test_a_kernel_that_refuses_is_quoted_and_all_is_undone(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    # A container's macvlan takes the device's frames. The kernel says so only when it is asked.
    with NetworkNamespace(name="container") as container:
        namespace.ip("link", "add", "eth1", "type", "ifb")
        namespace.ip("link", "add", "link", "eth1", "name", "mv0", "type", "macvlan")
        namespace.ip("link", "set", "mv0", "netns", container.path)
        before = namespace.everything()
        with pytest.raises(PlugFailed, match="Device or resource busy; undone") as failure:
            driver.plug(None, bridge_vif(interface="eth1"))
        assert failure.value.step == "set eth1 master br100"
        assert differences(before, namespace.everything()) == []


def test_a_wrong_mtu_for_a_tap_is_refused_before_anything_is_touched(
    namespace: NetworkNamespace, conf: Config, driver: GenericVIFDriver
) -> None:
    conf.config(group="vifplug_bridge", create_tap=True)
    before = namespace.everything()
    with pytest.raises(InvalidVIF, match=r"network\.mtu is 65535; allowed: at most 65521"):
        driver.plug(None, bridge_vif(mtu=65535))
    assert differences(before, namespace.everything()) == []


def test_the_daemon_holds_one_capability(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    driver.plug(None, bridge_vif())
    pid = privileged.context.channel.pid  # type: ignore[union-attr]
    status = Path(f"/proc/{pid}/status").read_text()
    held = {
        line.split(":")[0]: int(line.split()[1], 16)
        for line in status.splitlines()
        if line.startswith("Cap")
    }
    assert held["CapEff"] == held["CapPrm"] == 1 << 12, "CAP_NET_ADMIN and nothing else"


def test_the_tap_vif_type_makes_a_tap_and_leaves_its_wiring_to_an_agent(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    vif = VIF.from_dict(
        {
            "id": IDS[0],
            "vif_type": "tap",
            "address": "fa:16:3e:11:22:33",
            "network": {"mtu": 1400},
            "details": {"mac_address": "02:00:00:00:00:07"},
        }
    )
    driver.plug(None, vif)
    (link,) = namespace.ip_json("-d", "link", "show", tap_of(vif))
    assert (link["address"], link["mtu"], link.get("master")) == ("02:00:00:00:00:07", 1400, None)
    assert sysctl(f"ipv6/conf/{tap_of(vif)}/disable_ipv6") == "1"
    with TapEnd(namespace, tap_of(vif)) as guest, Capture(namespace, tap_of(vif)) as agent:
        frame = bytes.fromhex("ffffffffffff fa163e112233 88b5") + b"to the agent".ljust(50)
        guest.send(frame)
        assert agent.wait_for(lambda seen: seen == frame, 5)
