# SPDX-License-Identifier: Apache-2.0
"""``vifplug new-plugin``, and docs/tutorial.md word for word, as a stranger has them.

vifplug's wheels are installed in a clean environment, outside the tree, and used from there.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.wheels import ROOT, copied, ended, run

SECURITY = ROOT / "docs/security.md"
OURS = ("vifplug_bridge", "vifplug_ovs", "vifplug_vepa")


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheels of vifplug and its plugins."""
    tree, out = copied(tmp_path_factory.mktemp("clone")), tmp_path_factory.mktemp("wheels")
    for folder in (".", *OURS):
        words = ("-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", out)
        run(sys.executable, *words, tree / folder, cwd=tree)
    return out


@pytest.fixture(scope="module")
def programs(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a clean environment with all of our wheels in it."""
    venv = tmp_path_factory.mktemp("clean") / "venv"
    run(sys.executable, "-m", "venv", venv)
    (core,) = wheels.glob("vifplug-*.whl")
    own = [each for each in wheels.glob("*.whl") if each != core]
    extras = f"{core}[testing,new-plugin]"
    run(venv / "bin/pip", "install", "-q", extras, *own, "setuptools>=77")
    return venv / "bin"


@pytest.mark.parametrize("switch", [(), ("--switch",)], ids=["plain", "switch"])
def test_a_new_plugin_passes_its_own_conformance(
    switch: tuple[str, ...], programs: Path, tmp_path: Path
) -> None:
    package = f"vifplug_new{len(switch)}"
    made = tmp_path / "made"
    run(programs / "vifplug", "new-plugin", package, made, *switch, cwd=tmp_path)
    words = ("wheel", "-q", "--no-deps", "--no-build-isolation", "-w", tmp_path)
    run(programs / "pip", *words, made)
    (wheel,) = tmp_path.glob("*.whl")
    run(programs / "pip", "install", "-q", wheel)
    try:
        plugins = run(programs / "vifplug", "plugins", cwd=tmp_path)
        states = {line.split()[0]: line.split()[1] for line in plugins.splitlines()}
        assert states[f"new{len(switch)}"] == "ok"
        assert set(states.values()) == {"ok"}, "it installs beside all others"
        table = run(programs / "vifplug", "conformance", package, cwd=tmp_path)
        assert f"vif_type new{len(switch)}: 15 passed, 0 failed, 3 skipped" in table or (
            switch and f"vif_type new{len(switch)}: 16 passed, 0 failed, 2 skipped" in table
        ), table
        # Its own tests are the same ones: some are enough to see that pytest finds them.
        quick = ("-q", "-p", "no:cacheprovider", "-k", "without_a_trace or folder_says")
        assert "3 passed" in run(programs / "pytest", *quick, "tests", cwd=made)
    finally:
        run(programs / "pip", "uninstall", "-q", "-y", package)


def test_the_readme_has_the_lines_of_our_own_documents(programs: Path, tmp_path: Path) -> None:
    run(programs / "vifplug", "new-plugin", "vifplug_new", tmp_path / "made")
    readme, document = (tmp_path / "made/README.md").read_text(), SECURITY.read_text()
    lines = [line for line in readme.splitlines() if line.startswith("    ") and "pip" not in line]
    ours = [line.replace("vifplug_new", "vifplug_bridge") for line in lines]
    shared = [line for line in ours if "conformance" not in line and "vifplug plugins" not in line]
    shared = [line for line in shared if "pytest" not in line]
    assert len(shared) > 10
    assert [line for line in shared if line not in document.splitlines()] == []


REFUSED = {
    "no name of a package": (("vifplug-acme", "new"), "NAME 'vifplug-acme' is no name of a pack"),
    "upper case": (("Acme", "new"), "NAME 'Acme' is no name of a package"),
    "a word of Python's": (("class", "new"), "NAME 'class' is no name of a package"),
    "a module of Python's": (("json", "new"), "NAME json is taken"),
    "a package that is there": (("vifplug_bridge", "new"), "NAME vifplug_bridge is taken"),
    "a type that is there": (
        ("vifplug_acme", "new", "--type", "ovs"),
        "vif_type ovs is taken",
    ),
    "an alias": (("vifplug_acme", "new", "--type", "80211.qbh"), "vif_type 80211.qbh is taken"),
    "no word": (("vifplug_acme", "new", "--type", "a b"), "vif_type 'a b' is not allowed"),
    "a switch that is there": (
        ("ovs", "new", "--type", "mine", "--switch"),
        "NAME ovs is taken: the switch of vifplug_ovs 0.1.0 has the key ovs",
    ),
    "a folder that has something": (("vifplug_acme", "full"), "DIR full is there, and is not em"),
    "a file": (("vifplug_acme", "file"), "DIR file is there, and is no folder"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_can_not_be_made_is_refused_in_one_sentence(
    what: str, programs: Path, tmp_path: Path
) -> None:
    words, said = REFUSED[what]
    (tmp_path / "full").mkdir()
    (tmp_path / "full/note").touch()
    (tmp_path / "file").touch()
    done = ended(programs / "vifplug", "new-plugin", *words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"full", "file"}


@pytest.mark.parametrize(
    ("command", "module", "extra"),
    [("new-plugin", "jinja2", "new-plugin"), ("conformance", "pytest", "testing")],
)
def test_what_is_not_installed_is_named(
    command: str, module: str, extra: str, programs: Path, tmp_path: Path
) -> None:
    hidden = f"import sys; sys.modules[{module!r}] = None; from vifplug.cli import main; main()"
    words = ("vifplug_acme", "new") if command == "new-plugin" else ("vifplug_bridge",)
    # find_spec() raises ValueError for a module that is None, so its finder is what is hidden.
    hidden = (
        "import sys\n"
        "class Hidden:\n"
        "    def find_spec(name, path=None, target=None):\n"
        f"        if name == {module!r}: raise ModuleNotFoundError(name)\n"
        "import importlib.util\n"
        "found = importlib.util.find_spec\n"
        f"importlib.util.find_spec = lambda name: None if name == {module!r} else found(name)\n"
        "from vifplug.cli import main\n"
        "sys.exit(main())\n"
    )
    done = ended(programs / "python", "-c", hidden, command, *words, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    mend = f"vifplug: {command} needs {module}: pip install 'vifplug[{extra}]'\n"
    assert (done.stdout, done.stderr) == ("", mend)


# The tutorial.


FILE = re.compile(r"# ([\w./-]+\.(?:py|json))")
CLONE = "$ export VIFPLUG=/path/to/the/clone"


@dataclass(frozen=True)
class Block:
    """A block of the tutorial: a file, or commands with words of what they print."""

    lines: tuple[str, ...]

    @property
    def file(self) -> str | None:
        """The path of the file that this is, or None."""
        found = FILE.fullmatch(self.lines[0])
        return found[1] if found else None


def blocks(text: str) -> Iterator[Block]:
    """Yield the blocks of a page."""
    for found in re.findall(r"(?:^ {4}.*\n|^\n(?=(?:\n)*^ {4}))+", text, re.MULTILINE):
        lines: list[str] = []
        # Only blank lines are between a file, the next file, and the commands that use them.
        for line in textwrap.dedent(found).strip("\n").splitlines():
            begins = FILE.fullmatch(line) or (line.startswith("$ ") and lines[-1:] == [""])
            if lines and begins:
                yield Block(tuple(lines))
                lines = []
            lines.append(line)
        yield Block(tuple(lines))


def test_the_tutorial_leads_to_a_plugin_that_passes(
    wheels: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    links = f"{wheels} {os.environ.get('PIP_FIND_LINKS', '')}"
    environment = {name: os.environ[name] for name in os.environ if name.startswith("PIP_")} | {
        "PATH": f"{sys.base_prefix}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C.UTF-8",
        "HOME": str(tmp_path),
        "PIP_FIND_LINKS": links.strip(),
        "VIFPLUG": str(copied(tmp_path_factory.mktemp("clone"))),
    }
    number = 0
    for block in blocks((ROOT / "docs/tutorial.md").read_text()):
        if block.file:
            path = tmp_path / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(block.lines[1:]).rstrip("\n") + "\n")
            continue
        printed = ""
        for line in block.lines:
            if line == CLONE:
                continue  # it is in the environment already, under this name
            if line.startswith("$ "):
                done = subprocess.run(
                    ("sh", "-c", line[2:]), cwd=tmp_path, env=environment, text=True, check=False,
                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                )  # fmt: skip
                printed = done.stdout
                assert done.returncode == 0, f"{line}: {printed}"
                number += 1
            else:
                assert line.strip() in printed, f"{line!r} is not in:\n{printed}"
    assert number > 20
