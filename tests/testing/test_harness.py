# SPDX-License-Identifier: Apache-2.0
"""The harness for plugins, as the tests of somebody else's project use it."""

from __future__ import annotations

import ast
import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from _pytest.assertion.rewrite import AssertionRewritingHook

import vifplug.testing
from vifplug import PluginFailed
from vifplug.testing.cases import Plugins, cases_in

pytestmark = pytest.mark.unit

CASES = Path(__file__).parents[1] / "bridge/cases"
HARNESS = Path(vifplug.testing.__file__).parent
PROJECT = {
    "conftest.py": """
pytest_plugins = ["vifplug.testing.faults.report"]
""",
    "test_cases.py": """
from pathlib import Path
import pytest
from vifplug.testing.cases import cases_in
from vifplug.testing.faults.points import point

@pytest.mark.parametrize("case", cases_in(Path("cases")), ids=lambda case: case.name)
def test_a_case(case):
    with point("plug", "refused"):
        assert case.actual() == case.expected()
""",
}


def python(*words: object, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-P", *(str(word) for word in words)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with two cases, one of which says what is not so."""
    for name, text in PROJECT.items():
        (tmp_path / name).write_text(text)
    for name in ("tap-made-beforehand", "no-bridge-named"):
        shutil.copytree(CASES / name, tmp_path / "cases" / name)
    (tmp_path / "cases/tap-made-beforehand/plan.txt").write_text("nothing to do\n")
    return tmp_path


@pytest.mark.parametrize("processes", [(), ("-n", "2")], ids=["one process", "two processes"])
def test_a_project_sees_what_is_wrong_and_what_was_tried(
    project: Path, processes: tuple[str, ...]
) -> None:
    said = python("-m", "pytest", "-p", "no:cacheprovider", *processes, cwd=project)
    assert "1 failed, 1 passed" in said
    assert "nothing to do" in said  # a failed assert shows its values
    assert "| plug | refused | 2 | 1 |" in said


def test_the_results_of_cases_are_written_anew(project: Path) -> None:
    assert python("-m", "vifplug.testing.cases", "cases", cwd=project) == ""
    found = sorted(path for path in (project / "cases").rglob("*") if path.is_file())
    assert len(found) > 5
    for path in found:
        assert path.read_text() == (CASES / path.relative_to(project / "cases")).read_text()


def test_a_plugin_that_can_not_be_used_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = tmp_path / "vifplug_gone-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: vifplug_gone\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[vifplug.plugins]\ngone = vifplug_gone.plugin:No\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(PluginFailed, match=r"'gone' \(vifplug_gone 1.0\) .* 'vifplug_gone'"):
        cases_in(CASES)
    assert cases_in(CASES, Plugins({}))


def test_the_fixtures_alone_need_neither_pytest_nor_the_driver() -> None:
    code = "import sys, vifplug.testing; print([*sys.modules])"
    loaded = ast.literal_eval(python("-c", code, cwd=Path("/")))
    assert "vifplug.testing.namespace" in loaded
    assert not {"pytest", "vifplug.driver", "vifplug.testing.cases"} & {*loaded}


def test_a_failed_assert_of_the_harness_shows_its_values() -> None:
    within = [HARNESS / "cases.py", HARNESS / "shell.py", *(HARNESS / "faults").glob("[!_]*.py")]
    for path in within:
        names = path.relative_to(HARNESS).with_suffix("").parts
        module = importlib.import_module(".".join(("vifplug.testing", *names)))
        assert isinstance(module.__loader__, AssertionRewritingHook), module
