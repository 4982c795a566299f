# SPDX-License-Identifier: Apache-2.0
"""How often a call asks the kernel: one question names all the devices that it may meet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from oslo_config.fixture import Config

from tests.bridge.vifs import bridge_vif
from vifplug import GenericVIFDriver
from vifplug.kernel.netlink import Netlink

VIF = bridge_vif()


@pytest.fixture
def questions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many messages each question of this process has had so far."""
    asked: list[int] = []
    exchange = Netlink.exchange

    def counted(netlink: Netlink, requests: Sequence[Any]) -> Any:
        asked.append(len(requests))
        return exchange(netlink, requests)

    monkeypatch.setattr(Netlink, "exchange", counted)
    return asked


@pytest.mark.parametrize("create_tap", [False, True])
def test_a_re_plug_asks_for_all_devices_at_once(
    create_tap: bool, conf: Config, driver: GenericVIFDriver, questions: list[int]
) -> None:
    conf.config(group="vifplug_bridge", create_tap=create_tap)
    assert driver.plug(None, VIF).changed
    questions.clear()
    assert not driver.plug(None, VIF).changed
    assert len(questions) == 1, "the bridge, the tap, and all names by which others may have it"
    assert questions[0] > 2
