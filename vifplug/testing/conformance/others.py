# SPDX-License-Identifier: Apache-2.0
"""Checks 13 and 15 to 18: a switch that is away, other users, other plugins, other options."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg
from oslo_config.fixture import Config

from vifplug import VIF, GenericVIFDriver, Result
from vifplug.errors import VifplugError
from vifplug.testing.cases import Case
from vifplug.testing.configured import fork
from vifplug.testing.conformance.checks import check
from vifplug.testing.conformance.given import Given, Stage, steady
from vifplug.testing.conformance.plugs import another, ids
from vifplug.testing.dumps import differences, lasting
from vifplug.testing.faults.scene import SETTLES_WITHIN, Scene

__all__ = ["OtherTests", "SwitchTests"]

NOBODY = 65534
SHORT = 2.0
"""Seconds that a call gets whose switch answers nothing."""

HANGS = 60.0
"""Seconds after which such a call counts as one that never ends."""


def outcome(at: Scene, call: str, *, timeout: float | None = None) -> VifplugError | None:
    """Plug or unplug the VIF; return the error, if it was one."""
    try:
        at.call(call, timeout=timeout)
    except VifplugError as error:
        return error
    return None


class SwitchTests(Given):
    """Check 13."""

    @check(13)
    def test_a_switch_that_is_stopped_is_an_error_each_time(
        self, switch_case: Case, stage: Stage
    ) -> None:
        at = stage(switch_case)
        if not (at.switch.stop and at.switch.start):
            pytest.skip("host() does not say how to stop and start the switch")
        steady(at, switch_case)
        kernel = at.host.everything()
        at.switch.stop()
        assert outcome(at, "plug", timeout=SHORT)
        assert lasting(kernel, at.host.everything, SETTLES_WITHIN) == []
        at.switch.start()
        at.driver.plug(None, at.vif)
        at.switch.stop()
        for _ in range(2):
            assert outcome(at, "unplug", timeout=SHORT), "a switch is down, and all is said done"
        _, errors = at.driver.listing(timeout=SHORT)
        assert errors, "a switch is down, and the list is said to be whole"
        at.switch.start()
        at.driver.unplug(None, at.vif)
        at.leaves_nothing()
        assert lasting(at.before["switch"], at.switch.state, SETTLES_WITHIN) == []

    @check(13)
    def test_a_switch_that_hangs_is_an_error_in_time(self, switch_case: Case, stage: Stage) -> None:
        at = stage(switch_case)
        if not (at.switch.pause and at.switch.resume):
            pytest.skip("host() does not say how to pause and resume the switch")
        steady(at, switch_case)
        at.switch.pause()
        try:
            begun = time.monotonic()
            assert outcome(at, "plug", timeout=SHORT)
            _, errors = at.driver.listing(timeout=SHORT)
            assert errors, "a switch hangs, and the list is said to be whole"
            assert time.monotonic() - begun < HANGS
        finally:
            at.switch.resume()
        assert lasting(at.before, at.everything, 4 * SETTLES_WITHIN) == [], "done late"
        at.works()


class OtherTests(Given):
    """Checks 15 to 18."""

    # 15

    @pytest.fixture
    def readable(self, conf: Config) -> Iterator[Path]:
        """A folder for the claims that every user may enter."""
        with tempfile.TemporaryDirectory(prefix="vifplug-") as folder:
            Path(folder).chmod(0o711)
            conf.config(group="vifplug", lock_path=f"{folder}/locks")
            yield Path(folder)

    @check(15)
    def test_an_ordinary_user_plans_checks_and_lists(
        self, chosen_case: Case, readable: Path, stage: Stage
    ) -> None:
        at = stage(chosen_case)
        for _ in range(2):
            assert as_nobody(at) == seen_by(at)
            at.driver.plug(None, at.vif)
        at.driver.unplug(None, at.vif)

    @check(15)
    def test_a_request_with_another_vifs_device_is_refused(
        self, owning_case: Case, stage: Stage
    ) -> None:
        at, victim = stage(owning_case), owning_case.vif
        at.driver.plug(None, victim)
        before = at.everything()
        thief = another(victim, 7)
        ready = at.driver.ready(None, thief)
        view = at.driver.look([ready])
        try:
            wired = at.driver.wire(ready, view.host)
        except VifplugError:
            return  # there can be no other VIF like it on this host
        names = dict(zip(wired.wiring.devices, owning_case.wiring.devices, strict=False))
        forged = tuple(
            dataclasses.replace(part, **{key: names[value] for key, value in vars(part).items()
                                         if isinstance(value, str) and value in names})
            for part in wired.wiring.parts
        )  # fmt: skip
        wiring = dataclasses.replace(wired.wiring, parts=forged)
        (found,) = at.driver.plug_wired(
            [dataclasses.replace(wired, wiring=wiring)], view, at.driver.deadline(None)
        )
        assert isinstance(found, VifplugError), "another VIF's device was taken"
        assert differences(before, at.everything()) == []

    # 16

    @check(16)
    def test_a_vif_of_another_plugin_is_served_beside_it(
        self, chosen_case: Case, neighbour: VIF, stage: Stage
    ) -> None:
        at = stage(chosen_case)
        other = self.plugins[neighbour.vif_type]
        fork(other)
        try:
            steady(at, chosen_case)
            at.driver.plug(None, neighbour)
            before = at.everything()
            assert ids(at) >= {neighbour.id}
            at.driver.plug(None, at.vif)
            assert ids(at) >= {neighbour.id, at.vif.id}
            assert not at.driver.check(None, neighbour)
            at.driver.unplug(None, at.vif)
            assert lasting(before["links"].keys(), lambda: at.everything()["links"].keys()) == []
            assert not at.driver.check(None, neighbour)
            at.driver.plug(None, at.vif)
            (found,) = at.driver.unplug_ids([neighbour.id])
            assert isinstance(found, Result) and found.changed
            assert not at.driver.check(None, at.vif)
            at.driver.unplug(None, at.vif)
            at.leaves_nothing()
            assert neighbour.id not in str(at.everything())
        finally:
            at.driver.close()

    # 17

    @check(17)
    def test_an_option_may_change_while_a_vif_is_plugged(
        self, chosen_case: Case, boolean: str, conf: Config, stage: Stage
    ) -> None:
        at, group = stage(chosen_case), self.plugin.group
        at.driver.plug(None, at.vif)
        conf.config(group=group, **{boolean: not cfg.CONF[group][boolean]})
        at.with_another_daemon()
        at.driver = GenericVIFDriver()
        at.driver.check(None, at.vif)
        at.driver.unplug(None, at.vif)
        at.leaves_nothing()

    # 18

    @check(18)
    def test_what_a_guest_sends_arrives(self, reached_case: Case, stage: Stage) -> None:
        at = stage(reached_case)
        at.driver.plug(None, at.vif)
        self.reaches(at, at.vif)  # which may have changed the host for that
        at.driver.unplug(None, at.vif)
        assert at.vif.id not in ids(at)


def seen_by(at: Scene) -> tuple[Any, ...]:
    """Return what a user sees of the VIF: its plan, the drift, the list."""
    driver = at.driver  # which has loaded the plugins, also where nobody may not read them
    plan, check = str(driver.plan(None, at.vif)), str(driver.check(None, at.vif))
    return plan, check, [(each.id, each.vif_type, each.bridge) for each in driver.list()]


def as_nobody(at: Scene) -> tuple[Any, ...]:
    """Return what the user nobody sees. Whatever code that loads is loaded already."""
    seen_by(at)
    mine, its = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=_told, args=(at, its))
    child.start()
    its.close()
    found: tuple[Any, ...] = mine.recv() if mine.poll(HANGS) else ("no answer",)
    child.join()
    return found


def _told(at: Scene, pipe: Connection) -> None:
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    try:
        pipe.send(seen_by(at))
    except Exception as error:
        pipe.send((f"{type(error).__name__}: {error}",))
