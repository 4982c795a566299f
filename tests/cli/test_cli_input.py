# SPDX-License-Identifier: Apache-2.0
"""Bad input: refused before anything is touched, in one line that says what is allowed."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

import pytest

from tests.cli.conftest import ID, OTHER, vif
from vifplug.testing.dumps import differences
from vifplug.testing.shell import Shell

BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "id missing": ({"id": None}, "id is missing", "a UUID"),
    "id malformed": ({"id": "not-a-uuid"}, "id is 'not-a-uuid'", "a UUID"),
    "id a number": ({"id": 7}, "id is 7", "a UUID"),
    "vif_type missing": ({"vif_type": None}, "vif_type is missing", "a word"),
    "address missing": ({"address": None}, "address is missing", "a unicast MAC"),
    "address multicast": ({"address": "01:00:5e:00:00:01"}, "address is '01:00", "unicast MAC"),
    "address zero": ({"address": "00:00:00:00:00:00"}, "address is '00:00", "unicast MAC"),
    "address short": ({"address": "fa:16:3e"}, "address is 'fa:16:3e'", "unicast MAC"),
    "address with a new line": ({"address": "fa:16:3e:11:22:33\n"}, "address is", "unicast MAC"),
    "unknown field": ({"colour": "red"}, "colour is 'red'", "no such field; known: id, vif_type"),
    "unknown in network": ({"network": {"brigde": 1}}, "network.brigde is 1", "no such field"),
    "network no object": ({"network": []}, "network is []", "an object"),
    "bridge too long": ({"network": {"bridge": "b" * 16}}, "network.bridge is", "1 to 15"),
    "bridge with slash": ({"network": {"bridge": "a/b"}}, "network.bridge is 'a/b'", "1 to 15"),
    "bridge with space": ({"network": {"bridge": "a b"}}, "network.bridge is 'a b'", "1 to 15"),
    "bridge with NUL": ({"network": {"bridge": "a\0"}}, r"network.bridge is 'a\x00'", "1 to 15"),
    "bridge dots": ({"network": {"bridge": ".."}}, "network.bridge is '..'", "1 to 15"),
    "bridge all": ({"network": {"bridge": "all"}}, "network.bridge is 'all'", "not all or default"),
    "bridge empty": ({"network": {"bridge": ""}}, "network.bridge is ''", "1 to 15"),
    "bridge missing": ({"network": {"bridge": None}}, "network.bridge is missing", "needs it"),
    "devname percent": ({"devname": "tap%d"}, "devname is 'tap%d'", "1 to 15"),
    "mtu small": ({"network": {"mtu": 67}}, "network.mtu is 67", "from 68 to 65535"),
    "mtu large": ({"network": {"mtu": 70000}}, "network.mtu is 70000", "from 68 to 65535"),
    "mtu true": ({"network": {"mtu": True}}, "network.mtu is True", "from 68 to 65535"),
    "mtu text": ({"network": {"mtu": "1500"}}, "network.mtu is '1500'", "from 68 to 65535"),
    "vlan 0": ({"network": {"vlan": 0}}, "network.vlan is 0", "from 1 to 4094"),
    "vlan 4095": ({"network": {"vlan": 4095}}, "network.vlan is 4095", "from 1 to 4094"),
    "flag text": ({"filtered": "False"}, "filtered is 'False'", "true or false"),
    "subnet": ({"network": {"subnets": [{"cidr": "10.0.0.0"}]}}, "subnets[0].cidr", "prefix"),
    "ip": (
        {"network": {"subnets": [{"cidr": "10.0.0.0/24", "ips": ["10.0.0.5", "x"]}]}},
        "network.subnets[0].ips[1] is 'x'",
        "an IP address",
    ),
    "queues": ({"queues": 0}, "queues is 0", "from 1 to 256"),
    "qos negative": ({"qos": {"inbound_average": -1}}, "qos.inbound_average is -1", "from 0"),
    "vnic_type": ({"vnic_type": "wireless"}, "vnic_type is 'wireless'", "normal, direct"),
    "details": ({"details": {"x": 1}}, "details.x is 1", "no such field"),
    "manager id": ({"manager_id": 256}, "manager_id is 256", "from 0 to 255"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("command", ["plug", "plan", "xml"])
def test_a_bad_field_is_named_with_its_value_and_what_is_allowed(
    name: str, command: str, vifplug: Shell
) -> None:
    changes, field, allowed = BAD[name]
    data = vif(network=changes["network"]) if isinstance(changes.get("network"), dict) else vif()
    data |= {key: value for key, value in changes.items() if not isinstance(value, dict)}
    data |= {key: value for key, value in changes.items() if key in ("qos", "details")}
    before = vifplug.namespace.everything()
    done = vifplug(command, vifplug.file(data))
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert field in done.stderr and allowed in done.stderr
    assert ID in done.stderr or name.startswith("id ")
    assert differences(before, vifplug.namespace.everything()) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"id": "0b6a9d0e', "broken at line 1"),
        ("", "broken at line 1"),
        ("[" * 200_000 + "]" * 200_000, "nested too deep"),
        ('{"id": 1, "id": 2}', "the name 'id' stands twice"),
        ('{"id": NaN}', "NaN is no JSON"),
        ("null", "allowed: an object"),
        ('"text"', "allowed: an object"),
        ("[[]]", "allowed: an object"),
        ("{}", "id is missing"),
    ],
)
def test_a_file_that_holds_no_vifs(text: str, says: str, vifplug: Shell) -> None:
    done = vifplug("plug", vifplug.file(text))
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_files_that_cannot_be_read(vifplug: Shell) -> None:
    (vifplug.folder / "latin").write_bytes(b'{"id": "\xe9"}')
    for name, says in (
        ("nowhere.json", "No such file"),
        (str(vifplug.folder), "Is a directory"),
        (str(vifplug.folder / "latin"), "not UTF-8"),
        ("a\n.json", "No such file"),
    ):
        done = vifplug("plug", name)
        assert (done.returncode, done.stdout) == (2, "")
        assert says in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "words",
    [
        ("plug", "{}"),
        ("xml", "{}.json"),
        ("unplug", "--id", "{}"),
        ("plug", "--{}", "x"),
        ("--config-file", "{}.json", "plan", "x"),
        ("--log-file", "/nowhere/{}", "plan", "x"),
        ("-v", "plug", "{}.json"),
    ],
    ids=repr,
)
def test_no_control_character_of_a_name_reaches_the_terminal(
    words: tuple[str, ...], vifplug: Shell
) -> None:
    name = "\x1b[31m\x07\x9b1m"
    (vifplug.folder / f"{name}.json").write_text('{"id": 7, "\\u001b[31m": 1}')
    with contextlib.chdir(vifplug.folder):
        done = vifplug(*(word.format(name) for word in words))
    assert done.returncode
    assert "[31m" in done.stderr
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", done.stdout + done.stderr)


def test_an_unknown_vif_type_lists_the_known_ones(vifplug: Shell) -> None:
    done = vifplug("plug", vifplug.file(vif(vif_type="wibble")))
    assert done.returncode == 2
    assert f"VIF {ID}: no plugin for vif_type 'wibble'" in done.stderr
    known = "802.1qbg, 802.1qbh, bridge, hostdev_physical, hw_veb, macvtap, ovs, tap"
    assert known in done.stderr


def test_one_bad_vif_in_a_list_stops_all_and_every_bad_one_is_named(vifplug: Shell) -> None:
    good, bad = vif(), vif(OTHER, network={"mtu": 67})
    done = vifplug("plug", vifplug.file([good, bad, {"vif_type": "bridge"}]))
    assert (done.returncode, done.stdout) == (2, "")
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert OTHER in lines[0]
    assert "vifs.json[2]: id is missing" in lines[1]
    assert set(vifplug.namespace.everything()["links"]) == {"lo"}


@pytest.mark.parametrize(
    ("changes", "option", "says"),
    [
        ({"model": "lan9118"}, "--no-firewall", "model is 'lan9118'; allowed: a model of kvm"),
        ({}, "--firewall", "instance.name is missing"),
        ({"network": {"mtu": 65530}}, "--no-firewall", "network.mtu is 65530; allowed: at most"),
    ],
)
@pytest.mark.parametrize("command", ["plug", "plan", "xml", "check"])
def test_what_cannot_be_wired_on_this_host_stops_all_too(
    changes: dict[str, Any], option: str, says: str, command: str, vifplug: Shell
) -> None:
    vifplug.configure("vifplug_bridge", create_tap=True)
    good = vif(OTHER, instance={"name": "instance-00000001"})
    done = vifplug(command, option, vifplug.file([good, vif(**changes)]))
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr and len(done.stderr.splitlines()) == 1
    assert set(vifplug.namespace.everything()["links"]) == {"lo"}


def test_two_vifs_of_one_id_are_refused(vifplug: Shell) -> None:
    done = vifplug("plug", vifplug.file([vif(), vif()]))
    assert done.returncode == 2
    assert f"VIF {ID}: id is '{ID}'; allowed: one VIF of an id" in done.stderr


def test_ten_thousand_vifs_at_once(vifplug: Shell) -> None:
    many = [vif(f"{number:08x}-0000-4000-8000-000000000000") for number in range(10_000)]
    name = vifplug.file(many)
    done = vifplug("plan", name, "-f", "json")
    assert done.returncode == 0, done.stderr[-500:]
    assert len(json.loads(done.stdout)) == 10_000
    many[-1]["address"] = "01:00:00:00:00:00"
    done = vifplug("plug", vifplug.file(many))
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert set(vifplug.namespace.everything()["links"]) == {"lo"}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "a command is missing"),
        (("frobnicate",), "no command 'frobnicate'"),
        (("plug",), "FILE"),
        (("unplug",), "FILE or --id"),
        (("plug", "--timeout", "0", "x"), "--timeout"),
        (("plug", "--timeout", "nan", "x"), "--timeout"),
        (("plan", "--virt-type", "abacus", "x"), "--virt-type"),
        (("plan", "--from", "folsom", "x"), "--from"),
        (("unplug", "--id", "x"), "id is 'x'; allowed: a UUID"),
        (("schema", "wibble"), "no plugin for vif_type 'wibble'"),
        (("--config-file", "/nowhere.conf", "list"), "configuration"),
    ],
)
def test_bad_usage_ends_with_2_and_says_why(
    words: tuple[str, ...], says: str, vifplug: Shell
) -> None:
    done = vifplug(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_libvirt_version_that_is_none_is_refused(vifplug: Shell) -> None:
    done = vifplug("xml", vifplug.file(vif()), "--libvirt-version", "nine")
    assert (done.returncode, done.stdout) == (2, "")
    assert "libvirt_version is 'nine'; allowed: a version, as 9.0.0" in done.stderr


def test_a_bad_option_in_the_configuration_is_named(vifplug: Shell) -> None:
    vifplug.configure("vifplug", timeout="soon")
    done = vifplug("plug", vifplug.file(vif()))
    assert done.returncode == 2
    assert "timeout" in done.stderr and len(done.stderr.splitlines()) == 1


def test_programs_read_a_document_at_every_exit_status(vifplug: Shell) -> None:
    name = vifplug.file([vif(), vif(OTHER, network={"mtu": 67})])
    for words in (("plug", name), ("plan", name), ("check", name), ("unplug", name)):
        done = vifplug(*words, "-f", "json")
        assert done.returncode == 2
        bad, good = json.loads(done.stdout)
        assert bad["problem"] == {
            "class": "InvalidVIF",
            "field": "network.mtu",
            "value": "67",
            "allowed": "a whole number from 68 to 65535",
            "retriable": False,
            "file": name,
        }
        assert (bad["id"], bad["warnings"]) == (OTHER, [])
        assert (good["id"], good["changed"], good["error"], good["problem"]) == (
            ID,
            False,
            None,
            None,
        )
        assert done.stderr.startswith(f"error: {name}: VIF {OTHER}: network.mtu is 67")
    for words, kind in (
        (("plug", "nowhere.json"), "InvalidVIF"),
        (("plug", "--timeout", "x", name), "Usage"),
        (("unplug", "--id", "xyz"), "InvalidVIF"),
    ):
        done = vifplug(*words, "-f", "json")
        assert done.returncode == 2
        (found,) = json.loads(done.stdout)
        assert (found["id"], found["changed"], found["problem"]["class"]) == (None, False, kind)
        assert found["error"]


def test_a_conflict_and_warnings_for_programs(vifplug: Shell) -> None:
    vifplug.configure("vifplug_bridge", create_tap=True)
    vifplug.namespace.ip("link", "add", "tap0b6a9d0e-7a", "type", "veth", "peer", "name", "peer")
    vifplug.namespace.ip("link", "add", "br0", "type", "bridge")
    vifplug.namespace.ip("link", "set", "br0", "up")
    larger = {"bridge": "br0", "mtu": 9000, "should_create_bridge": False}
    name = vifplug.file([vif(), vif(OTHER, network=larger)])
    done = vifplug("plug", name, "-f", "json")
    assert done.returncode == 1
    failed, plugged = json.loads(done.stdout)
    assert failed["problem"] == {
        "class": "Conflict",
        "field": "tap0b6a9d0e-7a",
        "value": "is a veth device",
        "allowed": "a tap",
        "retriable": False,
        "file": name,
    }
    (warning,) = plugged["warnings"]
    assert "br0" in warning
    assert "9000" in warning
    assert OTHER not in warning
    assert (plugged["error"], plugged["made"]) == (None, [f"tap{OTHER[:11]}"])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("plgu", "x"), "did you mean plug?"),
        (("plan", {"vif_type": "brigde"}), "did you mean bridge?"),
        (("plan", {"network": {"brigde": "br0"}}), "no such field; did you mean bridge?"),
        (("unplug", "--dry-rn"), "unrecognized arguments: --dry-rn; did you mean --dry-run? (see"),
        (("-f", "json"), "vifplug: -f stands after the command, as in: vifplug list -f ..."),
        (("check", ID), "a VIF's id alone is enough for unplug --id"),
        (("plug", "/etc"), "one VIF or a list, as /etc/*.json"),
        (("schema", "brigde"), "error: no plugin for vif_type 'brigde': "),
    ],
)
def test_a_typing_error_is_answered_with_what_may_be_meant(
    words: tuple[str, Any], says: str, vifplug: Shell
) -> None:
    command, given = words
    done = vifplug(command, given if isinstance(given, str) else vifplug.file(vif(**given)))
    assert done.returncode == 2
    assert says in done.stderr
