# SPDX-License-Identifier: Apache-2.0
"""``vifplug watch`` with the example switch: a third party's takes part by the public contract."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.watching import watching
from tests.example_switch.conftest import IDS, TRUNK, Hosted, Installed, vif_data
from vifplug.testing.shell import Shell


def replaced(host: Hosted, ports: dict[str, object]) -> None:
    """Put a new database in the place of the old one, as the switch does."""
    new = host.database.with_suffix(".new")
    new.write_text(json.dumps({"ports": ports}))
    new.replace(host.database)


def shell_of(installed: Installed, host: Hosted, folder: Path) -> Shell:
    """Return the command with a distribution installed."""
    shell = Shell(host.namespace, folder)
    shell.configure(installed.package, database=host.database, trunk=TRUNK)
    shell.environment["PYTHONPATH"] = str(installed.folder)
    return shell


@pytest.fixture
def vifplug(acme: Installed, host: Hosted, tmp_path: Path) -> Shell:
    return shell_of(acme, host, tmp_path)


@pytest.fixture
def file(vifplug: Shell, host: Hosted) -> str:
    name = vifplug.file(vif_data())
    done = vifplug("plug", name)
    assert done.returncode == 0, done.stderr
    return name


def test_a_port_that_another_program_removes_is_mended(
    vifplug: Shell, host: Hosted, file: str
) -> None:
    ports = host.ports
    assert ports
    with watching(vifplug, "--repair", file) as watch:
        replaced(host, {})
        assert "port" in " ".join(watch.event_of("mended", IDS[0])["drift"])
        assert host.ports == ports
        assert vifplug("check", file).returncode == 0


def test_a_switch_that_is_gone_is_watched_anew(vifplug: Shell, host: Hosted, file: str) -> None:
    ports = host.ports
    with watching(vifplug, "--repair", file) as watch:
        broken = host.database.with_suffix(".new")
        broken.write_text("{")
        broken.replace(host.database)
        watch.complains("the switch acme can't be watched until it is there again")
        replaced(host, {})
        assert watch.event_of("mended", IDS[0])
        assert host.ports == ports
        replaced(host, {})
        assert watch.event_of("mended", IDS[0])
        assert watch.end() == 0


def test_a_plugin_without_a_watch_is_named(
    variant: Callable[..., Installed], host: Hosted, tmp_path: Path
) -> None:
    installed = variant("mute", snapshot={"def watch(": "def not_watched("})
    vifplug = shell_of(installed, host, tmp_path)
    file = vifplug.file({**vif_data(), "vif_type": "mute"})
    with watching(vifplug, file) as watch:
        watch.complains("the switch mute does not tell of its changes")
        assert watch.event()["event"] == "drift"
        assert watch.end() == 0
