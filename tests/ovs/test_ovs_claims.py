# SPDX-License-Identifier: Apache-2.0
"""Claims on OVS bridges: files in folders named after the bridges' rows. The database has none.

A VIF whose port libvirt makes has nothing on the host but its claim until its guest starts.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from oslo_config.fixture import Config

from tests.ovs.conftest import Host
from tests.ovs.databases import token_of
from tests.ovs.vifs import IDS, ovs_vif
from tests.processes import HANGS, killed_at
from tests.spoilt import DAMAGED, SPOILT, contents, hurts_no_other_vif
from vifplug import VIF, Conflict, GenericVIFDriver, PlugFailed, PrivilegeError
from vifplug.kernel.claims import ClaimsFolder
from vifplug.result import Result
from vifplug.testing import NetworkNamespace, OpenVSwitch
from vifplug.testing.claims import every_claim
from vifplug.testing.configured import fork, forked
from vifplug.testing.openvswitch import SERVER
from vifplug_bridge.plugin import BridgePlugin
from vifplug_ovs.plugin import OvsPlugin
from vifplug_ovs.vswitchd import OpenSwitch

MANY = 500


@pytest.fixture
def automatic(namespace: NetworkNamespace, br_int: OpenVSwitch, conf: Config) -> Iterator[Host]:
    """A host on which libvirt makes the ports. Its daemons know Linux bridges too."""
    conf.config(group="vifplug_ovs", process="automatic", datapath_type="netdev")
    conf.register_opts(list(BridgePlugin.opts), group=BridgePlugin.group)
    with forked(BridgePlugin, OvsPlugin) as driver:
        yield Host(namespace, br_int, driver)


@pytest.fixture
def folder(automatic: Host, tmp_path: Path) -> Path:
    """The folder of the claims; the first plug makes it."""
    return tmp_path / "locks" / str(os.fstat(automatic.namespace.fd).st_ino) / "claims"


def bridge_vif(number: int = 0) -> VIF:
    """Return the VIF of a number, with the same id as the one on br-int, on a Linux bridge."""
    network = {"bridge": "br100", "should_create_bridge": True}
    return VIF.from_dict({**ovs_vif(number).to_dict(), "vif_type": "bridge", "network": network})


def libvirts_port(ovs: OpenVSwitch, vif_id: str, interface_id: str) -> None:
    """Make a port as libvirt leaves it in the database when a host goes down."""
    name = f"tap{vif_id[:11]}"
    ids = (f"external_ids:iface-id={interface_id}", f"external_ids:vm-id={IDS[2]}")
    ovs.vsctl("--no-wait", "add-port", "br-int", name, "--", "set", "Interface", name, *ids)


# What stands where.


def test_500_vifs_on_a_bridge_leave_the_database_as_it_was(automatic: Host, folder: Path) -> None:
    vifs = [dataclasses.replace(ovs_vif(), id=str(UUID(int=n + 1))) for n in range(MANY)]
    rows = automatic.ovs.rows("Bridge"), automatic.ovs.rows("Open_vSwitch")
    driver = automatic.driver
    outcomes = driver.plug_all([(None, each) for each in vifs])
    assert all(isinstance(outcome, Result) and outcome.changed for outcome in outcomes)
    assert [(one.id, one.process, one.bridge) for one in driver.list()] == [
        (vif.id, "automatic", "br-int") for vif in vifs
    ]
    token = token_of("br-int", automatic.ovs)
    assert sorted(path.name for path in (folder / token).iterdir()) == [vif.id for vif in vifs]
    assert list(every_claim()) == [token], "the bridge's device has no claim of them"

    assert not driver.plug(None, vifs[0]).changed
    assert driver.unplug(None, vifs[0]).changed
    (by_id,) = driver.unplug_ids([vifs[1].id])
    assert isinstance(by_id, Result) and by_id.changed
    driver.unplug_all([(None, each) for each in vifs[2:]])
    assert contents(folder) == {}
    assert automatic.differs(automatic.before) == []
    # A program that watches the bridge has received nothing, and vswitchd had nothing to do.
    assert (automatic.ovs.rows("Bridge"), automatic.ovs.rows("Open_vSwitch")) == rows


def test_any_user_may_read_claims(automatic: Host, folder: Path) -> None:
    automatic.driver.plug(None, ovs_vif())
    token = folder / token_of("br-int", automatic.ovs)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (folder, token, token / IDS[0])]
    assert modes == [0o755, 0o755, 0o644]


# A claim notes the interface id.


@pytest.mark.parametrize("asked", [IDS[4], None], ids=["another", "none"])
@pytest.mark.parametrize("by_id", [False, True], ids=["by file", "by id"])
def test_an_unplug_with_another_interface_id_leaves_nothing(
    asked: str | None, by_id: bool, automatic: Host, folder: Path
) -> None:
    automatic.driver.plug(None, ovs_vif(interface_id=IDS[3]))
    libvirts_port(automatic.ovs, IDS[0], IDS[3])
    if by_id:
        (outcome,) = automatic.driver.unplug_ids([IDS[0]])
    else:
        outcome = automatic.driver.unplug(None, ovs_vif(interface_id=asked))
    assert isinstance(outcome, Result) and outcome.changed
    assert automatic.ovs.vsctl("list-ports", "br-int") == ""
    assert automatic.driver.list() == []
    assert contents(folder) == {}


def test_a_plug_with_another_interface_id_changes_the_claim(automatic: Host, folder: Path) -> None:
    driver, other = automatic.driver, ovs_vif(interface_id=IDS[4])
    driver.plug(None, ovs_vif(interface_id=IDS[3]))
    assert "change  ovs-claim   br-int           interface_id" in str(driver.check(None, other))
    assert driver.plug(None, other).changed
    assert not driver.check(None, other)
    ((claim,),) = every_claim().values()
    assert IDS[4] in claim
    assert driver.unplug(None, ovs_vif()).changed
    assert contents(folder) == {}


def test_a_vif_that_changes_its_bridge_takes_its_claim_along(automatic: Host) -> None:
    automatic.ovs.add_bridge("br-two")
    before, driver = automatic.everything(), automatic.driver
    driver.plug(None, ovs_vif())
    moved = ovs_vif(bridge="br-two")
    with pytest.raises(Conflict, match="br-int has this VIF already"):
        driver.plug(None, moved)
    assert driver.plug(None, moved, move=True).changed
    assert list(every_claim()) == [token_of("br-two", automatic.ovs)]
    assert not driver.check(None, moved)
    driver.unplug(None, moved)
    assert automatic.differs(before) == []


# A folder, or a file, that is spoilt.


@pytest.mark.parametrize("spoil", SPOILT)
def test_a_folder_that_is_spoilt_is_named_and_nothing_is_changed(
    spoil: str, automatic: Host, folder: Path
) -> None:
    automatic.driver.plug(None, ovs_vif(0))
    change, says = SPOILT[spoil]
    change(folder)
    before, kept = automatic.everything(), contents(folder.parent)
    new = ovs_vif(1, bridge="br-new", should_create_bridge=True)
    of_one_bridge = spoil in ("a token's can't be listed", "a stranger's file beside the claims")
    for vif in (ovs_vif(1),) if of_one_bridge else (ovs_vif(1), new):
        with pytest.raises(PrivilegeError) as error:
            automatic.driver.plug(None, vif)
        assert says in str(error.value)
        assert "lock_path" in error.value.mend
        assert len(str(error.value).splitlines()) == 1
        assert automatic.differs(before) == []
        assert contents(folder.parent) == kept


@pytest.mark.parametrize("spoil", [each for each in SPOILT if "stranger" in each])
def test_a_stranger_is_warned_of_and_the_rest_is_read(
    spoil: str, automatic: Host, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    driver = automatic.driver
    driver.plug(None, ovs_vif())
    change, says = SPOILT[spoil]
    change(folder)
    with caplog.at_level(logging.WARNING, "vifplug"):
        assert [one.id for one in driver.list()] == [IDS[0]]
    assert says in caplog.text
    assert not driver.plug(None, ovs_vif()).changed
    assert driver.unplug(None, ovs_vif()).changed
    assert every_claim() == {}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_vifs_own_file_that_is_damaged_is_named_and_hurts_no_other_vif(
    damage: str, automatic: Host, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    automatic.ovs.add_bridge("br-two")
    vifs = (ovs_vif(0), ovs_vif(1))
    batch = [ovs_vif(0), ovs_vif(1, bridge="br-two"), ovs_vif(2, bridge="br-two")]
    look = automatic.everything
    hurts_no_other_vif(damage, vifs, batch, automatic.driver, folder, look, caplog)


# Bridges that go, and those that are not ours to judge.


@pytest.mark.parametrize("call", ["plug", "plug another", "unplug", "unplug by id", "as bridge"])
def test_a_bridge_deleted_by_hand_takes_its_claims_with_it(
    call: str, automatic: Host, folder: Path
) -> None:
    driver = automatic.driver
    driver.plug_all([(None, ovs_vif(0)), (None, ovs_vif(1))])
    void = folder / token_of("br-int", automatic.ovs)
    automatic.ovs.vsctl("del-br", "br-int")
    automatic.ovs.add_bridge("br-int")
    assert driver.list() == [], "a bridge of the same name is another bridge"
    assert driver.check(None, ovs_vif())
    assert void.exists()
    if call.startswith("plug"):
        vif = ovs_vif(0 if call == "plug" else 2)
        assert driver.plug(None, vif).changed
        assert [path.name for path in folder.iterdir()] == [token_of("br-int", automatic.ovs)]
        assert [one.id for one in driver.list()] == [vif.id]
        return
    if call == "unplug by id":
        (outcome,) = driver.unplug_ids([IDS[0]])
        assert isinstance(outcome, Result) and not outcome.changed
    else:
        vif = bridge_vif() if call == "as bridge" else ovs_vif()
        assert not driver.unplug(None, vif).changed
    assert contents(folder) == {}


@pytest.mark.parametrize("how", ["hangs", "is gone"])
def test_a_plugin_without_the_database_leaves_claims_there_alone(
    how: str, automatic: Host, folder: Path
) -> None:
    driver, ovs = automatic.driver, automatic.ovs
    driver.plug(None, ovs_vif(0))
    kept = contents(folder)
    (ovs.pause if how == "hangs" else ovs.kill)(SERVER)
    try:
        assert driver.plug(None, bridge_vif(1), timeout=HANGS / 2).changed
        assert driver.unplug(None, bridge_vif(1), timeout=HANGS / 2).changed
        with pytest.raises(Exception, match="OVSDB at"):
            driver.unplug(None, ovs_vif(0), timeout=0.5)
    finally:
        (ovs.resume if how == "hangs" else ovs.start)(SERVER)
    automatic.is_free()
    assert contents(folder) == kept
    assert [one.id for one in driver.list()] == [IDS[0]]
    assert driver.unplug(None, ovs_vif(0)).changed
    assert contents(folder) == {}


def test_the_claims_of_another_database_are_left_alone(
    automatic: Host, folder: Path, conf: Config
) -> None:
    with NetworkNamespace() as elsewhere, OpenVSwitch(elsewhere) as other:
        other.add_bridge("br-int")
        automatic.driver.plug(None, ovs_vif(0))
        ours = token_of("br-int", automatic.ovs)
        conf.config(group="vifplug_ovs", ovsdb_connection=other.endpoint)
        fork(OvsPlugin)
        driver = GenericVIFDriver()
        assert driver.list() == []
        assert not driver.unplug(None, ovs_vif(0)).changed
        driver.plug(None, ovs_vif(1))
        assert {path.name for path in folder.iterdir()} == {ours, token_of("br-int", other)}
        # That its bridge is gone, only the other database can tell.
        automatic.ovs.vsctl("del-br", "br-int")
        driver.plug(None, ovs_vif(2))
        assert {path.name for path in folder.iterdir()} == {ours, token_of("br-int", other)}
        assert [one.id for one in driver.list()] == sorted([IDS[1], IDS[2]])
        driver.unplug_all([(None, ovs_vif(1)), (None, ovs_vif(2))])
        conf.config(group="vifplug_ovs", ovsdb_connection=automatic.ovs.endpoint)
        fork(OvsPlugin)
        GenericVIFDriver().unplug(None, ovs_vif(0))
    assert contents(folder) == {}


def test_no_vif_joins_a_bridge_that_is_named_as_anothers_own(automatic: Host, folder: Path) -> None:
    name = f"pb{IDS[0]}"[:14]
    automatic.ovs.add_bridge(name)
    before = automatic.everything()
    with pytest.raises(Conflict, match=f"OVS bridge {name} is named after another VIF"):
        automatic.driver.plug(None, ovs_vif(1, bridge=name))
    assert automatic.differs(before) == []
    assert contents(folder) == {}


def test_a_plug_that_fails_keeps_its_new_bridge_for_another_vif_that_has_claimed_it(
    automatic: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = {"bridge": "br-new", "should_create_bridge": True}
    settled = OpenSwitch.settled

    def another_comes_first(switch: OpenSwitch, *args: Any, **more: Any) -> Any:
        found = settled(switch, *args, **more)
        if os.fork() == 0:
            try:
                fork(OvsPlugin)
                GenericVIFDriver().plug(None, ovs_vif(1, **network))
            finally:
                os._exit(0)
        os.wait()
        return [f"no, after {found}"]

    monkeypatch.setattr(OpenSwitch, "settled", another_comes_first)
    fork(OvsPlugin)
    monkeypatch.undo()
    with pytest.raises(PlugFailed, match="no, after"):
        automatic.driver.plug(None, ovs_vif(0, **network))
    assert [(one.id, one.bridge) for one in automatic.driver.list()] == [(IDS[1], "br-new")]
    assert not automatic.driver.check(None, ovs_vif(1, **network))


# A reboot: the rows are there, and the claims are gone.


def test_after_a_reboot_a_plug_claims_anew(automatic: Host, folder: Path) -> None:
    driver = automatic.driver
    driver.plug_all([(None, ovs_vif(0)), (None, ovs_vif(1, interface_id=IDS[3]))])
    libvirts_port(automatic.ovs, IDS[1], IDS[3])
    shutil.rmtree(folder.parent)

    assert driver.list() == []
    for vif in (ovs_vif(0), ovs_vif(1, interface_id=IDS[3])):
        assert "make    ovs-claim   br-int" in str(driver.check(None, vif))
        result = driver.plug(None, vif)
        assert (result.changed, result.process) == (True, "automatic")
        assert not driver.check(None, vif)
    shutil.rmtree(folder.parent)
    assert not driver.unplug(None, ovs_vif(0)).changed
    assert driver.unplug(None, ovs_vif(1, interface_id=IDS[3])).changed, "libvirt's port is left"
    assert automatic.differs(automatic.before) == []


# Daemons that are killed. Their reading thread dies of the daemon's death.


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("next_call", ["unplug", "plug"])
@pytest.mark.parametrize("bridge", ["br-int", "br-new"])
@pytest.mark.parametrize(
    ("target", "name", "after"),
    [
        pytest.param(ClaimsFolder, "add", False, id="before the file"),
        pytest.param(Path, "rename", False, id="before the file is whole"),
        pytest.param(ClaimsFolder, "add", True, id="after the file"),
    ],
)
def test_a_daemon_killed_while_it_claims_leaves_nothing_after_the_next_unplug(
    target: Any,
    name: str,
    after: bool,
    bridge: str,
    next_call: str,
    automatic: Host,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    driver, vif = automatic.driver, ovs_vif(bridge=bridge, should_create_bridge=True)
    killed_at(monkeypatch, OvsPlugin, target, name, after=after)
    with pytest.raises(PrivilegeError, match="has ended"):
        driver.plug(None, vif)
    if next_call == "plug":
        driver.plug(None, vif)
        assert not driver.check(None, vif)
        assert [one.id for one in driver.list()] == [IDS[0]]
    driver.unplug(None, vif)
    assert contents(folder) == {}
    assert driver.list() == []
    if bridge == "br-int":
        assert automatic.differs(automatic.before) == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(
    ("target", "name", "after"),
    [
        pytest.param(ClaimsFolder, "remains", True, id="before the file goes"),
        pytest.param(ClaimsFolder, "clear", False, id="before the folder is cleared"),
        pytest.param(Path, "rmdir", False, id="before the folder goes"),
    ],
)
def test_a_daemon_killed_while_it_gives_up_the_last_claim_leaves_nothing_after_the_next_unplug(
    target: Any,
    name: str,
    after: bool,
    automatic: Host,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    automatic.driver.plug(None, ovs_vif())
    killed_at(monkeypatch, OvsPlugin, target, name, after=after)
    with pytest.raises(PrivilegeError, match="has ended"):
        automatic.driver.unplug(None, ovs_vif())
    automatic.driver.unplug(None, ovs_vif())
    assert contents(folder) == {}
    assert automatic.differs(automatic.before) == []


def test_a_folder_without_a_claim_goes_with_any_call(automatic: Host, folder: Path) -> None:
    automatic.driver.plug(None, ovs_vif(0))
    token = folder / token_of("br-int", automatic.ovs)
    (token / f".{IDS[1]}").write_text('{"cla')
    assert [one.id for one in automatic.driver.list()] == [IDS[0]]
    automatic.driver.plug(None, bridge_vif(2))
    assert sorted(path.name for path in token.iterdir()) == [f".{IDS[1]}", IDS[0]]
    (token / IDS[0]).unlink()
    automatic.driver.unplug(None, bridge_vif(2))
    assert not token.exists()
