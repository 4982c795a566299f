# SPDX-License-Identifier: Apache-2.0
"""An ordinary user plugs on Open vSwitch, whose database is root's to read."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.cli.conftest import ID
from tests.cli.test_cli_ovs import ovs_vif
from tests.faults.dumps import differences
from tests.users import NOBODY, WAYS, User
from vifplug.testing import NetworkNamespace, OpenVSwitch
from vifplug.testing.namespace import CommandFailed


@pytest.fixture(params=WAYS)
def user(
    request: pytest.FixtureRequest,
    namespace: NetworkNamespace,
    br_int: OpenVSwitch,
    tmp_path: Path,
) -> User:
    """Somebody who may plug by one of two ways, but may not look at the database."""
    helper, how = WAYS[request.param]
    locks = tmp_path / "locks"
    locks.mkdir(mode=0o711)
    if request.param == "ambient":  # a unit's RuntimeDirectory=
        os.chown(locks, NOBODY, NOBODY)
    tmp_path.chmod(0o755)
    br_int.rundir.chmod(0o755)  # /run/openvswitch is open, the socket in it is not
    conf = tmp_path / "conf"
    conf.write_text(
        f"[vifplug]\nlock_path = {locks}\nlibvirt_version = 9.0.0\nvirt_type = qemu\n"
        f"[vifplug_ovs]\novsdb_connection = {br_int.endpoint}\n"
        f"[vifplug_ovs_privileged]\nhelper_command = {helper} --config-file {conf}\n"
    )
    asked = ovs_vif(details={"ovs_hybrid_plug": True})
    (tmp_path / "vif.json").write_text(json.dumps(asked))
    return User(namespace, tmp_path, how)


def test_a_member_of_the_sockets_group_plugs_and_unplugs(user: User, br_int: OpenVSwitch) -> None:
    os.chown(br_int.socket, 0, NOBODY)
    br_int.socket.chmod(0o770)
    before = user.host.everything(), br_int.everything()
    file = str(user.folder / "vif.json")
    assert "hybrid (details.ovs_hybrid_plug)" in user.vifplug("plan", file)
    assert "changed" in user.vifplug("plug", file)
    assert "unchanged" in user.vifplug("plug", file)
    assert "as asked" in user.vifplug("check", file)
    (port,) = (row for row in br_int.rows("Interface") if row["name"].startswith("qvo"))
    assert port["ofport"] > 0
    assert "changed" in user.vifplug("unplug", file)
    now = user.host.everything(), br_int.everything()
    assert differences(before[0], now[0]) + differences(before[1], now[1]) == []


@pytest.mark.parametrize("command", ["plan", "check", "plug"])
def test_who_may_not_look_at_the_database_is_told_who_may(
    command: str, user: User, br_int: OpenVSwitch
) -> None:
    br_int.socket.chmod(0o750)
    before = user.host.everything(), br_int.everything()
    with pytest.raises(CommandFailed) as error:
        user.vifplug(command, str(user.folder / "vif.json"))
    assert error.value.returncode == 1
    (line,) = error.value.stderr.splitlines()
    assert line == (
        f"error: VIF {ID}: OVSDB at {br_int.endpoint}: "
        "Permission denied: only its owner and group may look, and root"
    )
    assert (user.host.everything(), br_int.everything()) == before
