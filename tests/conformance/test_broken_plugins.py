# SPDX-License-Identifier: Apache-2.0
"""Plugins that are wrong in one place each: the suite fails the check that is about that."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.conformance.conftest import PACKAGE, Made, run
from vifplug.testing.shell import COMMAND

QUICK = "not any_step and not several_processes and not drift and not reboot"


def failures(found: dict[int, dict[str, object]]) -> dict[int, str]:
    """Return the checks that failed, each with what was said."""
    return {number: str(row["failed"]) for number, row in found.items() if row["failed"]}


def test_a_part_that_is_never_satisfied(switched: Made, tmp_path: Path) -> None:
    never = {"parts.py": {"        if row == wanted:\n            return ()\n": ""}}
    # Every plug fails, so one stands for all.
    words = "its_own_plan or plugs_as_planned"
    status, found = switched.changed(tmp_path / "never", never).conformance("-k", words)
    wrong = failures(found)
    assert (status, wrong.keys()) == (1, {5, 9})
    assert "test_after_its_own_plan_nothing_is_left_to_do" in wrong[5]
    assert "test_a_case_plugs_as_planned" in wrong[9]


def test_an_undo_that_does_not_take_back(switched: Made, tmp_path: Path) -> None:
    keeps = "return RemovePort(device=self.device, row=self.row)"
    undo = {"parts.py": {keeps: "return AddPort(device=self.device, row=self.row)"}}
    broken = switched.changed(tmp_path / "undo", undo)
    status, found = broken.conformance("-k", "test_a_fault_at_any_step or plugs_as_planned")
    assert (status, found[9]["result"]) == (1, "passed")
    wrong = failures(found)
    assert wrong.keys() == {14}
    assert "faulty_plugs" in wrong[14]
    assert "/switch/" in wrong[14], "the port that is left is shown"


def test_a_wire_that_reads_a_file(plain: Made, tmp_path: Path) -> None:
    reads = {"plugin.py": {"        made = attach": (
        '        with open("/dev/null") as file:\n'
        "            file.read()\n"
        "        made = attach"
    )}}  # fmt: skip
    status, found = plain.changed(tmp_path / "reads", reads).conformance("-k", QUICK)
    wrong = failures(found)
    assert (status, wrong.keys()) == (1, {3})
    assert "test_wire_only_computes" in wrong[3]
    assert "open" in wrong[3]
    assert "/dev/null" in wrong[3]


def test_a_port_that_an_unplug_forgets(switched: Made, tmp_path: Path) -> None:
    forgets = {"parts.py": {"if row.vif_id == vif_id)": "if row.vif_id == name)"}}
    broken = switched.changed(tmp_path / "forgets", forgets)
    words = "its_own_plan or plugs_as_planned or by_id or reboot or stopped"
    status, found = broken.conformance("-k", words)
    assert (status, failures(found).keys()) == (1, {9, 10, 12, 13})


# What can't be tested at all.


def test_what_is_no_plugin_is_refused_in_one_sentence(plain: Made, tmp_path: Path) -> None:
    bare = plain.changed(tmp_path / "bare", {})
    shutil.rmtree(bare.folder / PACKAGE / "cases")
    ill = plain.changed(tmp_path / "ill", {"plugin.py": {"GROUP =": "raise KeyError(1)\nGROUP ="}})
    empty = tmp_path / "empty"
    empty.mkdir()
    bad = tmp_path / "bad"
    shutil.copytree(plain.folder / PACKAGE / "cases", bad)
    (bad / "plugged-anew" / "vif.json").write_text("{")
    for path, words, status, said in (
        (plain.folder, ("vifplug_zip",), 2, "is installed; with plugins: "),
        (plain.folder, ("pytest",), 2, "has no vif_type (vifplug.plugins)"),
        (plain.folder, (PACKAGE, "--cases", str(empty)), 2, "no planning case of vif_type zap"),
        (plain.folder, (PACKAGE, "--cases", "/no/such"), 2, "/no/such: it is no folder"),
        (plain.folder, (PACKAGE, "--cases", str(bad)), 2, "plugged-anew/vif.json is no JSON"),
        (plain.folder, (PACKAGE, "-k", "nothing_like_it"), 2, "selects no test"),
        (bare.folder, (PACKAGE,), 2, "it ships no folder of planning cases; see --cases"),
        (ill.folder, (PACKAGE,), 1, "vif_type zap of vifplug_zap 0.1.0 can't be used: KeyError: 1"),
    ):
        done = run(COMMAND, "conformance", *words, path=path)
        assert done.returncode == status, done.stderr
        assert done.stdout == ""
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1, done.stderr
