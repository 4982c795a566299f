# SPDX-License-Identifier: Apache-2.0
"""Rows and devices that are made at once: what is plugged then, and what if the switch was quicker.

Faults at every step, hung and killed daemons and several callers: see test_ovs_conformance,
test_ovs_daemons and test_ovs_callers, which have manual and hybrid this way, too.
"""

from __future__ import annotations

import time
from collections import defaultdict

import pytest
from oslo_config.fixture import Config

from tests.ovs import races
from tests.ovs.databases import configuration
from tests.ovs.datapaths import on_both_datapaths
from tests.ovs.vifs import IDS, ovs_vif
from vifplug import GenericVIFDriver, PlugFailed
from vifplug.apply import means
from vifplug.kernel.perform import Kernel
from vifplug.operations.links import MakeLink, SetLink, SetLinks
from vifplug.operations.operation import Operation
from vifplug.testing import NetworkNamespace, OpenVSwitch
from vifplug.testing.configured import fork
from vifplug.testing.dumps import differences
from vifplug.testing.openvswitch import SWITCH
from vifplug_ovs import privileged
from vifplug_ovs.operations import Settle
from vifplug_ovs.order import in_order
from vifplug_ovs.plugin import OvsPlugin
from vifplug_ovs.race import Race

DEVICES = {"manual": ("tap",), "hybrid": ("qbr", "qvb", "qvo")}


def patched(conf: Config, process: str) -> GenericVIFDriver:
    """Return a driver whose daemon has what was patched, for a process."""
    conf.config(group="vifplug_ovs", process=process)
    fork(OvsPlugin)
    return GenericVIFDriver()


def opened_in_vain(ovs: OpenVSwitch, number: int) -> bool:
    """Whether vswitchd has said that it did not find a VIF's device."""
    said = (ovs.rundir / f"{SWITCH}.said").read_text()
    return any(f"could not open network device {prefix}{IDS[number][:11]}" in said
               for prefix in ("tap", "qvo"))  # fmt: skip


@on_both_datapaths
@pytest.mark.parametrize("process", DEVICES)
def test_it_is_plugged_whole_and_unplugged_without_a_trace(
    process: str,
    br_int: OpenVSwitch,
    namespace: NetworkNamespace,
    conf: Config,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    races.racing(monkeypatch, always=True)
    driver = patched(conf, process)
    before = namespace.everything(), br_int.everything()
    for number in range(8):
        driver.plug(None, ovs_vif(number, mtu=1450))
    links = {link["ifname"]: link for link in namespace.ip_json("-d", "link")}
    sysctls = namespace.everything()["sysctls"]
    for name in (f"{prefix}{IDS[n][:11]}" for n in range(8) for prefix in DEVICES[process]):
        assert "UP" in links[name]["flags"]
        assert links[name]["mtu"] == 1450
        assert sysctls[f"net/ipv6/conf/{name}/disable_ipv6"] == "1"
    ports = [row for row in br_int.rows("Interface") if row["name"] != "br-int"]
    assert len(ports) == 8
    assert all(row["ofport"] > 0 and row["error"] == [] for row in ports)
    for number in range(8):
        assert not driver.check(None, ovs_vif(number, mtu=1450))
        driver.unplug(None, ovs_vif(number))
    assert differences(before[0], namespace.everything()) == []
    assert differences(before[1], br_int.everything()) == []
    driver.close()


@pytest.mark.parametrize("process", DEVICES)
def test_a_switch_that_was_quicker_than_its_device_takes_it_and_is_given_time(
    process: str, br_int: OpenVSwitch, conf: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = means.perform

    def takes_long(operation: Operation, kernel: Kernel) -> None:
        if isinstance(operation, MakeLink):
            time.sleep(0.3)
        real(operation, kernel)

    monkeypatch.setattr(means, "perform", takes_long)
    monkeypatch.setattr(privileged, "races", defaultdict(Race))
    driver = patched(conf, process)
    start = configuration(br_int)
    assert driver.plug(None, ovs_vif(0)).changed
    assert not driver.check(None, ovs_vif(0))
    assert opened_in_vain(br_int, 0)
    assert configuration(br_int) == start + 1, "it looked again by itself"
    assert driver.plug(None, ovs_vif(1)).changed
    assert not opened_in_vain(br_int, 1), "the next one's device came first"
    assert configuration(br_int) == start + 2
    driver.close()


def test_a_port_that_the_switch_does_not_take_is_told_at_once_and_undone(
    br_int: OpenVSwitch, conf: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    races.racing(monkeypatch, always=True)
    # vswitchd in another network namespace can't see the tap.
    with NetworkNamespace(enter=True) as elsewhere:
        driver = patched(conf, "manual")
        before = elsewhere.everything(), br_int.everything()
        with pytest.raises(PlugFailed, match=r"did not take tap.*could not open network") as error:
            driver.plug(None, ovs_vif(), timeout=20)
        assert error.value.left == ()
        assert differences(before[0], elsewhere.everything()) == []
        assert differences(before[1], br_int.everything()) == []
        driver.close()


@pytest.mark.unit
def test_who_has_lost_rests_for_longer_each_time() -> None:
    race = Race()
    assert [race.enter() for _ in range(3)] == [True, True, True]
    for rest in (4, 16, 64, 256, 256):
        race.lost()
        assert [race.enter() for _ in range(rest + 2)] == [False] * rest + [True, True]


@pytest.mark.unit
def test_a_slow_switch_gets_a_head_start_and_who_is_taken_for_one_wrongly_less_easily() -> None:
    race = Race()
    race.acknowledged(0.001)
    assert not race.slow
    race.lost()
    race.acknowledged(0.02)
    assert race.slow
    assert race.enter(), "it would have lost"
    race.acknowledged(0.001)
    assert race.slow, "until it proves to be quick"
    for needed in (2, 4, 8):
        race.lost()
        assert not race.enter()
        for _ in range(needed - 1):
            race.acknowledged(0.02)
            assert not race.slow
        race.acknowledged(0.02)
        assert race.slow


@pytest.mark.unit
def test_only_what_is_made_for_a_row_is_made_while_the_database_is_at_work_on_it() -> None:
    tap = MakeLink(device="tap0", kind="tap", mark="m")
    other = MakeLink(device="tap1", kind="tap", mark="m")
    pair = MakeLink(device="qvb0", kind="veth", mark="m", peer="tap0", peer_mark="n")
    up = SetLink(device="tap0", attribute="up", value=True, fresh=True)
    row = Settle(device="tap0", bridge="br-int")
    assert in_order((tap, row), racing=False).before == (tap,)
    for made in (tap, pair):
        order = in_order((made, row), racing=True)
        assert (order.before, order.inside, order.meanwhile) == ((), (row,), (made,))
    for racing in (True, False):
        order = in_order((other, pair, row), racing=racing)
        assert order.before + order.meanwhile == (pair, other), "the switch looks for it first"
        assert order.before == (() if racing else (pair,))
        assert in_order((tap, up), racing=racing).before == (tap, up), "no database, no other order"


@pytest.mark.unit
def test_what_is_set_at_the_end_is_set_in_one_go_and_taken_back_so() -> None:
    pair = MakeLink(device="qvb0", kind="veth", mark="m", peer="tap0", peer_mark="n")
    row = Settle(device="tap0", bridge="br-int")
    up = SetLink(device="qvb0", attribute="up", value=True, fresh=True)
    quiet = SetLink(device="qvb0", attribute="ipv6", value=False, fresh=True)
    master = SetLink(device="qvb0", attribute="master", value="qbr0")
    hub = SetLink(device="qbr0", attribute="up", value=True, before=False)
    *first, last = in_order((hub, pair, up, quiet, master, row), racing=True).meanwhile
    assert first == [pair, quiet]
    assert last == SetLinks(these=(hub, up, master))
    assert str(last) == "; ".join(map(str, (hub, up, master)))
    assert last.undo() == SetLinks(these=(master.undo(), hub.undo()))
    assert SetLinks(these=(up,)).undo() is None
    assert in_order((pair, up, row), racing=True).meanwhile == (pair, up)
