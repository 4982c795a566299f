# SPDX-License-Identifier: Apache-2.0
"""An ordinary user plugs on Open vSwitch, whose database is root's to read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cli.conftest import ID, ovs_vif
from tests.users import NOBODY, User, user_of
from vifplug.testing import NetworkNamespace, OpenVSwitch
from vifplug.testing.dumps import differences
from vifplug.testing.namespace import CommandFailed


@pytest.fixture(params=("sudo", "ambient"))
def way(request: pytest.FixtureRequest) -> str:
    """Each way to start the daemon."""
    return str(request.param)


def user_on(
    ovs: OpenVSwitch, way: str, namespace: NetworkNamespace, folder: Path, asked: object
) -> User:
    """Return somebody who may plug, but may not look at the database."""
    ovs.rundir.chmod(0o755)  # /run/openvswitch is open, the socket in it is not
    found = ("[vifplug_ovs]", f"ovsdb_connection = {ovs.endpoint}")
    return user_of("vifplug_ovs", way, namespace, folder, asked, *found)


@pytest.fixture
def user(way: str, namespace: NetworkNamespace, br_int: OpenVSwitch, tmp_path: Path) -> User:
    """Somebody whose VIF is hybrid."""
    asked = ovs_vif(details={"ovs_hybrid_plug": True})
    return user_on(br_int, way, namespace, tmp_path, asked)


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


def test_a_member_of_the_sockets_group_reads_the_claims(
    way: str, namespace: NetworkNamespace, br_int: OpenVSwitch, tmp_path: Path
) -> None:
    user = user_on(br_int, way, namespace, tmp_path, ovs_vif())
    os.chown(br_int.socket, 0, NOBODY)
    br_int.socket.chmod(0o770)
    before, file = br_int.everything(), str(user.folder / "vif.json")
    assert "make    ovs-claim   br-int" in user.vifplug("plan", file)
    assert "changed" in user.vifplug("plug", file)
    assert br_int.everything() == before
    # These need no daemon.
    assert "keep    ovs-claim   br-int" in user.vifplug("plan", file)
    assert "as asked" in user.vifplug("check", file)
    assert "unchanged" in user.vifplug("plug", file)
    assert ID[:8] in user.vifplug("list")
    assert "changed" in user.vifplug("unplug", "--id", ID)
    assert ID[:8] not in user.vifplug("list")


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
