# SPDX-License-Identifier: Apache-2.0
"""Several processes at once on one Open vSwitch: one host, whole in the end."""

from __future__ import annotations

from pathlib import Path

import pytest
from oslo_config import cfg

from tests.ovs.conftest import Host
from tests.ovs.vifs import ovs_vif
from tests.processes import in_processes
from vifplug import GenericVIFDriver

# oslo.privsep leaves the pipe of a helper open.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


def plugged(host: Host) -> list[str]:
    """Return the ids of the VIFs that the host has, each as asked."""
    found = [one.id for one in host.driver.list()]
    for number in range(16):
        if ovs_vif(number).id in found:
            assert not host.driver.check(None, ovs_vif(number))
    return found


def test_eight_processes_plug_one_vif_with_eight_successes(host: Host) -> None:
    found = in_processes(8, lambda driver, _: driver.plug(None, ovs_vif()).changed)
    assert sorted(found) == ["False"] * 7 + ["True"]
    assert plugged(host) == [ovs_vif().id]
    host.driver.unplug(None, ovs_vif())
    assert host.differs(host.before) == []
    assert list(Path(cfg.CONF.vifplug.lock_path).rglob("*.lock")) == []


def test_sixteen_processes_plug_and_unplug_different_ones(host: Host) -> None:
    found = in_processes(16, lambda driver, number: driver.plug(None, ovs_vif(number)).changed)
    assert found == ["True"] * 16
    assert sorted(plugged(host)) == sorted(ovs_vif(number).id for number in range(16))
    found = in_processes(16, lambda driver, number: driver.unplug(None, ovs_vif(number)).changed)
    assert found == ["True"] * 16
    assert host.differs(host.before) == []


def test_plug_against_unplug_ends_as_one_of_the_two(host: Host) -> None:
    def work(driver: GenericVIFDriver, number: int) -> object:
        call = driver.plug if number % 2 else driver.unplug
        return [call(None, ovs_vif()).changed for _ in range(3)]

    for said in in_processes(4, work):
        assert said.startswith("["), said
    assert plugged(host) in ([], [ovs_vif().id])
    host.works()


def test_a_batch_beside_single_calls(host: Host) -> None:
    """A batch and those who plug its VIFs one by one: everybody succeeds, each is made once."""

    def work(driver: GenericVIFDriver, number: int) -> object:
        if number:
            return [driver.plug(None, ovs_vif(number)).changed]
        results = driver.plug_all([(None, ovs_vif(one)) for one in range(16)])
        return [getattr(result, "changed", result) for result in results]

    found = "".join(in_processes(8, work))
    assert found.count("True") == 16, found
    assert found.count("False") == 7, found
    assert len(plugged(host)) == 16
    host.driver.unplug_all([(None, ovs_vif(number)) for number in range(16)])
    assert host.differs(host.before) == []
