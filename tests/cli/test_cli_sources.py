# SPDX-License-Identifier: Apache-2.0
"""``--from``: files that hold another system's model."""

from __future__ import annotations

import json
from typing import Any

import pytest
from lxml import etree

from tests.cli.conftest import ID, OTHER
from tests.sources.cases import CASES, FOLDER, GOOD, Case
from vifplug.testing.dumps import differences
from vifplug.testing.shell import Shell

BRIDGE, TAP = "brq5d1f3b62-90", f"tap{ID[:11]}"
WITHOUT_A_PLUGIN = ("vrouter",)


def port(**more: Any) -> dict[str, Any]:
    (found,) = (json.loads((FOLDER / "neutron/bridge/data.json").read_text())["port"],)
    return {**found, **more}


def test_the_whole_way_of_neutrons_ports(vifplug: Shell) -> None:
    vifplug.configure("vifplug_bridge", create_tap=True, remove_unused=True)
    ports = [port(), port(id=OTHER, mac_address="fa:16:3e:44:55:66")]
    name = vifplug.file({"ports": ports})
    before = vifplug.namespace.everything()
    planned = vifplug("plan", name, "--from", "neutron")
    assert f"make    bridge  {BRIDGE}" in planned.stdout
    done = vifplug("plug", "--from", "neutron", name)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"{ID}  bridge  changed: made brq5d1f3b62-90, {TAP}",
        f"{OTHER}  bridge  changed: made tap{OTHER[:11]}",
    ]
    (link,) = vifplug.namespace.ip_json("link", "show", TAP)
    assert link["master"] == BRIDGE
    assert vifplug("check", "--from", "neutron", name).returncode == 0
    assert vifplug("unplug", "--from", "neutron", name).returncode == 0
    assert differences(before, vifplug.namespace.everything()) == []


def test_standard_input_and_a_pipe_of_several_kinds_of_document(vifplug: Shell) -> None:
    vifplug.namespace.ip("link", "add", BRIDGE, "type", "bridge")
    document = json.dumps([{"port": port(), "network": {"mtu": 1400}}, port(id=OTHER)])
    done = vifplug("xml", "-", "--from", "neutron", input=document)
    assert (done.returncode, done.stderr) == (0, "")
    first, second = etree.fromstring(f"<all>{done.stdout}</all>")
    assert (first.find("mtu").get("size"), second.find("mtu")) == ("1400", None)
    assert first.find("source").get("bridge") == BRIDGE


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.name)
def test_each_systems_vifs_have_an_interface(case: Case, vifplug: Shell) -> None:
    vifs = case.vifs()
    words = ("xml", str(case.path), "--from", case.source)
    done = vifplug(*words)
    if any(vif.vif_type in WITHOUT_A_PLUGIN for vif in vifs):
        assert done.returncode == 2
        assert f"no plugin for vif_type '{vifs[0].vif_type}'" in done.stderr
        return
    needs = [vif for vif in vifs if vif.vif_type == "bridge" and not vif.network.bridge]
    if needs:
        assert done.returncode == 2
        assert f"VIF {needs[0].id}: network.bridge is missing" in done.stderr
        return
    functions = [vif for vif in vifs if vif.details.get("pci_slot")]
    libvirt_finds_it = (("802.1qbh", "direct"), ("hw_veb", "direct"), ("ovs", "remote-managed"))
    functions = [vif for vif in functions if (vif.vif_type, vif.vnic_type) not in libvirt_finds_it]
    if functions:  # of network cards, which this host lacks
        assert done.returncode == 1
        slot = functions[0].details["pci_slot"]
        assert f"VIF {functions[0].id}: PCI {slot} is not there" in done.stderr
        return
    assert done.returncode == 0, done.stderr
    found = etree.fromstring(f"<all>{done.stdout}</all>")
    assert [one.find("mac").get("address") for one in found] == [vif.address for vif in vifs]


BAD = [case for case in CASES if case not in GOOD]


UNBOUND = next(case for case in BAD if case.name == "neutron-unbound")


@pytest.mark.parametrize(
    ("case", "command"),
    [
        *(pytest.param(case, "plug", id=case.name) for case in BAD),
        *(pytest.param(UNBOUND, other, id=other) for other in ("plan", "unplug", "check", "xml")),
    ],
)
def test_what_is_refused_ends_with_2_and_touches_nothing(
    case: Case, command: str, vifplug: Shell
) -> None:
    before = vifplug.namespace.everything()
    done = vifplug(command, str(case.path), "--from", case.source)
    assert (done.returncode, done.stdout) == (2, "")
    assert differences(before, vifplug.namespace.everything()) == []
    assert "Traceback" not in done.stderr and "bug" not in done.stderr
    error = case.expected()["error.txt"].split(": ", 2)[2].strip()
    assert error in done.stderr
    assert all(line.startswith("error: ") for line in done.stderr.splitlines())
    assert str(case.path) in done.stderr


def test_one_bad_port_of_a_list_and_none_is_plugged(vifplug: Shell) -> None:
    bad = port(id=OTHER) | {"binding:vif_type": "binding_failed"}
    done = vifplug("plug", "--from", "neutron", vifplug.file({"ports": [port(), bad, {}]}))
    assert (done.returncode, done.stdout) == (2, "")
    file = vifplug.folder / "vifs.json"
    starts = (f"error: {file}: VIF {OTHER}: ", f"error: VIF {file}.ports[2]: ")
    for line, start in zip(done.stderr.splitlines(), starts, strict=True):
        assert line.startswith(start)
    assert set(vifplug.namespace.everything()["links"]) == {"lo"}


def test_the_bridge_of_a_port_that_names_none_is_the_integration_bridge(vifplug: Shell) -> None:
    older = str(FOLDER / "neutron/older-havana/data.json")
    assert '<source bridge="br-int"/>' in vifplug("xml", older, "--from", "neutron").stdout
    vifplug.configure("vifplug_ovs", integration_bridge="br-vms")
    assert '<source bridge="br-vms"/>' in vifplug("xml", older, "--from", "neutron").stdout
    ours = {"id": ID, "vif_type": "ovs", "address": "fa:16:3e:11:22:33"}
    done = vifplug("xml", vifplug.file(ours))
    assert (done.returncode, done.stdout) == (2, "")
    assert "network.bridge is missing" in done.stderr, "who writes our format says all of it"


def test_another_systems_file_without_from_is_refused(vifplug: Shell) -> None:
    done = vifplug("plan", str(FOLDER / "neutron/bridge/data.json"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "port is" in done.stderr and "no such field" in done.stderr


def row(uuid: str, network_info: object) -> dict[str, object]:
    """Return a row of Nova's table instance_info_caches."""
    return {"instance_uuid": uuid, "network_info": network_info}


def test_each_bad_row_of_a_hosts_dump_is_named(vifplug: Shell) -> None:
    instances = [f"7f2d9c1a-3b5e-4e8f-a1d2-6c9b8e7f5a{at:02}" for at in range(5)]
    good = json.loads((FOLDER / "nova/row-of-the-database/data.json").read_text())
    texts = (None, "", "[{", '{"id":7}', '[{"address": "fa:16:3e:11:22:33"}]')
    rows = [row(uuid, text) for uuid, text in zip(instances, texts, strict=True)]
    name = vifplug.file([good, *rows, None])
    done = vifplug("plug", "--from", "nova", name)
    assert (done.returncode, done.stdout) == (2, "")
    assert [line.split(": ")[1:3] for line in done.stderr.splitlines()] == [
        [f"VIF {name}[3] (instance {instances[2]})", "network_info is '[{'; allowed"],
        [f"VIF {name}[4] (instance {instances[3]})", """network_info is '{"id":7}'; allowed"""],
        [f"VIF {name}[5].network_info[0] (instance {instances[4]})", "vif.id is missing; allowed"],
        [f"VIF {name}[6]", "it is None; allowed"],
    ]
    assert set(vifplug.namespace.everything()["links"]) == {"lo"}


def test_rows_without_a_vif_stop_no_other(vifplug: Shell) -> None:
    good = json.loads((FOLDER / "nova/row-of-the-database/data.json").read_text())
    name = vifplug.file([row(OTHER, None), row(OTHER, ""), good, row(OTHER, "[]")])
    done = vifplug("xml", "--from", "nova", name)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("<interface ") == 1


def test_a_dump_without_any_vif_is_done_with(vifplug: Shell) -> None:
    assert vifplug.json("plug", "--from", "nova", vifplug.file(row(OTHER, None))) == []


@pytest.mark.parametrize(
    ("device", "words"),
    [("web01", "web01"), ("4f" * 32, "4f" * 32), (ID, None), ("web\t01", "web 01")],
)
def test_the_device_of_a_port_of_others_than_nova_is_the_guests_name(
    device: str, words: str | None, vifplug: Shell
) -> None:
    vifplug.configure("vifplug_bridge", create_tap=True, remove_unused=True)
    others = port(device_id=device, device_owner="compute:probe")
    others["binding:vif_details"] = {"port_filter": False}
    name = vifplug.file({"port": others, "network": {"name": "prod\tnet\n"}})
    for command in ("plug", "check", "unplug"):
        done = vifplug(command, "--from", "neutron", name)
        assert (done.returncode, done.stderr) == (0, "")
    done = vifplug("xml", "--from", "neutron", "--firewall", name)
    if words is None or " " in words:  # no part of a filter's name
        found = repr(words) if words else "missing"
        assert done.returncode == 2 and f"instance.name is {found}" in done.stderr
    else:
        assert f'filter="nova-instance-{words}-' in done.stdout
