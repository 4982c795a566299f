# SPDX-License-Identifier: Apache-2.0
"""A plugin that is uninstalled, two that claim one vif_type, and one for another contract."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.example_onebyone.conftest import IDS, PACKAGE, TAP, Relayd, vif, vif_data
from vifplug.testing import NetworkNamespace
from vifplug.testing.configured import configured, forked
from vifplug.testing.dumps import differences
from vifplug.testing.shell import Shell
from vifplug_bridge.plugin import BridgePlugin


@pytest.fixture
def vifplug(
    distribution: Path, relayd: Relayd, namespace: NetworkNamespace, tmp_path: Path
) -> Shell:
    """The command, where the example is installed."""
    shell = Shell(namespace, tmp_path)
    shell.configure(PACKAGE, socket=relayd.socket)
    shell.environment["PYTHONPATH"] = str(distribution)
    return shell


def ended(done: subprocess.CompletedProcess[str], status: int = 0) -> str:
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


def test_the_devices_of_a_plugin_that_is_gone_can_be_unplugged(
    vifplug: Shell, namespace: NetworkNamespace, relayd: Relayd
) -> None:
    before = namespace.everything()
    file = vifplug.file(vif_data())
    ended(vifplug("plug", file))
    installed = vifplug.environment.pop("PYTHONPATH")
    (listed,) = vifplug.json("list")
    assert (listed["vif_type"], listed["devices"]) == ("relay", [TAP])
    printed = ended(vifplug("unplug", "--id", IDS[0]))
    assert "unchanged" not in printed and TAP in printed
    assert "the plugin for vif_type relay is not installed: its switch, if it has one, " in printed
    assert differences(before, namespace.everything()) == []
    assert vifplug.json("list") == []
    assert "unchanged" in ended(vifplug("unplug", "--id", IDS[0]))
    # Once it is back, it finds what its switch has kept.
    assert list(relayd.ports) == [TAP]
    vifplug.environment["PYTHONPATH"] = installed
    assert "unchanged" not in ended(vifplug("unplug", "--id", IDS[0]))
    assert relayd.ports == {}


def test_a_caller_that_knows_the_vif_may_unplug_it_too(
    vifplug: Shell, namespace: NetworkNamespace, tmp_path: Path
) -> None:
    before = namespace.everything()
    ended(vifplug("plug", vifplug.file(vif_data())))
    with configured(tmp_path, BridgePlugin), forked(BridgePlugin) as driver:
        assert driver.unplug(None, vif()).changed
        assert differences(before, namespace.everything()) == []
        assert not driver.unplug(None, vif()).changed
    ended(vifplug("unplug", "--id", IDS[0]))


@pytest.fixture
def rival(distribution: Path, vifplug: Shell, tmp_path: Path) -> None:
    """Install another distribution, vifplug_rival, that claims vif_type relay too."""
    folder = tmp_path / "rival"
    shutil.copytree(distribution / PACKAGE, folder / "vifplug_rival")
    (metadata,) = distribution.glob("*.dist-info")
    shutil.copytree(metadata, folder / "vifplug_rival-2.0.dist-info")
    files = (*(folder / "vifplug_rival").glob("*.py"), *folder.glob("*.dist-info/*"))
    for path in files:
        text = path.read_text().replace("vifplug_relay", "vifplug_rival")
        path.write_text(text.replace("Version: 1.0", "Version: 2.0"))
    vifplug.environment["PYTHONPATH"] += f":{folder}"


def test_which_of_two_plugins_has_a_vif_type_can_be_said(
    rival: None, vifplug: Shell, relayd: Relayd
) -> None:
    file = vifplug.file(vif_data())
    words = ended(vifplug("plug", file), 1)
    assert "claimed by 2: " in words and "have one in [vifplug] claims = relay:NAME" in words
    mends = {
        check["plugin"]: check["mend"]
        for check in vifplug_json(vifplug, "doctor")
        if check["check"] == "vif_type relay"
    }
    assert mends == {
        name: f"uninstall it, or have it: [vifplug] claims = relay:{name}"
        for name in (PACKAGE, "vifplug_rival")
    }
    for pinned, package, other in (
        ("vifplug-relay", PACKAGE, "vifplug_rival"),
        ("vifplug_rival", "vifplug_rival", PACKAGE),
    ):
        vifplug.configure("vifplug", claims=f"relay:{pinned}")
        vifplug.configure(package, socket=relayd.socket)
        states = {
            one["distribution"]: one["state"]
            for one in vifplug.json("plugins")
            if one["vif_type"] == "relay"
        }
        assert states == {package: "ok", other: "set aside"}
        assert TAP in ended(vifplug("plug", file))
        assert [*relayd.ports] == [TAP]
        assert [one["id"] for one in vifplug.json("list")] == [IDS[0]]
        ended(vifplug("unplug", "--id", IDS[0]))
        assert relayd.ports == {}
        checks = [one for one in vifplug_json(vifplug, "doctor") if one["plugin"] == other]
        assert [check["ok"] for check in checks] == [True]


def vifplug_json(vifplug: Shell, command: str) -> list[dict[str, str]]:
    """Return what a command prints, also where it exits with 1."""
    import json

    found: list[dict[str, str]] = json.loads(vifplug(command, "-f", "json").stdout)
    return found


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ("relay:nobody", "[vifplug] claims gives relay to nobody, which does not claim it"),
        ("bridge:nobody", "[vifplug] claims gives bridge to nobody, which does not claim it"),
    ],
)
def test_a_name_that_claims_nothing_is_refused(claims: str, words: str, vifplug: Shell) -> None:
    vifplug.configure("vifplug", claims=claims)
    vif_type = claims.partition(":")[0]
    file = vifplug.file(vif_data(vif_type=vif_type))
    assert words in ended(vifplug("plug", file), 1)


def test_claims_that_are_no_pairs_are_refused(vifplug: Shell) -> None:
    vifplug.configure("vifplug", claims="vifplug_relay")
    assert "claims" in ended(vifplug("plug", vifplug.file(vif_data())), 2)
    vifplug.configure("vifplug", claims="")
    ended(vifplug("plug", vifplug.file(vif_data())))
    ended(vifplug("unplug", "--id", IDS[0]))


@pytest.mark.parametrize(("version", "way"), [(0, "older"), (2, "newer")])
def test_a_plugin_for_another_contract_is_refused(
    version: int, way: str, vifplug: Shell, distribution: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "old"
    shutil.copytree(distribution, folder)
    path = folder / PACKAGE / "plugin.py"
    text = path.read_text()
    path.write_text(text.replace("    api_version = 1\n", f"    api_version = {version}\n"))
    vifplug.environment["PYTHONPATH"] = str(folder)
    words = ended(vifplug("plug", vifplug.file(vif_data())), 1)
    assert f"made for api_version {version}, which is {way} than 1, this vifplug's" in words
    (check,) = [c for c in vifplug_json(vifplug, "doctor") if c["plugin"] == PACKAGE]
    assert not check["ok"] and "that goes with" in check["mend"]
