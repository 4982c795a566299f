# SPDX-License-Identifier: Apache-2.0
"""The distributions as users get them: built, installed somewhere clean, used from elsewhere."""

from __future__ import annotations

import ast
import json
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from configparser import ConfigParser
from email.parser import Parser
from pathlib import Path

import pytest

from tests.wheels import NOT_COPIED, ROOT, copied, run

PLUGINS = ("vifplug_bridge", "vifplug_ovs", "vifplug_vepa")
FOLDERS = {"vifplug": ".", **{name: name for name in (*PLUGINS, "vifplug_nova")}}
TYPES = ("802.1qbg", "802.1qbh", "bridge", "hostdev_physical", "hw_veb", "macvtap", "ovs", "tap",
         "vhostuser")  # fmt: skip


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources, so that building leaves nothing in them."""
    return copied(tmp_path_factory.mktemp("clone"))


@pytest.fixture(scope="module")
def built(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist of each distribution; wheels are built from sdists."""
    out = tmp_path_factory.mktemp("dist")
    for folder in FOLDERS.values():
        run(sys.executable, "-P", "-m", "build", "-o", out, tree / folder, cwd=tree)
    return out


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The programs of a clean environment with the wheels in it."""
    venv = tmp_path_factory.mktemp("venv")
    run(sys.executable, "-m", "venv", venv)
    wheels = sorted(built.glob("*.whl"))
    run(venv / "bin/pip", "install", "-q", *wheels, "oslo.config[rst_generator]>=9")
    yield venv / "bin"


def wheel(built: Path, name: str) -> zipfile.ZipFile:
    (path,) = built.glob(f"{name}-[0-9]*.whl")
    return zipfile.ZipFile(path)


def sources(folder: Path) -> set[str]:
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.suffix in (".py", ".j2", ".css", ".js") or path.name in ("py.typed", "50-vifplug")
    }


@pytest.mark.parametrize("name", FOLDERS)
def test_a_wheel_holds_its_package_and_no_other(name: str, built: Path, tree: Path) -> None:
    with wheel(built, name) as found:
        own = (path for path in found.namelist() if ".dist-info/" not in path)
        names = {path for path in own if ".data/" not in path}
    # The one module that Nova's loader looks for has its place below nova/virt.
    files = {f"{name}/{path}" for path in sources(tree / name)}
    assert names == {path.replace("vifplug_nova/nova_virt/", "nova/virt/") for path in files}


@pytest.mark.parametrize("name", FOLDERS)
def test_an_sdist_has_what_the_wheel_is_built_from(name: str, built: Path) -> None:
    (path,) = built.glob(f"{name}-[0-9]*.tar.gz")
    with tarfile.open(path) as archive:
        names = {member.partition("/")[2] for member in archive.getnames()}
    assert {"setup.cfg", "pyproject.toml", "README.md"} <= names
    if name == "vifplug":
        assert "LICENSE" in names
        assert not any(member.startswith(("tests", "vifplug_")) for member in names)


def test_versions_agree_and_plugins_want_this_core(built: Path) -> None:
    for name in FOLDERS:
        with wheel(built, name) as found:
            (path,) = (n for n in found.namelist() if n.endswith(".dist-info/METADATA"))
            metadata = Parser().parsestr(found.read(path).decode())
        assert (metadata["Version"], metadata["License"]) == ("0.1.0", "Apache-2.0")
        if name != "vifplug":
            assert "vifplug==0.1.0" in metadata.get_all("Requires-Dist", [])


def test_the_wheels_entry_points_all_load(installed: Path, built: Path) -> None:
    targets = []
    for name in FOLDERS:
        with wheel(built, name) as found:
            for path in found.namelist():
                if path.endswith("entry_points.txt"):
                    parser = ConfigParser()
                    parser.read_string(found.read(path).decode())
                    # What os-vif loads is loaded where there is one, by tests/nova.
                    groups = [parser[group] for group in parser if group != "os_vif"]
                    targets += [group[key] for group in groups for key in group]
    assert "vifplug.cli:main" in targets and "vifplug_bridge.plugin:BridgePlugin" in targets
    loads = "; ".join(
        f"from {target.partition(':')[0]} import {target.partition(':')[2]}" for target in targets
    )
    run(installed / "python", "-P", "-c", loads, cwd=Path("/"))


def test_the_wheels_work_from_another_folder(installed: Path, tmp_path: Path) -> None:
    plugins = json.loads(run(installed / "vifplug", "plugins", "-f", "json", cwd=tmp_path))
    assert {p["vif_type"]: p["state"] for p in plugins} == dict.fromkeys(TYPES, "ok")
    case = ROOT / "tests/bridge/cases/libvirt-makes-the-tap"
    told = ("--libvirt-version", "9.0.0", "--virt-type", "kvm", "--no-firewall")
    xml = run(installed / "vifplug", "xml", *told, case / "vif.json", cwd=tmp_path)
    assert xml == (case / "interface.xml").read_text()
    assert "60 octets, arrived" in run(installed / "vifplug", "demo", cwd=tmp_path)


def test_the_units_lie_where_systemd_looks_below_the_prefix(installed: Path) -> None:
    for unit in (ROOT / "systemd").iterdir():
        assert (installed.parent / "lib/systemd/system" / unit.name).read_text() == unit.read_text()


def test_the_sample_generator_lists_every_option(installed: Path, tmp_path: Path) -> None:
    packages = ("vifplug", "vifplug_nova", *PLUGINS)
    words = [word for package in packages for word in ("--namespace", package)]
    sample = run(installed / "oslo-config-generator", *words, cwd=tmp_path)
    for module in (ROOT / package / "opts.py" for package in packages):
        tree = ast.parse(module.read_text())
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        names = [
            call.args[0].value
            for call in calls
            if ast.unparse(call.func).startswith("cfg.") and isinstance(call.args[0], ast.Constant)
        ]
        assert names
        for name in names:
            assert f"#{name} = " in sample
    for package in PLUGINS:
        assert f"[{package}_privileged]" in sample
    assert sample.count("#helper_command = ") == len(PLUGINS)


def test_a_clone_installs_as_readme_says_and_is_a_template_for_others(
    tree: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    acme = tmp_path / "vifplug_acme"
    shutil.copytree(tree / "vifplug_bridge", acme, ignore=NOT_COPIED)
    for path in (p for p in acme.iterdir() if p.suffix in (".py", ".cfg")):
        text = path.read_text().replace("vifplug_bridge", "vifplug_acme")
        text = text.replace("\n    bridge =", "\n    acme-bridge =")
        text = text.replace("\n    tap =", "\n    acme-tap =")
        path.write_text(text)
    venv = tmp_path_factory.mktemp("clone-venv")
    run(sys.executable, "-m", "venv", venv)
    run(venv / "bin/pip", "install", "-q", ".", "./vifplug_bridge", "./vifplug_ovs", acme, cwd=tree)
    plugins = json.loads(run(venv / "bin/vifplug", "plugins", "-f", "json", cwd=tmp_path))
    assert {plugin["error"] for plugin in plugins} == {None}
    assert {plugin["vif_type"]: plugin["state"] for plugin in plugins} == {
        "acme-bridge": "ok",
        "acme-tap": "ok",
        "bridge": "ok",
        "ovs": "ok",
        "tap": "ok",
        "vhostuser": "ok",
    }


def test_importing_vifplug_loads_nothing_but_itself(installed: Path) -> None:
    code = "import sys, vifplug; print(*sorted(sys.modules))"
    modules = run(installed / "python", "-P", "-c", code).split()
    assert [module for module in modules if module.startswith("vifplug")] == ["vifplug"]
    installed_ones = {"oslo_privsep", "oslo_config", "lxml", "stevedore", "cliff", "rich"}
    assert not installed_ones & {module.partition(".")[0] for module in modules}
