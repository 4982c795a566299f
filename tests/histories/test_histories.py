# SPDX-License-Identifier: Apache-2.0
"""Some histories of a fixed seed; ``make histories`` tells a million, with a new seed each time."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.histories import switch
from tests.histories.acts import history
from tests.histories.kernel import perform
from tests.histories.machine import first_state
from tests.histories.real import real_machine
from tests.histories.replay import replay, without_vlans
from tests.histories.simulate import Report, Simulation
from vifplug.operations import MakeLink, SetLink
from vifplug.parts import BridgePort

SEED = "1"
APART = 101
"""Histories from one that is told to the next: neighbours begin alike."""


def require_nothing_found(report: Report, count: int) -> None:
    print(report.outcomes)
    assert not report.findings, "\n\n".join(report.findings[:5])
    assert report.histories == count
    for call in ("plug done", "unplug done", "move done", "plug killed", "gc done"):
        assert report.outcomes[call] >= count // 50, f"hardly any {call}: {report.outcomes}"


def test_simulated_histories_leave_nothing_and_put_no_guest_on_another_network() -> None:
    require_nothing_found(Simulation(SEED).run(range(2500)), 2500)


@pytest.mark.unit
@pytest.mark.parametrize("number", [45184, 57340, 78376, 139195, 142508])
def test_a_history_that_has_found_something_finds_it_no_more(number: int) -> None:
    assert not Simulation("2026").run((number,)).findings


def test_real_histories_go_as_the_simulated_ones() -> None:
    count, report = 16, Report()
    with real_machine() as machine:
        for number in range(0, count * APART, APART):
            told = history(SEED, number)
            replay(told if machine.has_vlans else without_vlans(told), machine, report)
    assert not report.findings, "\n\n".join(report.findings[:5])
    assert report.histories == count


@pytest.mark.unit
def test_the_same_seed_tells_the_same_histories() -> None:
    assert history("a", 77) == history("a", 77)
    assert history("a", 77) != history("b", 77)
    reports = [Simulation("a").run(range(40)) for _ in range(2)]
    assert reports[0].outcomes == reports[1].outcomes


@pytest.mark.unit
def test_each_history_is_told_alone_as_among_others() -> None:
    among, alone = Simulation("a"), Counter[str]()
    among.run(range(32, 40))
    for number in range(32, 40):
        alone += Simulation("a").run((number,)).outcomes
    ends = ("gc done",)
    assert not among.report.findings
    assert {*among.report.outcomes} - {*ends} <= {*alone}


@pytest.mark.unit
def test_a_port_that_an_unplug_forgets_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switch.parts, "removal", lambda *_: ())
    found = Simulation(SEED).run(range(0, 60 * APART, APART)).findings
    assert any("is unplugged, and left: " in finding for finding in found), found[:3]
    assert all("python -m tests.histories --seed 1 --first" in finding for finding in found)


@pytest.mark.unit
def test_a_tap_on_another_bridge_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that takes any bridge for the one that is asked for, once there is a tap."""

    def joined(part: BridgePort, owner: object, host: object) -> tuple[SetLink, ...]:
        link = host.link(part.device)  # type: ignore[attr-defined]
        if link and link.master:
            return ()
        set_link = SetLink(device=part.device, attribute="master", value="brfree", before=None)
        return (set_link,)

    monkeypatch.setattr(BridgePort, "operations", joined)
    monkeypatch.setattr("vifplug.plan.rights.require", lambda *_: None)
    found = Simulation(SEED).run(range(0, 60 * APART, APART)).findings
    assert any("is on " in finding and "brfree" in finding for finding in found), found[:3]


@pytest.mark.unit
def test_the_simulated_kernel_refuses_as_the_real_one() -> None:
    state = first_state()
    with pytest.raises(OSError, match="File exists"):
        perform(MakeLink(device="eth9", kind="tap", mark="vifplug:x"), state)
    with pytest.raises(OSError, match="No such device"):
        perform(SetLink(device="eth9", attribute="master", value="br-none"), state)
    vlan = MakeLink(device="vlan7", kind="vlan", mark="vifplug:y", lower="eth9", vlan=7)
    perform(vlan, state)
    perform(SetLink(device="eth9", attribute="up", value=False), state)
    with pytest.raises(OSError, match="Network is down"):
        perform(SetLink(device="vlan7", attribute="up", value=True), state)
