# SPDX-License-Identifier: Apache-2.0
"""Notes of VIFs and the removal of unused devices, through the daemon's own channel."""

from __future__ import annotations

import dataclasses
import logging
import uuid
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg

from tests.bridge.requests import BRIDGE, CLAIM, errors, request, vif
from tests.bridge.vifs import IDS, bridge_vif
from vifplug import GenericVIFDriver
from vifplug.kernel import namespace as namespaces
from vifplug.model.note import note_of, noted
from vifplug.testing import NetworkNamespace
from vifplug.testing.claims import every_claim
from vifplug.testing.dumps import differences
from vifplug_bridge import privileged


def notes() -> Path:
    return namespaces.folder(str(cfg.CONF.vifplug.lock_path)) / "notes"


BAD: dict[str, Any] = {
    "no JSON": "{",
    "no VIF": '{"vif": {}, "foreign": false}',
    "another's": note_of(bridge_vif(1)),
    "a path": '{"vif": "../../etc/passwd", "foreign": false}',
    "no text": 7,
    "deep": "[" * 2000,
}


def test_a_note_that_is_none_is_refused_with_its_vif(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    before = namespace.everything()
    for name, text in BAD.items():
        replies = privileged.plug(request(vif(0, note=text)))
        assert errors(replies) == ["PlugFailed"], name
    assert not notes().exists()
    assert differences(before, namespace.everything()) == []
    good = note_of(bridge_vif(0))
    assert errors(privileged.plug(request(vif(0, note=good), vif(1)))) == ["", ""]
    assert [path.name for path in notes().iterdir()] == [IDS[0]]
    assert (notes().stat().st_mode & 0o777, (notes() / IDS[0]).stat().st_mode & 0o777) == (
        0o755,
        0o644,
    )
    # A plug without a note takes the old one away: it would tell another VIF.
    privileged.plug(request(vif(0)))
    assert not notes().exists()


def test_a_note_is_read_back_as_the_vif(driver: GenericVIFDriver) -> None:
    asked = dataclasses.replace(bridge_vif(0), foreign=True, details={"unknown": {"a": [1, "é"]}})
    text = note_of(asked)
    assert text is not None
    found = noted(text, asked.id)
    assert (found, found.foreign) == (asked, True)
    subnets = [{"cidr": f"10.{n}.0.0/16", "ips": [f"10.{n}.0.5"] * 8} for n in range(99)]
    network = type(asked.network)
    many = bridge_vif(0).to_dict()
    many["network"]["subnets"] = subnets
    long = type(asked).from_dict(many)
    short = note_of(long)
    assert short is not None
    assert noted(short, long.id).network == network(**{**vars(long.network), "subnets": ()})
    huge = dataclasses.replace(asked, details={"unknown": "x" * 5000})
    assert note_of(huge) is None


@pytest.mark.parametrize("how", ["a link", "writable", "a file"])
def test_a_folder_of_notes_that_others_may_change_gets_none(
    how: str, driver: GenericVIFDriver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    driver.plug(None, bridge_vif(1))
    driver.unplug_ids([IDS[1]])
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    match how:
        case "a link":
            notes().symlink_to(elsewhere)
        case "writable":
            notes().mkdir()
            notes().chmod(0o777)
        case _:
            notes().write_text("")
    with caplog.at_level(logging.WARNING):
        assert driver.plug(None, bridge_vif(0)).changed, "a note only describes"
    assert f"note {notes() / IDS[0]}" in caplog.text
    assert [*elsewhere.iterdir()] == []
    (one,) = driver.list()
    assert (one.id, one.vif) == (IDS[0], None)
    driver.unplug_ids([IDS[0]])


def test_a_note_that_is_left_alone_goes_with_an_unplug(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    driver.plug(None, bridge_vif(0))
    namespace.ip("link", "del", "br100")
    assert (driver.list(), (notes() / IDS[0]).exists()) == ([], True)
    assert not driver.unplug_ids([IDS[0]])[0].changed  # type: ignore[union-attr]
    assert not notes().exists()


def unused_request() -> list[dict[str, Any]]:
    return privileged.unplug(request({"vif_id": str(uuid.uuid4()), "unused": True}))


def test_what_is_used_or_of_others_is_never_unused(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    namespace.ip("link", "add", "theirs", "type", "bridge")
    privileged.plug(request(vif(0)))
    other = ({**BRIDGE, "name": "br-two"}, {**CLAIM, "on": "br-two"})
    third = ({**BRIDGE, "name": "br-three"}, {**CLAIM, "on": "br-three"})
    privileged.plug(request(vif(1, *other), vif(2, *third)))
    privileged.unplug(request({"vif_id": IDS[1]}, {"vif_id": IDS[2]}))
    # A port of another program's on one that no VIF uses.
    namespace.ip("link", "add", "port", "type", "veth", "peer", "name", "far")
    namespace.ip("link", "set", "port", "master", "br-three")
    before = {**namespace.everything()["links"]}, every_claim()
    (reply,) = unused_request()
    assert (reply["changed"], list(reply["removed"])) == (True, ["br-two"])
    del before[0]["br-two"]
    assert differences(before[0], namespace.everything()["links"]) == []
    assert every_claim() == before[1]
    (reply,) = unused_request()
    assert (reply["changed"], list(reply["removed"])) == (False, [])
    namespace.ip("link", "del", "port")
    driver.unplug_ids([IDS[0]])
    (reply,) = unused_request()
    assert sorted(reply["removed"]) == ["br-three", "br100"]


def test_an_ordinary_unplug_leaves_what_is_unused(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    privileged.plug(request(vif(0)))
    privileged.unplug(request({"vif_id": IDS[0]}))
    assert "br100" in namespace.everything()["links"]
    assert errors(privileged.unplug(request({"vif_id": IDS[0], "unused": "yes"}))) == [
        "UnplugFailed"
    ]
    assert "br100" in namespace.everything()["links"]
    unused_request()


def uplink(namespace: NetworkNamespace) -> None:
    """Make eth1. It is up before, because a plug leaves it up (docs/vif-types.md)."""
    namespace.ip("link", "add", "eth1", "type", "veth", "peer", "name", "wire")
    namespace.ip("link", "set", "eth1", "up")
    namespace.ip("link", "set", "wire", "up")


@pytest.mark.kernel("8021q")
def test_the_vlan_of_a_bridge_is_that_of_its_uplink_and_both_go_unused(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    uplink(namespace)
    before = namespace.everything()
    vif = bridge_vif(0, interface="eth1", vlan=7, should_create_vlan=True)
    driver.plug(None, vif)
    (one,) = driver.list()
    assert (one.bridge, one.vlan) == ("br100", 7)
    assert driver.inventory(guests=False).unused == ()
    driver.unplug(None, vif)
    assert driver.inventory(guests=False).unused == ("br100", "vlan7")
    assert [str(one.removal) for one in driver.gc(dry_run=True)] == [
        str(one.removal) for one in driver.gc()
    ]
    assert differences(before, namespace.everything()) == []


def test_gc_takes_the_mark_of_an_uplink_whose_bridge_another_program_removed(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    uplink(namespace)
    before = namespace.everything()
    driver.plug(None, bridge_vif(0, interface="eth1"))
    namespace.ip("link", "del", "br100")
    assert driver.list() == []
    planned = [str(one.removal) for one in driver.gc(dry_run=True)]
    assert planned == ["unused devices\n  unmark eth1"]
    assert [str(one.removal) for one in driver.gc()] == planned
    assert differences(before, namespace.everything()) == []
    assert driver.gc() == []
