# SPDX-License-Identifier: Apache-2.0
"""``vifplug apply``: a folder is the wanted state; the host is made so, and nothing else."""

from __future__ import annotations

from tests.cli.conftest import ID, OTHER, vif
from tests.cli.folders import Folder
from vifplug.testing import TapEnd
from vifplug.testing.dumps import differences

TAP = "tap0b6a9d0e-7a"

BY_HAND = """\
- name: eth0
  vif_type: bridge
  network: {bridge: br200, should_create_bridge: true}
- name: eth1
  vif_type: tap
"""


def test_a_host_becomes_what_its_folder_says_and_then_stays(folder: Folder) -> None:
    folder.write("db1.json", [vif(), vif(OTHER, address="fa:16:3e:11:22:44")])
    folder.write("web1.yaml", BY_HAND)
    namespace = folder.vifplug.namespace
    before = namespace.everything()

    planned = folder.apply("--dry-run")
    assert differences(before, namespace.everything()) == []
    assert planned.splitlines()[0] == f"+  db1/0  {ID}  bridge"
    assert "  make    bridge  br100            forward delay 0, STP off" in planned.splitlines()
    assert "keep" not in planned, "what stays is no change"
    assert planned.splitlines()[-1] == "4 to plug, 0 to change, 0 to unplug, 0 as declared"

    done = folder.apply()
    assert done.startswith(planned)
    outcomes = done.removeprefix(planned).splitlines()
    assert outcomes[0] == f"db1/0  {ID}  bridge  changed: made br100, {TAP}"
    assert len(outcomes) == 4

    now = namespace.everything()
    assert {"br100", "br200", TAP} <= set(now["links"])
    again = folder.apply()
    assert again == "nothing to do: 4 as declared\n"
    assert folder.apply("--prune") == again
    assert differences(now, namespace.everything()) == []
    assert {row["changed"] for row in folder.rows()} == {False}


def test_a_dry_run_prints_what_the_run_then_does(folder: Folder) -> None:
    """Plug, change and unplug in one: the two documents are the same but for the devices."""
    namespace = folder.vifplug.namespace
    folder.write("old.json", vif(OTHER, network={"bridge": "br300"}))
    folder.write("db1.json", vif())
    folder.apply()
    namespace.ip("link", "set", TAP, "mtu", "1300")
    (folder.path / "old.json").unlink()
    folder.write("web1.yaml", BY_HAND)
    before = namespace.everything()
    planned, text = folder.rows("--prune", "--dry-run"), folder.apply("--prune", "--dry-run")
    assert differences(before, namespace.everything()) == []
    done = folder.rows("--prune")
    assert [row["action"] for row in done] == ["unplug", "change", "plug", "plug"]
    assert [row["name"] for row in done] == [None, "db1/0", "web1/eth0", "web1/eth1"]
    for row, other in zip(planned, done, strict=True):
        told = [name for name in row if name != "devices"]
        assert {name: row[name] for name in told} == {name: other[name] for name in told}
    assert set(done[0]["removed"]) == {"br300", "tap1c7bae1f-8b"}
    assert done[2]["made"] == ["br200", *done[2]["devices"]]
    assert [line[0] for line in text.splitlines() if line[0] in "+~-"] == ["-", "~", "+", "+"]
    assert text.splitlines()[-1] == "2 to plug, 1 to change, 1 to unplug, 0 as declared"
    assert {row["action"] for row in folder.rows("--prune")} == {None}


def test_what_goes_frees_its_name_for_what_comes(folder: Folder) -> None:
    folder.write("old.json", vif(devname="tap-web1"))
    folder.apply()
    (folder.path / "old.json").unlink()
    folder.write("new.json", vif(OTHER, devname="tap-web1"))
    planned = folder.rows("--prune", "--dry-run")
    assert [row["error"] for row in planned] == [None, None]
    assert [set(row["removed"]) for row in planned] == [{"tap-web1", "br100"}, set()]
    assert planned[1]["made"] == ["br100", "tap-web1"]
    folder.apply("--prune")
    assert folder.plugged() == {OTHER}


def test_only_prune_unplugs_and_only_what_no_guest_holds(folder: Folder) -> None:
    third = "2d8cbf20-9c5e-4c80-9f77-5b3b2c5e4d33"
    folder.write("all.json", [vif(), vif(OTHER), vif(third)])
    folder.apply()
    folder.write("all.json", vif(third))
    assert folder.apply() == "nothing to do: 1 as declared\n"
    assert folder.plugged() == {ID, OTHER, third}
    with TapEnd(folder.vifplug.namespace, TAP):
        for words in (("--dry-run",), ()):
            printed = folder.apply("--prune", *words, status=1)
            assert printed.splitlines()[-1 if words else -2].endswith("as declared, 1 refused")
            (line,) = folder.said.splitlines()
            assert line.startswith(f"error: VIF {ID}: {TAP} is in use by ")
        assert folder.plugged() == {ID, third}, "the others are done"
        (row, _) = folder.rows("--prune", status=1)
        assert row["problem"]["class"] == "InUse" and not row["changed"]
    folder.apply("--prune")
    assert folder.plugged() == {third}


def test_a_bridge_of_strangers_and_a_strangers_tap_are_not_ours_to_prune(folder: Folder) -> None:
    namespace = folder.vifplug.namespace
    namespace.ip("link", "add", "br0", "type", "bridge")
    namespace.ip("tuntap", "add", "mode", "tap", "tap99999999-99")
    namespace.ip("link", "set", "tap99999999-99", "master", "br0")
    folder.write("none.yaml", "[]\n")
    before = namespace.everything()
    assert folder.apply("--prune") == "nothing to do: 0 as declared\n"
    assert differences(before, namespace.everything()) == []


def test_an_empty_list_says_on_purpose_that_no_vif_is_wanted(folder: Folder) -> None:
    before = folder.vifplug.namespace.everything()
    folder.write("db1.json", vif())
    folder.apply()
    folder.write("db1.json", "[]")
    assert "1 to unplug" in folder.apply("--prune")
    assert differences(before, folder.vifplug.namespace.everything()) == []


def test_a_vif_on_another_bridge_is_moved_only_when_asked(folder: Folder) -> None:
    folder.write("db1.json", vif())
    folder.apply()
    folder.write("db1.json", vif(network={"bridge": "br200"}))
    for words in (("--dry-run",), ()):
        folder.apply(*words, status=1)
        assert folder.said.startswith(f"error: db1/0: VIF {ID}: ") and "--move" in folder.said
    index = folder.vifplug.namespace.everything()["links"][TAP]["ifindex"]
    planned, done = folder.apply("--move", "--dry-run"), folder.apply("--move")
    assert planned.startswith("~  db1/0") and done.startswith(planned)
    tap = folder.vifplug.namespace.everything()["links"][TAP]
    assert (tap["master"], tap["ifindex"]) == ("br200", index)


def test_a_vif_that_fails_is_told_by_its_name_and_the_others_are_plugged(folder: Folder) -> None:
    folder.write("web1.yaml", BY_HAND + "- {name: lost, vif_type: bridge, network: {bridge: x}}\n")
    printed = folder.apply(status=1)
    (line,) = folder.said.splitlines()
    assert line.startswith("error: web1/lost: VIF ") and "x" in line
    assert "web1/eth0" in printed and len(folder.plugged()) == 2
    assert (
        folder.apply(status=1) == "0 to plug, 0 to change, 0 to unplug, 2 as declared, 1 refused\n"
    )
