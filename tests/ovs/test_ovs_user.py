# SPDX-License-Identifier: Apache-2.0
"""An ordinary user plugs on Open vSwitch, whose database is root's to read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cli.conftest import ID, ovs_vif
from tests.users import NOBODY, WAYS, User, user_of
from vifplug.testing import NetworkNamespace, OpenVSwitch
from vifplug.testing.dumps import differences
from vifplug.testing.namespace import CommandFailed


@pytest.fixture(params=WAYS)
def user(
    request: pytest.FixtureRequest,
    namespace: NetworkNamespace,
    br_int: OpenVSwitch,
    tmp_path: Path,
) -> User:
    """Somebody who may plug by one of two ways, but may not look at the database."""
    br_int.rundir.chmod(0o755)  # /run/openvswitch is open, the socket in it is not
    asked = ovs_vif(details={"ovs_hybrid_plug": True})
    found = ("[vifplug_ovs]", f"ovsdb_connection = {br_int.endpoint}")
    return user_of("vifplug_ovs", request.param, namespace, tmp_path, asked, *found)


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
