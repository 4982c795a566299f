# SPDX-License-Identifier: Apache-2.0
"""A third party's switch is a first-class citizen: it needs nothing but public names.

What works for the house's own plugins works for the one in ``vifplug_acme``, installed by pip.
"""

from __future__ import annotations

import ast
import re
import subprocess
import textwrap
from pathlib import Path
from typing import Any

import pytest
from oslo_config.fixture import Config

from tests.example_switch.conftest import (
    HERE,
    IDS,
    PACKAGE,
    TRUNK,
    Hosted,
    Installed,
    bridged,
    vif_data,
)
from vifplug import Conflict, GenericVIFDriver, Host, InvalidHost, Result
from vifplug.testing import validate
from vifplug.testing.cases import Case
from vifplug.testing.claims import kept_of
from vifplug.testing.dumps import differences
from vifplug.testing.shell import Shell

PUBLIC = ("errors", "fields", "guest", "model", "operations", "parts", "plugin", "privileged",
          "switch", "wiring")  # fmt: skip
TAP = f"tap{IDS[0][:11]}"
CASES = sorted((HERE / "cases").iterdir())


def sources() -> list[Path]:
    return sorted((HERE / PACKAGE).glob("*.py"))


def imported(path: Path) -> set[str]:
    """Return the modules that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names if node.module == "vifplug" else {str(node.module)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


@pytest.mark.unit
@pytest.mark.parametrize("path", sources(), ids=lambda path: path.name)
def test_the_example_imports_public_names_only(path: Path) -> None:
    import vifplug

    public = {f"vifplug.{name}" for name in (*PUBLIC, *vifplug.__all__)}
    ours = {name for name in imported(path) if name.partition(".")[0] == "vifplug"}
    assert {name for name in ours if ".".join(name.split(".")[:2]) not in public} == set()
    assert not any(part.startswith("_") for name in ours for part in name.split("."))


@pytest.mark.unit
def test_a_plugin_for_a_switch_takes_less_than_220_lines_of_code() -> None:
    """Without blank lines, comments, docstrings and imports."""
    assert sum(lines_of_code(path) for path in sources()) < 220


def lines_of_code(path: Path) -> int:
    text = path.read_text()
    lines = {n for n, line in enumerate(text.splitlines(), 1) if line.strip().strip("#")}
    lines -= {n for n, line in enumerate(text.splitlines(), 1) if line.strip().startswith("#")}
    for node in ast.walk(ast.parse(text)):
        text_alone = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if text_alone or isinstance(node, (ast.Import, ast.ImportFrom)):
            lines -= set(range(node.lineno, (node.end_lineno or 0) + 1))
    return len(lines)


# Planning.


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_planning_case_gives_what_its_folder_says(
    case: Path, acme: Installed, conf: Config
) -> None:
    found = Case(case, acme.plugins)
    assert found.actual() == found.expected()
    driver, host = GenericVIFDriver(), found.host
    assert f"{driver.plan(None, found.vif, host=host)}\n" == found.expected()["plan.txt"]
    xml = driver.get_config(None, found.vif, host=host).to_xml()
    assert f"{xml}\n" == found.expected()["interface.xml"]
    validate(xml)


def test_a_hosts_key_is_the_plugins_to_read(acme: Installed) -> None:
    row = {"vif_id": IDS[0], "segment": "blue"}
    data: Any = {"acme": {"ports": {TAP: row}}}
    host = Host.from_dict(data, snapshots=[acme.snapshot.Acme])
    assert [trace.bridge for trace in host.traces(IDS[0])] == ["blue"]
    with pytest.raises(InvalidHost, match="acme"):
        Host.from_dict(data)
    data["acme"]["ports"][TAP]["segment"] = "not a word"
    with pytest.raises(InvalidHost, match="segment"):
        Host.from_dict(data, snapshots=[acme.snapshot.Acme])


# Plugging.


def test_a_plug_makes_all_and_an_unplug_leaves_nothing(
    driver: GenericVIFDriver, acme: Installed, host: Hosted
) -> None:
    before = host.everything()
    plugged = driver.plug(None, acme.vif())
    assert (plugged.changed, plugged.devices) == (True, (TAP,))
    assert host.ports == {TAP: {"vif_id": IDS[0], "segment": "blue", "vif_type": "acme"}}
    assert host.proxy_arp == "1"
    assert kept_of(TRUNK) == [f"vifplug:{IDS[0]}::uses-acme-trunk.0:acme"]
    assert not driver.check(None, acme.vif())
    assert not driver.plug(None, acme.vif()).changed
    driver.unplug(None, acme.vif())
    assert host.proxy_arp == "0"
    assert differences(before[0], host.namespace.everything()) == []
    assert host.ports == before[1]
    assert not driver.unplug(None, acme.vif()).changed


def test_drift_is_told_and_repaired(
    driver: GenericVIFDriver, acme: Installed, host: Hosted
) -> None:
    driver.plug(None, acme.vif())
    host.ports = {}
    assert [step.part.kind for step in driver.check(None, acme.vif()).steps if step.operations] == [
        "acme-port"
    ]
    assert driver.plug(None, acme.vif()).changed
    assert list(host.ports) == [TAP]
    host.namespace.ip("link", "delete", TAP)
    (tap, trunk, port) = driver.check(None, acme.vif()).steps
    assert (tap.action, trunk.action, port.action) == ("make", "keep", "keep")
    driver.plug(None, acme.vif())
    Path(f"/proc/sys/net/ipv4/conf/{TRUNK}/proxy_arp").write_text("0")
    assert [str(o) for o in driver.check(None, acme.vif()).operations] == [
        f"set {TRUNK} proxy_arp on"
    ]
    driver.plug(None, acme.vif())
    assert host.proxy_arp == "1"
    assert not driver.check(None, acme.vif())


@pytest.mark.parametrize("before", ["0", "1"])
@pytest.mark.parametrize("together", [True, False])
def test_the_last_vif_gives_back_what_the_first_ones_claim_notes(
    together: bool, before: str, driver: GenericVIFDriver, acme: Installed, host: Hosted
) -> None:
    Path(f"/proc/sys/net/ipv4/conf/{TRUNK}/proxy_arp").write_text(before)
    pairs = [(None, acme.vif(number)) for number in range(2)]
    assert all(isinstance(one, Result) for one in driver.plug_all(pairs))
    assert host.proxy_arp == "1"
    if together:
        assert all(isinstance(one, Result) for one in driver.unplug_all(pairs))
    else:
        driver.unplug(*pairs[0])
        assert host.proxy_arp == "1"
        driver.unplug(*pairs[1])
    assert host.proxy_arp == before
    assert kept_of(TRUNK) == []
    assert host.ports == {}


def test_a_port_of_another_vif_is_a_conflict(
    driver: GenericVIFDriver, acme: Installed, host: Hosted
) -> None:
    host.ports = {TAP: {"vif_id": IDS[1], "segment": "blue"}}
    before = host.everything()
    with pytest.raises(Conflict, match=f"is VIF {IDS[1]}'s port"):
        driver.plug(None, acme.vif())
    assert host.everything() == before


# Whose it is.


def test_an_unplug_as_another_vif_type_removes_it_too(
    driver: GenericVIFDriver, acme: Installed, host: Hosted
) -> None:
    before = host.everything()
    driver.plug(None, acme.vif())
    assert driver.unplug(None, bridged(IDS[0])).changed
    assert (host.ports, host.proxy_arp) == ({}, "0")
    assert differences(before[0], host.namespace.everything()) == []


def test_an_unplug_by_id_removes_a_port_that_another_program_made(
    driver: GenericVIFDriver, acme: Installed, host: Hosted
) -> None:
    host.ports = {"tap-x": {"vif_id": IDS[0], "segment": "blue"}}
    (outcome,) = driver.unplug_ids([IDS[0]])
    assert isinstance(outcome, Result) and outcome.changed
    assert host.ports == {}


def test_a_vif_is_in_one_place(driver: GenericVIFDriver, acme: Installed, host: Hosted) -> None:
    driver.plug(None, acme.vif())
    with pytest.raises(Conflict, match=r"already \(vif_type acme\)"):
        driver.plug(None, bridged(IDS[0]))
    with pytest.raises(Conflict, match="is on blue already"):
        driver.plug(None, acme.vif(network={"bridge": "green"}))
    driver.plug(None, acme.vif(network={"bridge": "green"}), move=True)
    assert host.ports[TAP]["segment"] == "green"


def test_a_vif_moves_to_another_plugin_and_back(
    driver: GenericVIFDriver, acme: Installed, host: Hosted
) -> None:
    driver.plug(None, acme.vif())
    driver.plug(None, bridged(IDS[0]), move=True)
    assert (host.ports, host.proxy_arp) == ({}, "0")
    assert not driver.check(None, bridged(IDS[0]))
    driver.plug(None, acme.vif(), move=True)
    assert list(host.ports) == [TAP]
    assert not driver.check(None, acme.vif())


# Its error.


def test_the_switchs_own_error_crosses_the_process_whole(
    driver: GenericVIFDriver, acme: Installed, host: Hosted
) -> None:
    ready = [driver.ready(None, acme.vif())]
    view = driver.look(ready)
    wired = driver.all_wired(ready, view.host)
    rows = host.ports
    host.database.unlink()  # from here on only the daemon looks at it
    (outcome,) = driver.plug_wired(wired, view, driver.deadline(None))
    host.ports = rows
    assert type(outcome) is acme.snapshot.AcmeError
    assert (outcome.vif_id, outcome.endpoint) == (IDS[0], str(host.database))
    assert (outcome.why, outcome.number) == ("No such file or directory", 2)
    assert TAP not in host.links()


# As a person uses it.


@pytest.fixture
def vifplug(acme: Installed, host: Hosted, tmp_path: Path) -> Shell:
    shell = Shell(host.namespace, tmp_path)
    shell.configure("vifplug_acme", database=host.database, trunk=TRUNK)
    shell.environment["PYTHONPATH"] = str(acme.folder)
    return shell


def ended(done: subprocess.CompletedProcess[str], status: int = 0) -> str:
    assert done.returncode == status, done.stderr
    return done.stdout


def test_the_command_plugs_lists_and_unplugs_it_by_file_and_by_id(
    vifplug: Shell, host: Hosted
) -> None:
    before = host.everything()
    file = vifplug.file(vif_data(instance={"name": "instance-00000001"}))
    words = vifplug.json("plugins")
    assert [one["state"] for one in words if one["vif_type"] == "acme"] == ["ok"]
    for by in ([file], ["--id", IDS[0]]):
        ended(vifplug("check", file), 3)
        ended(vifplug("plug", file))
        ended(vifplug("check", file))
        (listed,) = vifplug.json("list")
        assert listed == {"id": IDS[0], "vif_type": "acme", "process": None, "devices": [TAP],
                          "bridge": "blue", "in_use": False, "state": "unattached",
                          "drift": [], "unwired": None, "guest": "instance-00000001",
                          "address": vif_data()["address"], "vlan": None}  # fmt: skip
        assert "unchanged" in ended(vifplug("plug", file))
        assert "changed" in ended(vifplug("unplug", *by))
        assert vifplug.json("list") == []
        assert differences(before[0], host.namespace.everything()) == []
        assert host.ports == before[1]


def test_a_switch_that_is_not_there_is_no_complaint(vifplug: Shell, host: Hosted) -> None:
    host.database.unlink()
    file = vifplug.file(vif_data())
    assert "No such file or directory" in vifplug("plug", file).stderr
    assert vifplug.json("list") == []
    assert "unchanged" in ended(vifplug("unplug", "--id", IDS[0]))


# The author's page.


@pytest.mark.unit
def test_the_authors_page_shows_the_examples_code() -> None:
    page = (HERE.parents[1] / "docs" / "writing-a-plugin.md").read_text()
    blocks = re.findall(r"(?:^ {4}.*\n|^\n(?=(?:\n)*^ {4}))+", page, re.MULTILINE)
    shown = set()
    for block in blocks:
        name, *lines = textwrap.dedent(block).strip("\n").splitlines()
        folder = HERE.parent / "example_onebyone" if "relay" in name else HERE
        source = (folder / name.removeprefix("# ")).read_text()
        for part in re.split(r"^ *\.\.\.$", "\n".join(lines), flags=re.MULTILINE):
            assert part.strip("\n") in source, f"{name} has not:\n{part}"
        shown.add(name.removeprefix(f"# {PACKAGE}/"))
    assert shown >= {path.name for path in sources()} - {"__init__.py"}
