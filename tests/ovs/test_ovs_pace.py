# SPDX-License-Identifier: Apache-2.0
"""A slow switch's rows come before their devices: what is plugged then, and what if it was quick.

Faults at every step, hung and killed daemons and several callers: see test_ovs_faults,
test_ovs_daemons and test_ovs_callers, which have manual and hybrid this way, too.
"""

from __future__ import annotations

import time

import pytest
from oslo_config.fixture import Config

from tests.configured import fork
from tests.faults.dumps import differences
from tests.ovs import paces
from tests.ovs.datapaths import on_both_datapaths
from tests.ovs.test_ovs_kernel import configuration
from tests.ovs.vifs import IDS, ovs_vif
from vifplug import GenericVIFDriver, PlugFailed, apply
from vifplug.netlink import Netlink
from vifplug.operations import MakeLink, Operation
from vifplug.order import in_order
from vifplug.testing import NetworkNamespace, OpenVSwitch
from vifplug.testing.openvswitch import SWITCH
from vifplug_ovs import privileged
from vifplug_ovs.operations import Settle
from vifplug_ovs.pace import Pace

DEVICES = {"manual": ("tap",), "hybrid": ("qbr", "qvb", "qvo")}


def patched(conf: Config, process: str) -> GenericVIFDriver:
    """Return a driver whose daemon has what was patched, for a process."""
    conf.config(group="vifplug_ovs", process=process)
    fork(privileged)
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
    paces.rows_first(monkeypatch)
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
def test_a_switch_that_was_quicker_than_its_device_takes_it_and_is_no_longer_slow(
    process: str, br_int: OpenVSwitch, conf: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = apply.perform

    def takes_long(netlink: Netlink, operation: Operation) -> None:
        if isinstance(operation, MakeLink):
            time.sleep(0.3)
        real(netlink, operation)

    monkeypatch.setattr(apply, "perform", takes_long)
    monkeypatch.setattr(privileged, "pace", Pace(slow=True))
    driver = patched(conf, process)
    start = configuration(br_int)
    assert driver.plug(None, ovs_vif(0)).changed
    assert not driver.check(None, ovs_vif(0))
    assert opened_in_vain(br_int, 0)
    assert configuration(br_int) == start + 2, "it was asked to look again"
    assert driver.plug(None, ovs_vif(1)).changed
    assert not opened_in_vain(br_int, 1), "the next one's device came first"
    assert configuration(br_int) == start + 3
    driver.close()


def test_a_port_that_the_switch_does_not_take_is_told_at_once_and_undone(
    br_int: OpenVSwitch, conf: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    paces.rows_first(monkeypatch)
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


def test_it_learns_who_is_slow() -> None:
    pace = Pace()
    pace.acknowledged(0.001)
    assert not pace.slow
    pace.acknowledged(0.02)
    assert pace.slow
    pace.acknowledged(0.001)
    assert pace.slow, "an answer soon after a row that came first says nothing of the device"
    for needed in (2, 4, 8):
        pace.missed()
        for _ in range(needed - 1):
            pace.acknowledged(0.02)
        assert not pace.slow, "what was wrong once is taken for slow with more reason"
        pace.acknowledged(0.02)
        assert pace.slow


def test_rows_come_first_only_where_a_device_is_made_for_them() -> None:
    tap = MakeLink(device="tap0", kind="tap", mark="m")
    other = MakeLink(device="tap1", kind="tap", mark="m")
    pair = MakeLink(device="qvb0", kind="veth", mark="m", peer="tap0", peer_mark="n")
    row = Settle(device="tap0", bridge="br-int")
    assert in_order((tap, row), rows_first=False).before == (tap,)
    for made in (tap, pair):
        order = in_order((made, row), rows_first=True)
        assert (order.before, order.inside, order.after) == ((), (row,), (made,))
    after = in_order((other, pair, row), rows_first=True).after
    assert after == (pair, other), "what the switch is on its way to is made first"
    assert in_order((other, row), rows_first=True).before == (other,)
    assert in_order((tap,), rows_first=True).before == (tap,)
