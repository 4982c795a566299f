# SPDX-License-Identifier: Apache-2.0
"""Checks 9 to 12: VIFs plugged for real, in a network namespace, by the plugin's daemon."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from oslo_config import cfg

from vifplug import VIF, InvalidVIF, Result
from vifplug.errors import VifplugError
from vifplug.fields import dump
from vifplug.testing.cases import Case, moves_as_planned
from vifplug.testing.conformance.checks import check
from vifplug.testing.conformance.given import Given, Stage, kernel_devices, steady
from vifplug.testing.dumps import differences, lasting
from vifplug.testing.faults.scene import SETTLES_WITHIN, Scene
from vifplug.testing.shell import COMMAND

__all__ = ["PlugTests", "another"]

AT_ONCE = 8
"""Processes that plug one VIF at once."""


def another(vif: VIF, number: int) -> VIF:
    """Return a VIF like another, with an id and an address of its own."""
    vif_id = f"{number:08x}-{number:04x}-4c0f-8a11-c0f0{number:08x}"
    address = f"fa:16:3e:c0:f0:{number:02x}"
    return dataclasses.replace(vif, id=vif_id, address=address, devname=None, interface_id=None)


def ids(scene: Scene) -> set[str]:
    """Return the ids of the VIFs that a host has plugged."""
    return {each.id for each in scene.driver.list()}


class PlugTests(Given):
    """Checks 9 to 12."""

    # 9

    @check(9)
    def test_a_case_plugs_as_planned_and_unplugs_without_a_trace(
        self, real_case: Case, stage: Stage
    ) -> None:
        case, at = real_case, stage(real_case)
        driver, vif, expected = at.driver, real_case.vif, real_case.expected()
        others = ids(at) - {vif.id}

        assert f"{driver.plan(None, vif)}\n" == expected["plan.txt"]
        assert driver.plug(None, vif).changed == bool(case.plan())
        assert not driver.check(None, vif)
        assert f"{driver.get_config(None, vif).to_xml()}\n" == expected["interface.xml"]
        if case.wiring.parts:
            listed = {each.id: each.vif_type for each in driver.list()}
            assert listed.keys() == {vif.id, *others}
            assert listed[vif.id] == vif.vif_type

        plugged = at.everything()
        assert not driver.plug(None, vif).changed
        assert lasting(plugged, at.everything, SETTLES_WITHIN) == []

        assert driver.unplug(None, vif).changed == bool(case.wiring.parts)
        at.leaves_nothing()
        assert vif.id[:11] not in str(at.everything())
        assert ids(at) == others
        assert not driver.unplug(None, vif).changed

    @check(9)
    def test_a_plug_and_an_unplug_leave_the_host_as_it_was(
        self, chosen_case: Case, stage: Stage
    ) -> None:
        at, vif = stage(chosen_case), chosen_case.vif
        steady(at, chosen_case)
        at.driver.plug(None, vif)
        at.driver.unplug(None, vif)
        at.as_before()

    @check(9)
    def test_a_case_that_is_elsewhere_moves_as_planned(
        self, moving_case: Case, stage: Stage
    ) -> None:
        at = stage(moving_case)
        moves_as_planned(moving_case, at.driver)
        assert moving_case.vif.id[:11] not in str(at.everything())

    # 10

    @check(10)
    def test_an_unplug_by_id_alone_leaves_nothing(self, chosen_case: Case, stage: Stage) -> None:
        at = stage(chosen_case)
        at.driver.plug(None, chosen_case.vif)
        (outcome,) = at.driver.unplug_ids([chosen_case.vif.id])
        assert isinstance(outcome, Result) and outcome.changed, outcome
        at.leaves_nothing()
        (outcome,) = at.driver.unplug_ids([chosen_case.vif.id])
        assert isinstance(outcome, Result) and not outcome.changed, outcome

    @check(10)
    def test_a_vif_of_a_batch_that_fails_hurts_no_other(
        self, chosen_case: Case, stage: Stage
    ) -> None:
        at, vif = stage(chosen_case), chosen_case.vif
        bad = dataclasses.replace(another(vif, 9), details={**vif.details, "of_nobody": 1})
        vifs = [vif, bad, *(another(vif, number) for number in (1, 2))]
        planned = at.driver.plan_all([(None, each) for each in vifs])
        outcomes = at.driver.plug_all([(None, each) for each in vifs])
        assert isinstance(outcomes[0], Result), outcomes[0]
        assert isinstance(outcomes[1], InvalidVIF)
        for plan, outcome in zip(planned, outcomes, strict=True):
            # A VIF like another may need what there is once: then planning has said so.
            assert isinstance(plan, VifplugError) == isinstance(outcome, VifplugError), outcome
        well = [each for each, o in zip(vifs, outcomes, strict=True) if isinstance(o, Result)]
        assert ids(at) >= {each.id for each in well}
        assert all(not at.driver.check(None, each) for each in well)
        outcomes = at.driver.unplug_all([(None, each) for each in well])
        assert all(isinstance(outcome, Result) for outcome in outcomes), outcomes
        at.leaves_nothing()
        assert not ids(at) & {each.id for each in vifs}

    @check(10)
    def test_several_processes_at_once(
        self, chosen_case: Case, stage: Stage, tmp_path: Path
    ) -> None:
        at, vif = stage(chosen_case), chosen_case.vif
        file, config = tmp_path / "vif.json", tmp_path / "at-once.conf"
        file.write_text(json.dumps(dump(vif)))
        config.write_text(self.configuration())
        for done in at_once(config, ["plug"] * AT_ONCE, file):
            assert done.returncode == 0, done.stderr
        assert not at.driver.check(None, vif)
        for done in at_once(config, ["plug", "unplug"] * (AT_ONCE // 2), file):
            assert done.returncode in (0, 1), done.stderr
            assert "Traceback" not in done.stderr and "this is a bug" not in done.stderr
        at.driver.unplug(None, vif)
        at.leaves_nothing()

    def configuration(self) -> str:
        """Return the configuration file of another process, with the options of this one."""
        plain, text = (bool, int, float, str), ""
        for group in ("vifplug", self.plugin.group):
            values = {} if not group or group not in cfg.CONF else dict(cfg.CONF[group])
            text += f"[{group}]\n" if values else ""
            text += "".join(f"{key} = {value}\n" for key, value in values.items()
                            if isinstance(value, plain))  # fmt: skip
        return text

    # 11

    @check(11)
    def test_drift_is_seen_and_mended(self, chosen_case: Case, drift: str, stage: Stage) -> None:
        at, vif = stage(chosen_case), chosen_case.vif
        at.driver.plug(None, vif)
        assert not at.driver.check(None, vif)
        ({**self.own_drifts(), **self.drifts}[drift])(at, vif)
        assert at.driver.check(None, vif), "check does not see it"
        assert at.driver.plug(None, vif).changed
        assert not at.driver.check(None, vif)
        at.driver.unplug(None, vif)
        at.leaves_nothing()

    @check(11)
    def test_a_device_of_another_kind_is_left_alone(self, owning_case: Case, stage: Stage) -> None:
        at, vif = stage(owning_case), owning_case.vif
        for name in kernel_devices(owning_case):
            at.ip("link", "add", name, "type", "ifb")
            before = at.everything()
            with pytest.raises(VifplugError) as error:
                at.driver.plug(None, vif)
            assert name in str(error.value)
            assert differences(before, at.everything()) == []
            at.ip("link", "delete", name)

    # 12

    @check(12)
    @pytest.mark.parametrize("by", ["vif", "id"])
    def test_after_a_reboot_an_unplug_leaves_nothing(
        self, owning_case: Case, by: str, stage: Stage
    ) -> None:
        at, vif = stage(owning_case), owning_case.vif
        steady(at, owning_case)
        at.driver.plug(None, vif)
        for name in reversed(at.devices(vif)):
            if name in {link["ifname"] for link in at.host.ip_json("link")}:
                at.ip("link", "delete", name)
        unplug(at, vif, by)
        at.leaves_nothing()
        if at.switch:
            assert lasting(at.before["switch"], at.switch.state, SETTLES_WITHIN) == []


def unplug(at: Scene, vif: VIF, by: str) -> None:
    """Unplug a VIF, by itself or by its id alone."""
    if by == "vif":
        at.driver.unplug(None, vif)
        return
    (outcome,) = at.driver.unplug_ids([vif.id])
    assert isinstance(outcome, Result), outcome


def at_once(
    config: Path, calls: Sequence[str], file: Path
) -> list[subprocess.CompletedProcess[str]]:
    """Run the command several times at once, and return how each ended."""
    environment = {"PATH": "/usr/sbin:/usr/bin", "LC_ALL": "C.UTF-8"}
    environment |= {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
    processes = [
        subprocess.Popen(
            (COMMAND, "--config-file", str(config), call, str(file)),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        )
        for call in calls
    ]  # fmt: skip
    found = []
    for process in processes:
        out, error = process.communicate(timeout=300)
        found.append(subprocess.CompletedProcess(process.args, process.returncode, out, error))
    return found
