# SPDX-License-Identifier: Apache-2.0
"""A folder that can't be read whole is no wanted state: ``vifplug apply`` touches nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import ID, OTHER, vif
from tests.cli.folders import Folder
from vifplug.testing import NetworkNamespace
from vifplug.testing.dumps import differences
from vifplug.testing.shell import Shell

YAML = f"""\
- id: {ID}
  vif_type: bridge
  network:
    bridge: br100
    should_create_bridge: true
- id: {OTHER}
  vif_type: tap
"""


def gone(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def a_file(folder: Path) -> None:
    gone(folder)
    folder.write_text("[]")


def writes(name: str, text: str | bytes) -> Callable[[Path], Any]:
    data = text if isinstance(text, bytes) else text.encode()
    return lambda folder: (folder / name).write_bytes(data)


SPOILT: dict[str, tuple[Callable[[Path], Any], str]] = {
    "the folder is gone": (gone, "unreadable (No such file or directory); allowed: a folder with"),
    "the folder is a file": (a_file, "unreadable (Not a directory)"),
    "the folder is empty": (lambda f: (f / "all.yaml").unlink(), "is empty; allowed: a folder"),
    "no file has a name that counts": (
        lambda f: (f / "all.yaml").rename(f / "all.yaml.bak"),
        "is empty; allowed: a folder with files named *.json, *.yaml or *.yml, at least one",
    ),
    "an empty file": (writes("all.yaml", ""), "all.yaml is empty; allowed: a whole file"),
    "an empty JSON file": (writes("x.json", " \n"), "x.json is empty; allowed: a whole file"),
    "only a comment": (writes("all.yaml", "# web1\n"), "all.yaml is empty"),
    "half of a JSON file": (
        lambda f: (f / "x.json").write_text(json.dumps([vif(), vif(OTHER)])[:-60]),
        "x.json is broken at line 1",
    ),
    "half of a YAML file that is valid": (
        writes("all.yaml", "\n".join(YAML.splitlines()[:-2])),
        "all.yaml is cut off: its last line has no end",
    ),
    "a YAML file cut off in a word": (writes("all.yaml", YAML[:-10]), "all.yaml is broken at line"),
    "a name twice": (
        writes("all.yaml", YAML.replace("  vif_type: tap", "  vif_type: tap\n  vif_type: bridge")),
        "the name 'vif_type' stands twice, at line 8, column 3",
    ),
    "no text": (writes("all.yaml", b"\xff\xfe\x00"), "all.yaml is not UTF-8 at byte 0"),
    "a bomb of aliases": (
        writes(
            "bomb.yaml",
            "- &b0 [a, a, a, a, a, a, a, a, a, a]\n"
            + "".join(f"- &b{n + 1} [{', '.join([f'*b{n}'] * 10)}]\n" for n in range(9)),
        ),
        "bomb.yaml is more than 1000000 values",
    ),
    "a link that leads nowhere": (
        lambda f: (f / "x.yaml").symlink_to("nowhere"),
        "unreadable (No such file or directory)",
    ),
    "a folder named as a file": (
        lambda f: (f / "x.json").mkdir(),
        "x.json is unreadable (Is a directory",
    ),
    "a FIFO that nobody writes": (lambda f: os.mkfifo(f / "x.json"), "is unreadable (not a file)"),
    "one invalid VIF of another file": (
        writes("x.yaml", "- vif_type: bridge\n  network: {bridge: br/0}\n"),
        "x.yaml[0]: network.bridge is 'br/0'; allowed:",
    ),
    "a field that no VIF has": (
        writes("x.yaml", "vif_type: tap\nmtu: 1500\n"),
        "x.yaml: mtu is 1500; allowed: nothing: there is no such field",
    ),
    "the same VIF in two files": (
        writes("x.json", json.dumps(vif())),
        f"VIF {ID}: id is '{ID}'; allowed: one VIF of an id in the input",
    ),
    "the same name twice in a file": (
        writes("x.yaml", "- {name: a, vif_type: tap}\n- {name: a, vif_type: tap}\n"),
        "one VIF of an id in the input",
    ),
    "a list in a list": (writes("x.yaml", "- []\n"), "x.yaml[0]: it is []; allowed: an object"),
    "a word": (writes("x.yaml", "none\n"), "x.yaml: it is 'none'; allowed: an object"),
}


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folder]:
    """A host that has the VIFs of its folder."""
    with NetworkNamespace() as namespace:
        folder = tmp_path_factory.mktemp("host")
        found = Folder(Shell(namespace, folder), folder / "vifs.d")
        found.write("all.yaml", YAML)
        found.apply()
        yield found


@pytest.mark.parametrize("name", SPOILT)
def test_nothing_is_touched_and_one_line_says_why(name: str, host: Folder, tmp_path: Path) -> None:
    spoil, said = SPOILT[name]
    spoilt = Folder(host.vifplug, tmp_path / "vifs.d")
    spoilt.write("all.yaml", YAML)
    before = host.vifplug.namespace.everything()
    spoil(spoilt.path)
    rows = spoilt.rows("--prune", status=2)
    line = spoilt.said.splitlines()[-1]
    assert line.startswith("error: ") and said in line, line
    assert differences(before, host.vifplug.namespace.everything()) == []
    assert [row["changed"] for row in rows] == [False] * len(rows) != []
    assert said.split("; allowed")[0] in " ".join(str(row["error"]) for row in rows)
    assert all(row["problem"]["class"] == "InvalidVIF" for row in rows if row["error"])


def test_a_folder_that_is_empty_or_cut_off_is_refused_without_prune_too(folder: Folder) -> None:
    for spoil in ("the folder is empty", "half of a YAML file that is valid"):
        folder.write("all.yaml", YAML)
        SPOILT[spoil][0](folder.path)
        assert folder.apply(status=2) == ""
        assert SPOILT[spoil][1] in folder.said
    assert "br100" not in folder.vifplug.namespace.everything()["links"]


def test_every_error_of_a_folder_is_told_at_once(folder: Folder) -> None:
    folder.write("a.yaml", "- {name: eth0, vif_type: bridge}\n- {vif_type: tap, mtu: 1}\n")
    folder.write("b.json", "{")
    folder.apply(status=2)
    first, second, third = sorted(folder.said.splitlines())
    assert "a.yaml[1]: mtu is 1" in first + second
    assert "a.yaml a/eth0: VIF " in first + second and "network.bridge is missing" in first + second
    assert "b.json is broken at line 1" in third


def test_other_names_are_passed_over_and_said(folder: Folder) -> None:
    folder.write("all.yaml", YAML)
    for name in (".all.yaml.swp", "README.md", "all.yaml~", "all.yaml.dpkg-new"):
        folder.write(name, "{")
    printed = folder.apply("--dry-run")
    assert "2 to plug" in printed
    assert folder.said.splitlines() == [
        "warning: all.yaml.dpkg-new is passed over: its name ends in none of .json, .yaml, .yml",
        "warning: all.yaml~ is passed over: its name ends in none of .json, .yaml, .yml",
    ]
