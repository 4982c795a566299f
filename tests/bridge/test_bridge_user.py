# SPDX-License-Identifier: Apache-2.0
"""An ordinary user plugs: through sudo, and with a service's ambient capability."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import vif
from tests.users import AS_NOBODY, NOBODY, VIFPLUG, WAYS, User, reachable
from vifplug.testing import NetworkNamespace

NET_ADMIN = 1 << 12

# What a user may see of the daemon that was started for it.
LOOK = """
import json, pathlib, sys
from oslo_config import cfg
import vifplug
config, file = sys.argv[1:]
cfg.CONF([], project="vifplug", default_config_files=[config])
driver = vifplug.GenericVIFDriver()
vif = vifplug.VIF.from_dict(json.loads(pathlib.Path(file).read_text()))
driver.plug(None, vif)
for process in pathlib.Path("/proc").glob("[0-9]*"):
    try:
        words = (process / "cmdline").read_bytes().split(b"\\0")
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    except OSError:
        continue
    if config.encode() in words and any(b"privsep-helper" in word for word in words[:2]):
        print(json.dumps({key: value.split() for key, value in status.items()}))
"""


@pytest.fixture(params=WAYS)
def user(request: pytest.FixtureRequest, namespace: NetworkNamespace, tmp_path: Path) -> User:
    helper, how = WAYS[request.param]
    locks = tmp_path / "locks"
    locks.mkdir(mode=0o711)
    if request.param == "ambient":  # a unit's RuntimeDirectory=
        os.chown(locks, NOBODY, NOBODY)
    tmp_path.chmod(0o755)
    conf = tmp_path / "conf"
    conf.write_text(
        f"[vifplug]\nlock_path = {locks}\nlibvirt_version = 9.0.0\nvirt_type = qemu\n"
        f"[vifplug_bridge_privileged]\nhelper_command = {helper} --config-file {conf}\n"
    )
    (tmp_path / "vif.json").write_text(json.dumps(vif()))
    return User(namespace, tmp_path, how)


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
    said = user.run(sys.executable, "-c", LOOK, config, file)
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
