# SPDX-License-Identifier: Apache-2.0
"""ovsdb-server and ovs-vswitchd hung, killed and restarted in the middle of plug and unplug."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from tests.ovs.conftest import WAYS, Host
from tests.ovs.vifs import ovs_vif
from tests.processes import HANGS
from vifplug import DeadlineExceeded, OVSDBError, PlugFailed, VifplugError
from vifplug.testing.configured import fork
from vifplug.testing.dumps import differences
from vifplug.testing.openvswitch import SERVER, SWITCH
from vifplug_ovs.plugin import OvsPlugin

SHORT = 0.8
"""Seconds that a call gets which can't succeed."""

AUTOMATIC = "automatic"
in_transactions = pytest.mark.parametrize(
    "host", [way for way in WAYS if way != AUTOMATIC], indirect=True
)
"""An automatic VIF needs no transaction where its bridge is there."""


def during_the_commit(monkeypatch: pytest.MonkeyPatch, act: Callable[[str], None]) -> None:
    """Have something happen in the daemon just before and just after a transaction is sent."""
    from vifplug_ovs.ovsdb.connection import Connection

    send = Connection.send
    sent: list[str] = []

    def sends(connection: Connection, method: str, *params: list[Any], deadline: float) -> int:
        writes = method == "transact" and any(
            isinstance(o, dict) and o["op"] not in ("select", "wait") for o in params[0]
        )
        first = writes and not sent
        if first:
            sent.append(method)
            act("before")
        number = send(connection, method, *params, deadline=deadline)
        if first:
            act("after")
        return number

    monkeypatch.setattr(Connection, "send", sends)
    fork(OvsPlugin)


def test_a_server_that_hangs_before_the_call(host: Host) -> None:
    host.ovs.pause(SERVER)
    start = time.monotonic()
    with pytest.raises((OVSDBError, DeadlineExceeded), match=r"OVSDB at"):
        host.driver.plug(None, ovs_vif(), timeout=SHORT)
    assert time.monotonic() - start < HANGS
    host.ovs.resume(SERVER)
    host.is_free()
    assert host.differs(host.before) == []
    host.works()


@in_transactions
def test_a_server_that_hangs_with_a_transaction_unread(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    during_the_commit(monkeypatch, lambda when: when == "before" and host.ovs.pause(SERVER))
    with pytest.raises(DeadlineExceeded) as error:
        host.driver.plug(None, ovs_vif(), timeout=SHORT)
    assert error.value.outcome == "unknown"
    # Another call neither sees what is half done nor waits longer than it may.
    with pytest.raises(VifplugError):
        host.driver.plug(None, ovs_vif(), timeout=SHORT)
    host.ovs.resume(SERVER)
    host.is_free()
    assert host.differs(host.before) == [], "what it committed late is undone"
    host.works()


@in_transactions
def test_a_caller_that_ends_leaves_the_undo_to_its_daemon(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    during_the_commit(monkeypatch, lambda when: when == "before" and host.ovs.pause(SERVER))
    with pytest.raises(DeadlineExceeded):
        host.driver.plug(None, ovs_vif(), timeout=SHORT)
    threading.Thread(target=lambda: (time.sleep(0.5), host.ovs.resume(SERVER))).start()
    host.driver.close()
    host.is_free()
    monkeypatch.undo()
    assert host.differs(host.before) == []
    host.works()


def test_an_unplug_from_a_server_that_hangs_is_no_success(host: Host) -> None:
    host.driver.plug(None, ovs_vif())
    host.ovs.pause(SERVER)
    with pytest.raises(VifplugError) as error:
        host.driver.unplug(None, ovs_vif(), timeout=SHORT)
    assert ovs_vif().id in str(error.value)
    host.ovs.resume(SERVER)
    host.is_free()
    host.driver.unplug(None, ovs_vif())
    assert host.differs(host.before) == []
    host.works()


@in_transactions
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("call", ["plug", "unplug"])
def test_a_server_killed_and_restarted_around_a_transaction(
    host: Host, call: str, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = host.ovs.pid(SERVER)

    def kill(now: str) -> None:
        if now == when:
            if when == "after":
                time.sleep(0.05)  # it has read the transaction, and answered
            os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)

    if call == "unplug":
        host.driver.plug(None, ovs_vif())
    during_the_commit(monkeypatch, kill)

    def calls() -> None:
        with suppress(VifplugError):
            getattr(host.driver, call)(None, ovs_vif(), timeout=10)

    caller = threading.Thread(target=calls)
    caller.start()
    host.ovs.wait(SERVER)
    time.sleep(0.3)
    host.ovs.start(SERVER)
    caller.join()
    host.is_free()
    host.works()


def test_a_server_that_is_gone_is_said_and_waited_for_a_little(host: Host) -> None:
    host.ovs.kill(SERVER)
    with pytest.raises(OVSDBError, match="is Open vSwitch running"):
        host.driver.plug(None, ovs_vif(), timeout=SHORT)
    host.ovs.start(SERVER)
    host.works()


def test_an_unplug_without_a_server_says_what_is_left(host: Host) -> None:
    host.driver.plug(None, ovs_vif())
    host.ovs.kill(SERVER)
    with pytest.raises(VifplugError, match="OVSDB at"):
        host.driver.unplug(None, ovs_vif(), timeout=SHORT)
    host.ovs.start(SERVER)
    host.driver.unplug(None, ovs_vif())
    assert host.differs(host.before) == []


@in_transactions
@pytest.mark.parametrize("how", ["hangs", "is gone"])
def test_a_switch_that_does_not_acknowledge_a_plug(host: Host, how: str) -> None:
    (host.ovs.pause if how == "hangs" else host.ovs.kill)(SWITCH)
    with pytest.raises((DeadlineExceeded, PlugFailed), match="vswitchd's acknowledgement"):
        host.driver.plug(None, ovs_vif(), timeout=SHORT)
    (host.ovs.resume if how == "hangs" else host.ovs.start)(SWITCH)
    host.is_free()
    host.ovs.vsctl("show")
    assert host.differs(host.before) == []
    host.works()


@pytest.mark.parametrize("host", [AUTOMATIC], indirect=True)
def test_a_port_that_libvirt_will_make_needs_no_switch_that_goes_on(host: Host) -> None:
    host.ovs.pause(SWITCH)
    assert host.driver.plug(None, ovs_vif(), timeout=SHORT).changed
    assert not host.driver.check(None, ovs_vif())
    assert host.driver.unplug(None, ovs_vif(), timeout=SHORT).changed
    host.ovs.resume(SWITCH)
    assert host.differs(host.before) == []


@pytest.mark.parametrize("host", [AUTOMATIC], indirect=True)
def test_a_bridge_that_was_made_late_goes_with_its_claim(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = ovs_vif(bridge="br-new", should_create_bridge=True)
    during_the_commit(monkeypatch, lambda when: when == "before" and host.ovs.pause(SERVER))
    with pytest.raises(DeadlineExceeded) as error:
        host.driver.plug(None, new, timeout=SHORT)
    assert error.value.outcome == "unknown"
    host.ovs.resume(SERVER)
    host.is_free()
    assert host.differs(host.before) == []
    assert host.driver.plug(None, new).changed
    assert not host.driver.check(None, new)
    assert host.driver.unplug(None, new).changed
    assert host.driver.list() == []


def test_an_unplug_needs_no_switch_that_goes_on(host: Host) -> None:
    host.driver.plug(None, ovs_vif())
    host.ovs.pause(SWITCH)
    assert host.driver.unplug(None, ovs_vif(), timeout=SHORT).changed
    left = differences(host.before[1], host.ovs.everything())
    # A bridge's own device is vswitchd's to take away.
    assert (left if host.own_bridge else host.differs(host.before)) == []
    host.ovs.resume(SWITCH)
    assert host.differs(host.before) == []
    host.works()


@in_transactions
def test_a_batch_on_a_hung_server_is_undone_whole(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    during_the_commit(monkeypatch, lambda when: when == "before" and host.ovs.pause(SERVER))
    vifs = [(None, ovs_vif(number)) for number in range(12)]
    found = host.driver.plug_all(vifs, timeout=SHORT)
    assert all(isinstance(one, DeadlineExceeded) for one in found)
    host.ovs.resume(SERVER)
    host.is_free()
    assert host.differs(host.before) == []
    found = host.driver.plug_all(vifs)
    assert [getattr(one, "changed", one) for one in found] == [True] * 12
    host.driver.unplug_all(vifs)
    assert host.differs(host.before) == []
