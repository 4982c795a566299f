# SPDX-License-Identifier: Apache-2.0
"""An ordinary user plugs: through sudo, and with a service's ambient capability."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import vif
from tests.users import AS_NOBODY, LOOK, VIFPLUG, WAYS, User, reachable, user_of
from vifplug.testing import NetworkNamespace

NET_ADMIN = 1 << 12


@pytest.fixture(params=WAYS)
def user(request: pytest.FixtureRequest, namespace: NetworkNamespace, tmp_path: Path) -> User:
    return user_of("vifplug_bridge", request.param, namespace, tmp_path, vif())


def test_a_user_plugs_checks_lists_and_unplugs(user: User) -> None:
    file = str(user.folder / "vif.json")
    assert "make    bridge" in user.vifplug("plan", file)
    assert "changed" in user.vifplug("plug", file)
    assert "unchanged" in user.vifplug("plug", file)
    assert "as asked" in user.vifplug("check", file)
    (listed,) = json.loads(user.vifplug("list", "-f", "json"))
    assert listed["bridge"] == "br100"
    assert "changed" in user.vifplug("unplug", file)
    assert json.loads(user.vifplug("list", "-f", "json")) == []


def test_the_daemon_has_the_documented_capability_and_no_other(user: User) -> None:
    file, config = str(user.folder / "vif.json"), str(user.folder / "conf")
    said = user.run(sys.executable, "-c", LOOK, config, file).stdout
    daemons = [json.loads(line) for line in said.splitlines()]
    assert daemons
    for status in daemons:
        for kind in ("CapEff", "CapPrm"):
            assert int(status[kind][0], 16) == NET_ADMIN


def test_a_user_without_a_way_to_privilege_is_told_so(user: User) -> None:
    config = user.folder / "conf"
    config.write_text(
        config.read_text().replace("helper_command = ", "helper_command = sudo -n -k ")
    )
    done = user.host.run(
        "unshare", "--mount", "--propagation", "private", "bash", "-ec",
        f"{reachable(user.folder)}\n{AS_NOBODY} {VIFPLUG} "
        f"--config-file {config} plug {user.folder}/vif.json",
        check=False,
    )  # fmt: skip
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "can't be started: sudo" in line
    assert "docs/security.md" in line
