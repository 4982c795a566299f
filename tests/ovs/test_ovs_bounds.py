# SPDX-License-Identifier: Apache-2.0
"""What a caller may ask of the daemon of a switch, which changes several VIFs together."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.daemons import ask, plan_slowly
from tests.malformed import fail_alone
from tests.ovs.vifs import IDS, ovs_vif
from vifplug import GenericVIFDriver
from vifplug.kernel.namespace import network_namespace
from vifplug.testing import OpenVSwitch
from vifplug.testing.claims import every_claim
from vifplug.testing.configured import fork
from vifplug.testing.dumps import differences
from vifplug_ovs import privileged
from vifplug_ovs.parts import Claim
from vifplug_ovs.plugin import OvsPlugin


def request(*vifs: Any, timeout: float = 30) -> dict[str, Any]:
    """Return a request for some VIFs."""
    deadline = time.monotonic() + timeout
    return {"namespace": network_namespace(), "deadline": deadline, "vifs": [*vifs]}


def vif(vif_id: str, *parts: Any) -> dict[str, Any]:
    """Return a VIF of a request."""
    return {"vif_id": vif_id, "vif_type": "ovs", "process": "automatic", "parts": [*parts]}


def claim(vif_id: str) -> dict[str, Any]:
    """Return a VIF of a request that claims br-int."""
    bridge = {"kind": "ovs-bridge", "name": "br-int"}
    return vif(vif_id, bridge, {"kind": "ovs-claim", "on": "br-int", "interface_id": vif_id})


def test_a_malformed_vif_fails_alone(
    br_int: OpenVSwitch, driver: GenericVIFDriver, caplog: pytest.LogCaptureFixture
) -> None:
    before = br_int.everything()
    privileged.context.ready(time.monotonic() + 10)
    fail_alone(privileged, privileged.context.channel.pid, caplog)  # type: ignore[union-attr]
    assert differences(before, br_int.everything()) == []
    assert every_claim() == {}


def test_a_bridge_that_no_unplug_would_find_is_refused(
    br_int: OpenVSwitch, driver: GenericVIFDriver
) -> None:
    before = br_int.everything()
    bridge = {"kind": "ovs-bridge", "name": "br-x", "create": True, "datapath_type": "netdev"}
    bad, good = ask(privileged.plug, request(vif(IDS[0], bridge), claim(IDS[1])))
    assert "br-x has no claim or port of this VIF" in bad["error"]["text"]
    assert "error" not in good
    driver.unplug(None, ovs_vif(1))
    assert differences(before, br_int.everything()) == []


def test_planning_for_a_switch_ends_at_the_deadline(
    br_int: OpenVSwitch, driver: GenericVIFDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = br_int.everything()
    plan_slowly(monkeypatch, Claim, 0.25)
    fork(OvsPlugin)
    replies = ask(privileged.plug, request(*map(claim, IDS[:32]), timeout=1))
    assert {reply["error"]["class"] for reply in replies} == {"vifplug.errors:DeadlineExceeded"}
    assert differences(before, br_int.everything()) == []
    assert every_claim() == {}


def test_more_vifs_than_are_changed_together(br_int: OpenVSwitch, driver: GenericVIFDriver) -> None:
    before = br_int.everything()
    ids = [f"{number:08x}{IDS[0][8:]}" for number in range(600)]
    replies = ask(privileged.plug, request(*map(claim, ids), timeout=60))
    assert [reply.get("changed") for reply in replies] == [True] * len(ids)
    assert {one.id for one in driver.list()} == set(ids)
    replies = ask(privileged.unplug, request(*[{"vif_id": each} for each in ids], timeout=60))
    assert [reply.get("changed") for reply in replies] == [True] * len(ids)
    assert driver.list() == []
    assert differences(before, br_int.everything()) == []
