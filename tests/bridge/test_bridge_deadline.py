# SPDX-License-Identifier: Apache-2.0
"""A deadline that passes while the daemon plans: it frees the locks, and nothing has changed."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Iterator
from typing import Any

import pytest

from tests.bridge.requests import BRIDGE, CLAIM, errors, request, vif
from tests.bridge.vifs import bridge_vif
from tests.daemons import ask, plan_slowly
from vifplug import GenericVIFDriver
from vifplug.daemon.request import MOST_PARTS
from vifplug.parts.claim import Claim
from vifplug.testing import NetworkNamespace
from vifplug.testing.claims import every_claim
from vifplug.testing.configured import fork
from vifplug.testing.dumps import differences
from vifplug_bridge import privileged
from vifplug_bridge.plugin import BridgePlugin


def test_planning_ends_at_the_deadline_and_frees_the_locks(
    namespace: NetworkNamespace, driver: GenericVIFDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.plug(None, bridge_vif(2))
    before, claims = namespace.everything(), every_claim()
    begun = multiprocessing.Event()
    plan_slowly(monkeypatch, Claim, 0.25, begun)
    fork(BridgePlugin)
    monkeypatch.undo()
    said: multiprocessing.Queue[bool] = multiprocessing.Queue()

    def waits() -> None:
        begun.wait(30)
        said.put(GenericVIFDriver().plug(None, bridge_vif(1), timeout=60).changed)

    with _running(waits):
        parts = [BRIDGE, *[CLAIM] * (MOST_PARTS - 1)]
        replies = ask(privileged.plug, request(vif(0, *parts), timeout=1))
        assert errors(replies) == ["DeadlineExceeded"]
        assert "the comparison with the host" in replies[0]["error"]["text"]
        assert said.get(timeout=60)
    driver.unplug(None, bridge_vif(1))
    assert differences(before, namespace.everything()) == differences(claims, every_claim()) == []


def test_vifs_past_the_deadline_are_not_begun(
    namespace: NetworkNamespace, driver: GenericVIFDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan_slowly(monkeypatch, Claim, 0.6)
    fork(BridgePlugin)
    driver.plug(None, bridge_vif(2))
    before, claims = namespace.everything(), every_claim()
    # Nothing is to be done for the first, so nothing but the time is wrong with it.
    vifs = [vif(number, BRIDGE | {"mtu": 1450}, CLAIM) for number in (2, 0, 1)]
    replies = ask(privileged.plug, request(*vifs, timeout=0.5))
    assert errors(replies) == ["DeadlineExceeded"] * 3
    steps = [reply["error"]["args"][1] for reply in replies]
    assert steps == ["the comparison with the host", "the first step", "the first step"]
    assert differences(before, namespace.everything()) == differences(claims, every_claim()) == []


@contextlib.contextmanager
def _running(work: Any) -> Iterator[None]:
    process = multiprocessing.Process(target=work)
    process.start()
    try:
        yield
    finally:
        process.join(60)
        process.kill()
        process.join()
