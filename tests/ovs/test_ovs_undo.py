# SPDX-License-Identifier: Apache-2.0
"""A plug whose undo fails says so: its port is still in the database."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from oslo_config.fixture import Config

from tests.ovs.vifs import IDS, ovs_vif
from vifplug import GenericVIFDriver, PlugFailed
from vifplug.testing import NetworkNamespace, OpenVSwitch
from vifplug.testing.configured import fork
from vifplug.testing.openvswitch import SERVER
from vifplug_ovs.plugin import OvsPlugin
from vifplug_ovs.vswitchd import OpenSwitch

TAP = f"tap{IDS[0][:11]}"


def test_a_port_that_can_not_be_taken_back_is_named(
    br_int: OpenVSwitch, namespace: NetworkNamespace, conf: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled = OpenSwitch.settled

    def dies(switch: OpenSwitch, *groups: Any, **more: Any) -> Any:
        os.kill(br_int.pid(SERVER), signal.SIGKILL)  # in the daemon, a fork of the test
        return settled(switch, *groups, **more)

    monkeypatch.setattr(OpenSwitch, "settled", dies)
    conf.config(group="vifplug_ovs", process="manual")
    fork(OvsPlugin)
    driver = GenericVIFDriver()
    with pytest.raises(PlugFailed) as failed:
        driver.plug(None, ovs_vif(), timeout=20)
    assert any(TAP in line for line in failed.value.left), failed.value
    assert "; undone" not in str(failed.value)
    monkeypatch.undo()
    br_int.wait(SERVER)
    br_int.start(SERVER)
    assert TAP in {row["name"] for row in br_int.rows("Port")}
    driver.close()
    fork(OvsPlugin)
    driver = GenericVIFDriver()
    assert driver.unplug(None, ovs_vif()).changed
    assert TAP not in {row["name"] for row in br_int.rows("Port")}
    driver.close()
