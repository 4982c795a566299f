# SPDX-License-Identifier: Apache-2.0
"""What an operator asks on day two: list, show, check --all and gc, without a libvirt."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from tests.cli.conftest import ID, OTHER, vif
from vifplug.testing import TapEnd, veth
from vifplug.testing.dumps import differences
from vifplug.testing.namespace import NetworkNamespace
from vifplug.testing.shell import Shell

TAP, OTHER_TAP = "tap0b6a9d0e-7a", "tap1c7bae1f-8b"
WEB = {"uuid": "5d1d1c02-0e0a-4a86-a7bd-5f1a9a5a0a01", "name": "web1"}


@pytest.fixture
def plugged(vifplug: Shell) -> Shell:
    """Two VIFs on br100, whose taps are made beforehand; one of them has a guest."""
    vifplug.configure("vifplug_bridge", create_tap=True)
    vifs = [vif(instance=WEB), vif(OTHER, address="fa:16:3e:11:22:44")]
    assert vifplug("plug", vifplug.file(vifs)).returncode == 0
    return vifplug


def lines(shell: Shell, *words: str) -> list[str]:
    return shell(*words).stdout.splitlines()


def test_list_is_a_table_that_tells_guest_and_address(plugged: Shell) -> None:
    with TapEnd(plugged.namespace, TAP):
        assert lines(plugged, "list") == [
            "GUEST  VIF       MAC                TYPE    BRIDGE  VLAN  DEVICE          STATE",
            f"web1   0b6a9d0e  fa:16:3e:11:22:33  bridge  br100   -     {TAP}  up",
            f"-      1c7bae1f  fa:16:3e:11:22:44  bridge  br100   -     {OTHER_TAP}  unattached",
        ]
    plugged.namespace.ip("link", "set", OTHER_TAP, "nomaster")
    assert lines(plugged, "list", "--drift")[1:] == [
        "-      1c7bae1f  fa:16:3e:11:22:44  bridge  -       -     "
        f"{OTHER_TAP}  DRIFT: {OTHER_TAP} is in no bridge"
    ]
    (found,) = plugged.json("list", "--guest", "web1")
    told = {key: found[key] for key in ("guest", "address", "vlan", "state", "drift")}
    assert told == {
        "guest": "web1",
        "address": "fa:16:3e:11:22:33",
        "vlan": None,
        "state": "unattached",
        "drift": [],
    }
    assert [one["id"] for one in plugged.json("list", "--bridge", "br100")] == [ID]
    assert plugged.json("list", "--bridge", "br200") == []
    done = plugged("list", "--orphaned")
    assert done.stdout == "", "without libvirt no VIF is called an orphan"
    assert "libvirt tells no guests: orphans are not told" in done.stderr


def test_a_guests_name_can_rule_no_terminal(vifplug: Shell) -> None:
    name = "<b>\N{RIGHT-TO-LEFT OVERRIDE}web</b>"
    asked = vif(instance={"uuid": WEB["uuid"], "name": name})
    assert vifplug("plug", vifplug.file(asked)).returncode == 0
    assert vifplug.json("list")[0]["guest"] == name
    assert len(lines(vifplug, "list")) == 2


def test_show_tells_all_of_one_vif(plugged: Shell) -> None:
    shown = plugged("show", "0b6a")
    assert shown.returncode == 0, shown.stderr
    device = f"{TAP}  tap, MTU 1500, up, in br100, "
    told = (f"{ID}  bridge", "guest     web1", device, "held by no process")
    for text in (*told, '"should_create_bridge": true', "<interface type="):
        assert text in shown.stdout
    (found,) = plugged.json("show", ID)
    assert found["vif"] == vif(instance=WEB)
    assert found["xml"] == plugged("xml", plugged.file(vif(instance=WEB))).stdout.strip()
    assert (found["live_xml"], found["steps"][0]["action"]) == (None, "keep")
    # What was shown can be plugged on a host that has lost it.
    plugged("unplug", "--id", ID)
    assert plugged("plug", plugged.file(found["vif"])).returncode == 0
    assert plugged.json("show", "0B6A9D")[0]["vif"] == found["vif"]


BAD_IDS = {
    "none begins so": ("ffff", "id is 'ffff'; allowed: a UUID"),
    "too short": ("0b6", "id is '0b6'; allowed: a UUID"),
    "no id": ("../../etc/passwd", "id is '../../etc/passwd'; allowed: a UUID"),
}


def test_an_id_that_names_no_vif_is_bad_usage(plugged: Shell) -> None:
    for start, told in BAD_IDS.values():
        for command in (("show",), ("unplug", "--id")):
            done = plugged(*command, start)
            assert (done.returncode, told in done.stderr) == (2, True), done.stderr
    assert len(plugged.json("list")) == 2


def test_an_ambiguous_start_names_its_candidates(plugged: Shell) -> None:
    twin = ID[:-1] + "2"
    plugged.configure("vifplug_bridge", create_tap=False)
    assert plugged("plug", plugged.file(vif(twin, devname="eth7"))).returncode == 0
    for command in (("show", ID[:12]), ("unplug", "--id", ID[:12])):
        done = plugged(*command)
        assert done.returncode == 2
        assert f"'{ID[:12]}', the start of {ID}, {twin}; allowed" in done.stderr
    table = lines(plugged, "list")
    assert sum(ID in line for line in table) == 1, "a start that names two VIFs is none"
    assert plugged("unplug", "--id", twin).returncode == 0


def test_check_all_finds_what_is_not_as_it_was_plugged(plugged: Shell) -> None:
    done = plugged("check", "--all")
    assert (done.returncode, done.stdout.splitlines()) == (
        0,
        [f"{ID}  bridge  as asked", f"{OTHER}  bridge  as asked"],
    )
    plugged.namespace.ip("link", "set", TAP, "mtu", "1300")
    done = plugged("check", "--all")
    assert done.returncode == 3
    assert f"  change  tap     {TAP}   MTU 1500" in done.stdout
    found = json.loads(plugged("check", "--all", "-f", "json").stdout)
    assert [(one["id"], one["changed"]) for one in found] == [(ID, True), (OTHER, False)]
    assert found[0]["steps"] and found[0]["guest"] == "web1" and found[0]["error"] is None


def test_check_all_without_notes_says_how_far_it_looked(plugged: Shell) -> None:
    for note in (plugged.folder / "locks").glob("*/notes/*"):
        note.unlink()
    done = plugged("check", "--all")
    assert (done.returncode, "it is not noted how it was plugged" in done.stdout) == (0, True)
    plugged.namespace.ip("link", "set", TAP, "down")
    done = plugged("check", "--all")
    assert (done.returncode, f"  drift   {TAP} is down" in done.stdout) == (3, True)


def test_check_takes_files_or_all(vifplug: Shell) -> None:
    assert [vifplug("check", *words).returncode for words in ((), ("--all", "x.json"))] == [2, 2]


def test_a_note_that_is_spoilt_is_no_note(plugged: Shell) -> None:
    (note,) = (plugged.folder / "locks").glob(f"*/notes/{ID}")
    for text in ("", "{", "[]", '{"vif": {"id": 1}}', note.read_text().replace(ID, OTHER)):
        note.write_text(text)
        found = {one["id"]: one for one in plugged.json("list")}
        assert (found[ID]["guest"], found[ID]["devices"]) == (None, [TAP])
        assert plugged("check", "--all").returncode == 0
    assert plugged("unplug", "--id", ID).returncode == 0
    assert not note.exists()


# gc


def dry_and_real(shell: Shell, *words: str, status: int = 0) -> list[str]:
    """Return what gc prints, dry and then in earnest: it must be the same."""
    before = shell.namespace.everything()
    dry = shell("gc", *words, "--dry-run")
    assert differences(before, shell.namespace.everything()) == [], "dry is dry"
    real = shell("gc", *words)
    assert (dry.returncode, real.returncode) == (status, status), dry.stderr + real.stderr
    assert (dry.stdout, dry.stderr) == (real.stdout, real.stderr)
    return real.stdout.splitlines()


def test_gc_removes_what_no_vif_of_a_list_has(plugged: Shell) -> None:
    for kept in ([ID], [vif(instance=WEB)]):
        name = plugged.file(kept, "kept.json")
        found = dry_and_real(plugged, "--keep", name)
        assert found == [f"{OTHER}  bridge", f"  remove {OTHER_TAP}"]
        assert [one["id"] for one in plugged.json("list")] == [ID]
        assert lines(plugged, "gc", "--keep", name) == ["nothing to remove"]
        plugged("plug", plugged.file(vif(OTHER, address="fa:16:3e:11:22:44")))


def test_gc_does_what_it_has_printed(plugged: Shell) -> None:
    kept = plugged.file([OTHER], "kept.json")
    plugged.namespace.ip("link", "add", "spare", "type", "bridge")
    plugged("plug", plugged.file(vif(str(uuid.UUID(int=7)), network={"bridge": "br200"})))
    found = dry_and_real(plugged, "--keep", kept)
    left = {name for name in plugged.namespace.everything()["links"] if name != "lo"}
    assert left == {"br100", OTHER_TAP, "spare"}
    assert found == [
        "00000000-0000-0000-0000-000000000007  bridge",
        "  remove tap00000000-00",
        f"{ID}  bridge",
        f"  remove {TAP}",
        "unused devices",
        "  remove br200",
    ]


def test_gc_alone_removes_unused_devices_and_no_vif(plugged: Shell) -> None:
    namespace = plugged.namespace
    namespace.ip("link", "add", "theirs", "type", "bridge")
    plugged("plug", plugged.file(vif(str(uuid.UUID(int=7)), network={"bridge": "br200"})))
    plugged("unplug", "--id", str(uuid.UUID(int=7)))
    assert lines(plugged, "list")[-1] == ("also made here, unused: br200 (vifplug gc removes it)")
    assert dry_and_real(plugged) == ["unused devices", "  remove br200"]
    assert {"br100", "theirs", TAP, OTHER_TAP} < set(namespace.everything()["links"])
    assert lines(plugged, "gc") == ["nothing to remove"]


def test_gc_gives_an_uplink_its_addresses_back(vifplug: Shell) -> None:
    namespace = vifplug.namespace
    with NetworkNamespace() as far:
        veth(namespace, "eth1", far, "far")
        namespace.ip("addr", "add", "192.0.2.7/24", "dev", "eth1")
        namespace.ip("route", "add", "default", "via", "192.0.2.1")
        before = namespace.everything()
        vifplug("plug", vifplug.file(vif(network={"interface": "eth1"})))
        vifplug("unplug", "--id", ID)
        assert [a["local"] for a in addresses(namespace, "br100")] == ["192.0.2.7"]
        found = dry_and_real(vifplug)
        assert found[0] == "unused devices" and found[-1] == "  remove br100"
        assert differences(before, namespace.everything()) == []


def addresses(namespace: NetworkNamespace, device: str) -> list[dict[str, Any]]:
    (found,) = namespace.ip_json("-4", "addr", "show", device)
    return list(found["addr_info"])


def test_gc_leaves_a_bridge_that_the_host_uses(plugged: Shell) -> None:
    plugged("unplug", "--id", ID, "--id", OTHER)
    plugged.namespace.ip("addr", "add", "192.0.2.1/24", "dev", "br100")
    assert dry_and_real(plugged) == ["nothing to remove"]
    assert "br100" in plugged.namespace.everything()["links"]


def test_what_a_process_holds_goes_only_by_force(plugged: Shell) -> None:
    name = plugged.file([OTHER], "kept.json")
    with TapEnd(plugged.namespace, TAP):
        dry_and_real(plugged, "--keep", name, status=1)
        done = plugged("gc", "--keep", name)
        assert f"VIF {ID}: {TAP} is in use" in done.stderr
        assert [one["id"] for one in plugged.json("list")] == [ID, OTHER]
        (row,) = json.loads(plugged("gc", "--keep", name, "-f", "json").stdout)
        assert (row["id"], row["changed"], row["problem"]["class"]) == (ID, False, "InUse")
        assert dry_and_real(plugged, "--keep", name, "--force")[0] == f"{ID}  bridge"
    assert [one["id"] for one in plugged.json("list")] == [OTHER]


HALF = '[\n{"id": "0b6a9d0e-7a3c-4a6e-9d55-3f1f0a3c2b11", "vif_ty'
REFUSED: dict[str, tuple[Any, str]] = {
    "empty": ([], "keep is empty; allowed: VIFs of this host; or --all, which removes every"),
    "of another host": ([str(uuid.UUID(int=9))], "keep is a list of 1 VIFs, none of them here"),
    "half written": (HALF, "broken at line 2"),
    "nothing in it": ("", "broken at line 1"),
    "no id": (["br100"], "id is 'br100'; allowed: a UUID"),
    "a number": ([7], "allowed: an object"),
    "a mistyped VIF": ([vif(adress="x")], "adress is 'x'; allowed: nothing: there is no such"),
}


def test_a_keep_list_that_can_not_be_meant_is_refused(plugged: Shell) -> None:
    before = plugged.namespace.everything()
    for name, (text, told) in REFUSED.items():
        done = plugged("gc", "--keep", plugged.file(text, "kept.json"))
        assert (done.returncode, done.stdout) == (2, ""), name
        assert told in done.stderr
    assert differences(before, plugged.namespace.everything()) == []


def test_a_folder_of_which_one_file_is_half_written_is_refused(plugged: Shell) -> None:
    folder = plugged.folder / "kept"
    folder.mkdir()
    assert plugged("gc", "--keep", str(folder)).returncode == 2, "no file: an empty list"
    (folder / "a.json").write_text(json.dumps(vif()))
    (folder / "b.json").write_text(HALF)
    done = plugged("gc", "--keep", str(folder), "-f", "json")
    assert (done.returncode, json.loads(done.stdout)[0]["id"]) == (2, None)
    assert len(plugged.json("list")) == 2
    (folder / "b.json").unlink()
    assert dry_and_real(plugged, "--keep", str(folder))[0] == f"{OTHER}  bridge"


def test_all_removes_every_vif(plugged: Shell) -> None:
    name = plugged.file([], "kept.json")
    found = dry_and_real(plugged, "--keep", name, "--all")
    assert found[-2:] == ["unused devices", "  remove br100"]
    assert set(plugged.namespace.everything()["links"]) == {"lo"}


def test_a_libvirt_that_is_silent_takes_nothing(plugged: Shell) -> None:
    plugged.configure("vifplug", libvirt_uri="qemu:///system?socket=/nowhere/libvirt-sock")
    before = plugged.namespace.everything()
    for words in ((), ("--all", "--force")):
        done = plugged("gc", "--libvirt", *words)
        assert (done.returncode, done.stdout) == (1, "")
        assert "does not tell its guests" in done.stderr
    assert differences(before, plugged.namespace.everything()) == []


def test_keep_and_libvirt_exclude_each_other(vifplug: Shell) -> None:
    done = vifplug("gc", "--libvirt", "--keep", "x.json")
    assert (done.returncode, "not allowed with" in done.stderr) == (2, True)


def test_many_orphans_go_some_at_a_time(vifplug: Shell) -> None:
    # More than two batches of those that gc removes with one deadline.
    vifs = [vif(str(uuid.uuid4()), address=f"fa:16:3e:00:{n >> 8:02x}:{n & 255:02x}")
            for n in range(300)]  # fmt: skip
    assert vifplug("plug", vifplug.file(vifs)).returncode == 0
    kept = vifplug.file([vifs[0]["id"]], "kept.json")
    found = dry_and_real(vifplug, "--keep", kept)
    assert len(found) == 2 * 299
    assert [one["id"] for one in vifplug.json("list")] == [vifs[0]["id"]]


def test_check_names_a_firewall_that_cuts_a_plugged_vif_off(plugged: Shell) -> None:
    file = str(plugged.folder / "vifs.json")
    assert plugged("check", file).stderr == ""
    plugged.namespace.run("iptables-nft", "-P", "FORWARD", "DROP")
    for words in ((file,), ("--all",)):
        done = plugged("check", *words)
        assert done.returncode == 0, "a plug mends no firewall"
        assert "chain FORWARD of table filter drops bridged packets" in done.stderr
