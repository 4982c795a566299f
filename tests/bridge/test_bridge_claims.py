# SPDX-License-Identifier: Apache-2.0
"""The folder of the claims, as real daemons keep it: many claims, a spoilt folder, daemons killed.

A bridge whose taps libvirt makes bears nothing of its VIFs but their claims.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import resource
import stat
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from oslo_config.fixture import Config

from tests.bridge.vifs import IDS, bridge_vif
from tests.cli.conftest import vif
from tests.otherprograms import LARGEST, message, require_readable
from tests.processes import killed_at
from tests.spoilt import DAMAGED, SPOILT, contents, hurts_no_other_vif, token_of
from vifplug import VIF, GenericVIFDriver, PrivilegeError
from vifplug.errors import UnplugFailed
from vifplug.kernel.claims import ClaimsFolder
from vifplug.model.mark import CLAIMS
from vifplug.result import Result
from vifplug.testing import NetworkNamespace
from vifplug.testing.claims import every_claim
from vifplug.testing.configured import fork
from vifplug.testing.dumps import differences
from vifplug.testing.shell import COMMAND, Shell
from vifplug_bridge import privileged
from vifplug_bridge.plugin import BridgePlugin

MANY = 500


@pytest.fixture
def folder(namespace: NetworkNamespace, conf: Config, tmp_path: Path) -> Path:
    """The folder of the claims; the first plug makes it."""
    return tmp_path / "locks" / str(os.fstat(namespace.fd).st_ino) / "claims"


def many() -> list[VIF]:
    """Return many VIFs on one bridge."""
    return [dataclasses.replace(bridge_vif(), id=str(UUID(int=n + 1))) for n in range(MANY)]


def test_500_vifs_on_a_bridge_leave_the_host_readable_for_others(
    namespace: NetworkNamespace, driver: GenericVIFDriver, folder: Path
) -> None:
    namespace.ip("link", "add", "br100", "up", "type", "bridge")
    namespace.ip("address", "add", "192.0.2.7/24", "dev", "br100")
    before, vifs = namespace.everything(), many()
    alone = len(message("br100"))
    outcomes = driver.plug_all([(None, each) for each in vifs])
    assert all(isinstance(outcome, Result) and outcome.changed for outcome in outcomes)
    assert [(one.id, one.bridge) for one in driver.list()] == [(v.id, "br100") for v in vifs]
    assert len(every_claim()["br100"]) == MANY

    require_readable(namespace, {"lo", "br100"}, "192.0.2.7")
    sent = message("br100")
    assert CLAIMS.encode() in sent
    assert alone < len(sent) < LARGEST

    # The last one takes the name along.
    driver.unplug_all([(None, each) for each in vifs[1:]])
    assert len(message("br100")) == len(sent)
    assert driver.unplug(None, vifs[0]).changed
    assert differences(before, namespace.everything()) == []
    assert contents(folder) == {}


def test_claims_go_with_the_device_when_it_is_renamed(
    namespace: NetworkNamespace, driver: GenericVIFDriver, folder: Path
) -> None:
    namespace.ip("link", "add", "br100", "type", "bridge")
    driver.plug(None, bridge_vif())
    namespace.ip("link", "set", "br100", "name", "br200")
    assert [(one.id, one.bridge) for one in driver.list()] == [(IDS[0], "br200")]
    assert driver.unplug(None, bridge_vif()).changed
    assert contents(folder) == every_claim() == {}


def test_any_user_may_read_claims_whatever_the_umask_of_the_daemon(
    namespace: NetworkNamespace, conf: Config, folder: Path
) -> None:
    before = os.umask(0o077)
    try:
        fork(BridgePlugin)
    finally:
        os.umask(before)
    driver = GenericVIFDriver()
    driver.plug(None, bridge_vif())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert stat.S_IMODE(token_of(folder).stat().st_mode) == 0o755
    assert stat.S_IMODE((token_of(folder) / IDS[0]).stat().st_mode) == 0o644
    driver.close()


# A folder that is spoilt.


OF_ONE_BRIDGE = ("a token's can't be listed", "a stranger's file beside the claims")


@pytest.mark.parametrize("spoil", SPOILT)
def test_a_folder_that_is_spoilt_is_named_and_nothing_is_changed(
    spoil: str,
    namespace: NetworkNamespace,
    driver: GenericVIFDriver,
    folder: Path,
) -> None:
    driver.plug(None, bridge_vif(0))
    change, says = SPOILT[spoil]
    change(folder)
    before, kept = namespace.everything(), contents(folder.parent)
    for bridge in ("br100",) if spoil in OF_ONE_BRIDGE else ("br100", "br200"):
        with pytest.raises(PrivilegeError) as error:
            driver.plug(None, bridge_vif(1, bridge=bridge))
        assert says in str(error.value)
        assert "lock_path" in error.value.mend
        assert len(str(error.value).splitlines()) == 1
        assert differences(before, namespace.everything()) == []
        assert contents(folder.parent) == kept


@pytest.mark.parametrize("spoil", [each for each in SPOILT if "stranger" in each])
def test_a_stranger_is_warned_of_and_the_rest_is_read(
    spoil: str,
    driver: GenericVIFDriver,
    folder: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    driver.plug(None, bridge_vif(0))
    change, says = SPOILT[spoil]
    change(folder)
    for call in (driver.list, lambda: driver.check(None, bridge_vif(0))):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "vifplug"):
            found = call()
        assert says in caplog.text
        assert len(caplog.records) == 1
        if isinstance(found, list):
            assert [(one.id, one.bridge) for one in found] == [(IDS[0], "br100")]
        else:
            assert not found, "plugged as asked"
    assert not driver.plug(None, bridge_vif(0)).changed, "what is plugged needs no change"
    assert driver.unplug(None, bridge_vif(0)).changed, "what can go goes"
    assert every_claim() == {}


@pytest.mark.parametrize("spoil", ["the folder is a user's", "the folder is a link"])
def test_a_folder_that_others_may_have_written_is_warned_of_and_no_unplug_trusts_it(
    spoil: str,
    namespace: NetworkNamespace,
    driver: GenericVIFDriver,
    folder: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    driver.plug(None, bridge_vif(0))
    change, says = SPOILT[spoil]
    change(folder)
    with caplog.at_level(logging.WARNING, "vifplug"):
        assert [one.id for one in driver.list()] == [IDS[0]]
    assert says.removesuffix("not 0") in caplog.text
    before, kept = namespace.everything(), contents(folder.parent)
    with pytest.raises(PrivilegeError, match="claims: it "):
        driver.unplug(None, bridge_vif(0))
    assert differences(before, namespace.everything()) == []
    assert contents(folder.parent) == kept


@pytest.mark.parametrize("remove_unused", [False, True])
def test_a_bridge_whose_claims_cannot_be_listed_is_not_taken_for_unused(
    remove_unused: bool,
    namespace: NetworkNamespace,
    conf: Config,
    driver: GenericVIFDriver,
    folder: Path,
) -> None:
    conf.config(group="vifplug_bridge", remove_unused=remove_unused)
    fork(BridgePlugin)
    driver.plug_all([(None, bridge_vif(0)), (None, bridge_vif(1))])
    token_of(folder).chmod(0o311)
    before, kept = namespace.everything(), contents(folder)
    with pytest.raises(UnplugFailed, match="Permission denied"):
        driver.unplug(None, bridge_vif(0))
    assert differences(before, namespace.everything()) == []
    assert contents(folder) == kept
    token_of(folder).chmod(0o755)
    driver.unplug_all([(None, bridge_vif(0)), (None, bridge_vif(1))])
    assert contents(folder) == {}
    assert ("br100" in namespace.everything()["links"]) != remove_unused


# A VIF's own file that is spoilt.


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_vifs_own_file_that_is_damaged_is_named_and_hurts_no_other_vif(
    damage: str,
    namespace: NetworkNamespace,
    driver: GenericVIFDriver,
    folder: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    namespace.ip("link", "add", "br300", "up", "type", "bridge")
    batch = [bridge_vif(0), bridge_vif(1, bridge="br200"), bridge_vif(2, bridge="br300")]
    vifs = (bridge_vif(0), bridge_vif(1))
    hurts_no_other_vif(damage, vifs, batch, driver, folder, namespace.everything, caplog)


# No room.


def test_a_claim_that_is_written_in_part_leaves_everything_as_it_was(
    namespace: NetworkNamespace, driver: GenericVIFDriver, folder: Path
) -> None:
    namespace.ip("link", "add", "br100", "type", "bridge")
    driver.plug(None, bridge_vif(0))
    before, kept = namespace.everything(), contents(folder)
    pid = privileged.context.channel.pid  # type: ignore[union-attr]
    usual = resource.prlimit(pid, resource.RLIMIT_FSIZE, (20, resource.RLIM_INFINITY))
    for number in (1, 2):
        # One on a bridge that has claims, one on a bridge that the same plug makes.
        with pytest.raises(PrivilegeError, match="No space left on device") as error:
            driver.plug(None, bridge_vif(number, bridge=f"br{number}00"))
        assert len(str(error.value).splitlines()) == 1
        assert differences(before, namespace.everything()) == []
        assert contents(folder) == kept
    resource.prlimit(pid, resource.RLIMIT_FSIZE, usual)
    assert driver.plug(None, bridge_vif(1)).changed


MOUNTS = {
    "no room for a file": ("-o size=64k,mode=755,nr_inodes=2", "No space left on device"),
    "no room for a folder": ("-o size=64k,mode=755,nr_inodes=1", "No space left on device"),
    "read-only": ("-o size=64k,mode=755,ro", "Read-only file system"),
}


@pytest.mark.parametrize("mount", MOUNTS)
def test_a_folder_that_takes_no_claim_leaves_the_kernel_as_it_was(
    mount: str, tmp_path: Path
) -> None:
    options, says = MOUNTS[mount]
    with NetworkNamespace() as namespace:
        shell = Shell(namespace, tmp_path)
        assert shell("list").returncode == 0  # writes the configuration
        claims = tmp_path / "locks" / str(os.fstat(namespace.fd).st_ino) / "claims"
        claims.mkdir(parents=True)
        before = namespace.everything()
        run = f"{COMMAND} --config-file {tmp_path}/vifplug.conf"
        script = f"mount -t tmpfs {options} full {claims}; {run} list; {run} plug -"
        done = namespace.run(
            *("unshare", "--mount", "--propagation", "private", "bash", "-c", script),
            input=json.dumps(vif()),
            check=False,
        )
        assert (done.returncode, done.stdout) == (1, "")
        (line,) = done.stderr.splitlines()
        assert line.startswith("error: ")
        assert f"claims {claims}" in line and says in line
        assert differences(before, namespace.everything()) == []


# A device that is gone, and daemons that are killed.


@pytest.mark.parametrize("call", ["plug", "unplug", "plug another"])
def test_a_bridge_deleted_by_hand_takes_its_claims_with_it(
    call: str, namespace: NetworkNamespace, driver: GenericVIFDriver, folder: Path
) -> None:
    driver.plug_all([(None, bridge_vif(0)), (None, bridge_vif(1))])
    void = token_of(folder)
    namespace.ip("link", "del", "br100")
    assert driver.list() == []
    assert void.exists()
    if call == "unplug":
        assert not driver.unplug(None, bridge_vif(0)).changed
        assert contents(folder) == {}
        return
    vif = bridge_vif(0) if call == "plug" else bridge_vif(2)
    assert driver.plug(None, vif).changed
    assert not void.exists()
    assert token_of(folder) != void
    assert [(one.id, one.bridge) for one in driver.list()] == [(vif.id, "br100")]
    assert not driver.plug(None, vif).changed


def test_the_claims_of_another_bridge_stay_when_void_ones_go(
    namespace: NetworkNamespace, driver: GenericVIFDriver, folder: Path
) -> None:
    driver.plug_all([(None, bridge_vif(0)), (None, bridge_vif(1, bridge="br200"))])
    namespace.ip("link", "del", "br100")
    driver.unplug(None, bridge_vif(0))
    assert [one.id for one in driver.list()] == [IDS[1]]
    assert [path.name for path in token_of(folder).iterdir()] == [IDS[1]]


# The daemon's reading thread dies of the daemon's death.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("next_call", ["unplug", "plug"])
@pytest.mark.parametrize("bridge", ["new", "ours", "another's"])
@pytest.mark.parametrize(
    ("target", "name", "after"),
    [
        pytest.param(ClaimsFolder, "add", False, id="before the file"),
        pytest.param(Path, "rename", False, id="before the file is whole"),
        pytest.param(ClaimsFolder, "add", True, id="between file and name"),
    ],
)
def test_a_daemon_killed_while_it_claims_leaves_nothing_after_the_next_unplug(
    target: Any,
    name: str,
    after: bool,
    bridge: str,
    next_call: str,
    namespace: NetworkNamespace,
    driver: GenericVIFDriver,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if bridge == "ours":
        driver.plug(None, bridge_vif(0))
        driver.unplug(None, bridge_vif(0))
    elif bridge == "another's":
        namespace.ip("link", "add", "br100", "type", "bridge")
    before = namespace.everything()
    killed_at(monkeypatch, BridgePlugin, target, name, after=after)
    with pytest.raises(PrivilegeError, match="has ended"):
        driver.plug(None, bridge_vif(0))
    if next_call == "plug":
        driver.plug(None, bridge_vif(0))
        assert not driver.check(None, bridge_vif(0))
        assert [one.id for one in driver.list()] == [IDS[0]]
    driver.unplug(None, bridge_vif(0))
    assert contents(folder) == every_claim() == {}
    if bridge != "new":
        assert differences(before, namespace.everything()) == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(
    ("target", "name", "after"),
    [
        pytest.param(ClaimsFolder, "remains", True, id="before the name goes"),
        pytest.param(ClaimsFolder, "clear", False, id="between name and folder"),
        pytest.param(Path, "rmdir", False, id="before the folder goes"),
    ],
)
def test_a_daemon_killed_while_it_gives_up_the_last_claim_leaves_nothing_after_the_next_unplug(
    target: Any,
    name: str,
    after: bool,
    namespace: NetworkNamespace,
    driver: GenericVIFDriver,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    namespace.ip("link", "add", "br100", "type", "bridge")
    before = namespace.everything()
    driver.plug(None, bridge_vif(0))
    killed_at(monkeypatch, BridgePlugin, target, name, after=after)
    with pytest.raises(PrivilegeError, match="has ended"):
        driver.unplug(None, bridge_vif(0))
    driver.unplug(None, bridge_vif(0))
    assert contents(folder) == every_claim() == {}
    assert differences(before, namespace.everything()) == []


def test_a_file_half_written_is_no_claim_and_goes_with_the_last_one(
    namespace: NetworkNamespace, driver: GenericVIFDriver, folder: Path
) -> None:
    driver.plug(None, bridge_vif(0))
    (token_of(folder) / f".{IDS[1]}").write_text('{"cla')
    assert [one.id for one in driver.list()] == [IDS[0]]
    driver.plug(None, bridge_vif(1))
    assert sorted(path.name for path in token_of(folder).iterdir()) == [*IDS[:2]]
    (token_of(folder) / f".{IDS[2]}").write_text('{"cla')
    driver.unplug_all([(None, bridge_vif(0)), (None, bridge_vif(1))])
    assert contents(folder) == {}
