# SPDX-License-Identifier: Apache-2.0
"""The direct family as a person uses it: every command, an ordinary user, what can't be right."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.users import LOOK, User, user_of
from tests.vepa.conftest import remove_macvtaps
from tests.vepa.vifs import CASES, IDS, card, claims, direct_vif, macvtap
from vifplug.testing import IndexRange, NetworkNamespace
from vifplug.testing.shell import COMMAND, Shell

NET_ADMIN, READ_SEARCH, PTRACE = 1 << 12, 1 << 2, 1 << 19
NEEDS = ("net_admin", "dac_read_search", "sys_ptrace")
QBG: dict[str, Any] = json.loads((CASES / "qbg/vif.json").read_text())


@pytest.fixture
def shell(indexes: IndexRange, tmp_path: Path) -> Iterator[Shell]:
    with NetworkNamespace(ifindex_from=indexes.first) as namespace:
        yield Shell(namespace, tmp_path)
        remove_macvtaps(namespace)


def file(shell: Shell, *vifs: dict[str, Any]) -> str:
    path = shell.folder / "vifs.json"
    path.write_text(json.dumps(list(vifs)))
    return str(path)


def kept(shell: Shell, device: str = "eth1") -> list[str]:
    return claims(shell.namespace, device, lock_path=shell.folder / "locks")


def test_every_command_from_the_plan_to_the_last_unplug(shell: Shell) -> None:
    shell.configure("vifplug_vepa", remove_unused=True)
    card(shell.namespace, up=False)
    before = shell.namespace.everything()
    one, two = direct_vif().to_dict(), direct_vif(number=1, details={"macvtap_mode": "private"})
    name = file(shell, one, two.to_dict())
    plan = shell("plan", name).stdout.splitlines()
    assert plan[:2] == [
        f"{IDS[0]}  macvtap",
        "  make    lower   eth1             vepa macvtap, brought up",
    ]
    assert shell("check", name).returncode == 3
    assert shell("plug", name).stdout.splitlines() == [
        f"{IDS[0]}  macvtap  changed",
        f"{IDS[1]}  macvtap  changed",
    ]
    assert shell("plug", name).stdout.splitlines()[0] == f"{IDS[0]}  macvtap  unchanged"
    assert shell("check", name).returncode == 0
    macvtap(shell.namespace, direct_vif())
    found = {each["id"]: each for each in shell.json("list")}
    # Root looks; nobody holds what was left.
    assert found[IDS[0]]["devices"] == ["macvtap0"]
    assert (found[IDS[0]]["vif_type"], found[IDS[0]]["in_use"]) == ("macvtap", False)
    assert 'source dev="eth1" mode="private"' in shell("xml", name).stdout
    assert shell("check", name).returncode == 3
    assert shell("unplug", "--id", IDS[0], "--id", IDS[1]).returncode == 0
    left = shell.namespace.everything()
    assert left == before


def test_doctor_tells_of_lldpad_and_plugins_of_all_types(shell: Shell) -> None:
    checks = [each for each in shell.json("doctor") if each["plugin"].startswith("vifplug_vepa")]
    said = {each["check"]: each for each in checks}
    assert said, shell.json("doctor")
    assert all(each["ok"] for each in checks)
    assert "no lldpad" in said["802.1Qbg"]["detail"]


BAD = {
    "manager_id": (-1, 256, "11", 1.0, True, None),
    "type_id": (-1, 1 << 24, "1193047", None),
    "type_id_version": (-1, 256, "2", None),
    "instance_id": ("", "xxx-yyy-zzz", 7, None),
}
LIMITS = {
    "manager_id": "a whole number from 0 to 255",
    "type_id": "a whole number from 0 to 16777215",
    "type_id_version": "a whole number from 0 to 255",
    "instance_id": "a UUID",
}


@pytest.mark.parametrize("field", BAD)
def test_an_associations_field_that_is_wrong_is_named_before_any_change(
    field: str, shell: Shell
) -> None:
    card(shell.namespace, up=False)
    good = {**QBG, "network": {"interface": "eth1"}}
    vifs = [{**good, "id": IDS[n], field: value} for n, value in enumerate(BAD[field])]
    done = shell("plug", file(shell, direct_vif(number=15).to_dict(), *vifs))
    assert (done.returncode, done.stdout) == (2, "")
    lines = done.stderr.splitlines()
    assert len(lines) == len(vifs)
    for vif, line in zip(vifs, lines, strict=True):
        assert f"VIF {vif['id']}: {field} is " in line and LIMITS[field] in line
    assert kept(shell) == [], "nor of the good one among them"


@pytest.mark.parametrize(
    ("vif_type", "more", "said"),
    [
        ("802.1qbh", {"profile_id": ""}, "profile_id is ''"),
        ("802.1qbh", {"profile_id": "p" * 40}, "allowed: a line of 1 to 39 characters"),
        ("802.1qbh", {"profile_id": 7}, "profile_id is 7"),
        ("802.1qbh", {}, "profile_id is missing"),
        ("macvtap", {"details": {"macvtap_mode": "passthru"}}, "vepa, private, bridge, pass"),
        ("macvtap", {"details": {"vlan": 0}}, "details.vlan is 0; allowed: a whole number from 1"),
        ("macvtap", {"details": {"pci_slot": "81:00.3"}}, "a PCI address, as 0000:81:00.3"),
        ("macvtap", {"network": {"interface": "../eth1"}}, "network.interface is '../eth1'"),
        ("hw_veb", {"vnic_type": "direct", "details": {"pci_slot": "0000:81:20.0"}}, "PCI addr"),
        ("hw_veb", {"vnic_type": "direct", "details": {"pci_slot": 7}}, "a PCI address"),
        (
            "hw_veb",
            {"vnic_type": "vdpa", "details": {"pci_slot": "0000:81:00.0"}},
            "direct, macvtap",
        ),
        ("hostdev_physical", {"details": {}}, "details.pci_slot is missing"),
    ],
)
def test_what_cannot_be_right_is_one_line_and_status_2(
    vif_type: str, more: dict[str, Any], said: str, shell: Shell
) -> None:
    card(shell.namespace)
    vif = {"id": IDS[0], "vif_type": vif_type, "address": "fa:16:3e:11:22:33",
           "network": {"interface": "eth1"}, **more}  # fmt: skip
    done = shell("plug", file(shell, vif))
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert said in line and IDS[0] in line
    assert kept(shell) == []


def test_no_fake_sysfs_and_no_name_makes_a_card_one_of_port_profiles(
    shell: Shell, tmp_path: Path
) -> None:
    # A physical function "enic" and its virtual one, as the files tell; the kernel has an ifb.
    card(shell.namespace, "enic")
    fake = tmp_path / "fake"
    for address in ("0000:81:00.0", "0000:81:00.3"):
        (fake / address).mkdir(parents=True)
        (fake / address / "class").write_text("0x020000\n")
        (fake / address / "driver").symlink_to("../../../bus/pci/drivers/enic")
    (fake / "0000:81:00.0/net/enic").mkdir(parents=True)
    (fake / "0000:81:00.3/physfn").symlink_to("../0000:81:00.0")
    (fake / "0000:81:00.0/virtfn0").symlink_to("../0000:81:00.3")
    whole = {"vnic_type": "direct", "details": {"pci_slot": "0000:81:00.3"}}
    on_it = {"network": {"interface": "enic"}}
    said = []
    for more in (whole, on_it):
        vif = {"id": IDS[0], "vif_type": "802.1qbh", "address": "fa:16:3e:11:22:33",
               "profile_id": "finance", **more}  # fmt: skip
        shell("plugins")  # writes the configuration
        command = (COMMAND, "--config-file", str(tmp_path / "vifplug.conf"), "plug",
                   file(shell, vif))  # fmt: skip
        mounted = 'mount --bind "$0" /sys/bus/pci/devices && exec "$@"'
        done = shell.namespace.run(
            "unshare", "--mount", "sh", "-c", mounted, str(fake), *command, check=False
        )
        assert (done.returncode, done.stdout) == (1, "")
        said.append(done.stderr)
    assert "enic has driver ifb; needed: a virtual function, driver enic" in said[0]
    assert "enic is no virtual function" in said[1]
    assert kept(shell, "enic") == []


@pytest.fixture(params=("sudo", "ambient"))
def user(request: pytest.FixtureRequest, indexes: IndexRange, tmp_path: Path) -> Iterator[User]:
    asked = direct_vif().to_dict()
    with NetworkNamespace(ifindex_from=indexes.first) as namespace:
        way = request.param
        yield user_of("vifplug_vepa", way, namespace, tmp_path, asked, capabilities=NEEDS)
        remove_macvtaps(namespace)


def test_an_ordinary_users_daemon_sees_who_holds_a_macvtap(user: User) -> None:
    name = str(user.folder / "vif.json")
    card(user.host)
    assert "changed" in user.vifplug("plug", name)
    index = macvtap(user.host, direct_vif())
    with Path(f"/dev/tap{index}").open("rb+", buffering=0):
        assert "as asked" in user.vifplug("check", name)
        assert "unchanged" in user.vifplug("plug", name)
    assert "macvtap0" in str(user.host.ip_json("link"))
    # The user itself sees no other's descriptors, so it can't tell, and asks.
    assert "macvtap  changed" in user.vifplug("plug", name)
    assert "macvtap0" not in str(user.host.ip_json("link"))
    assert "changed" in user.vifplug("unplug", name)
    assert claims(user.host, lock_path=user.folder / "locks") == []


def test_the_daemon_has_the_three_documented_capabilities_and_no_other(user: User) -> None:
    card(user.host)
    said = user.run(
        sys.executable, "-c", LOOK, str(user.folder / "conf"), str(user.folder / "vif.json")
    ).stdout
    daemons = [json.loads(line) for line in said.splitlines()]
    assert daemons
    for status in daemons:
        for kind in ("CapEff", "CapPrm"):
            assert int(status[kind][0], 16) == NET_ADMIN | READ_SEARCH | PTRACE
