# SPDX-License-Identifier: Apache-2.0
"""The important part of the suite on Debian 13, and the table of such runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stacks import roots, table
from tests.stacks.families import FAMILIES, IMPORTANT, of_family
from tests.stacks.runs import STACKS, Run, run

TRIXIE = STACKS["trixie"]


def test_the_important_part_passes_on_debian_13_with_its_own_libraries() -> None:
    ran = run(TRIXIE, ["-q", *IMPORTANT], timeout=1500)
    print(ran.versions)
    assert ran.status == 0, ran.output[-20000:]
    for family in FAMILIES:
        ended = of_family(family, ran.outcomes)
        assert ended, f"{family.name}: no test ran"
        assert set(ended) == {"passed"}, f"{family.name}: {ended}"


@pytest.mark.unit
def test_a_failure_and_a_type_that_did_not_run_are_seen_in_the_table() -> None:
    first, second, *_ = FAMILIES
    outcomes = {f"{first.tests[0]}[None]": "passed", f"{first.tests[0]}[2]": "failure"}
    outcomes[f"{first.tests[0]}_of_another_name"] = "failure"
    text = table.text([Run(TRIXIE, outcomes, {"libvirt": "11.3.0"}, "", 1)])
    assert "| libvirt | 11.3.0 |" in text
    assert f"| {first.name} | {first.shows} | **1 of 2** |" in text
    assert f"| {second.name} | {second.shows} | not run |" in text


@pytest.mark.unit
def test_the_documents_table_has_each_type_on_each_stack_and_no_failure() -> None:
    lines = table.FILE.read_text().partition(table.BEGIN)[2].partition(table.END)[0].splitlines()
    for family in FAMILIES:
        (line,) = [line for line in lines if line.startswith(f"| {family.name} | ")]
        _, _, shows, *ended, _ = (cell.strip() for cell in line.split("|"))
        assert shows == family.shows, "python -m tests.stacks --table writes the table anew"
        assert all(one.isdecimal() for one in ended), line


def test_a_suite_that_no_mirror_has_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIFPLUG_STACKS_CACHE", str(tmp_path))
    with pytest.raises(roots.NoRoot, match="Debian nonesuch of "):
        roots.root("nonesuch")
    assert not list(tmp_path.glob("*.whole"))
