# SPDX-License-Identifier: Apache-2.0
"""define, export, xml --into and --from libvirt, with the domains of a real libvirtd."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.domains.conftest import ID, MAC, OTHER, TAP, Host, vif
from vifplug.sources.domain import parse

HAND_MADE = """
    <interface type='bridge'>
      <mac address='fa:16:3e:44:55:66'/>
      <source bridge='br0'/>
      <model type='e1000'/>
      <rom bar='on'/>
    </interface>"""


def test_define_writes_both_parts_and_a_second_time_changes_nothing(host: Host) -> None:
    host.libvirt.define_guest(HAND_MADE, name="web1")
    name = host.file(vif())
    done = host.vifplug("define", "web1", name)
    assert (done.stdout, done.stderr) == (f"{ID}  bridge  changed\n", "")
    text = host.libvirt.virsh("dumpxml", "--inactive", "web1")
    theirs, ours = parse(text).interfaces()
    assert theirs.value("alias", "name") is None
    assert (ours.value("alias", "name"), ours.value("target", "dev")) == (f"ua-{ID}", TAP)
    assert f'<vifplug:vif id="{ID}" address="{MAC}">{{"vif_type": "bridge"' in text
    assert host.vifplug("define", "web1", name).stdout == f"{ID}  bridge  unchanged\n"
    assert host.libvirt.virsh("dumpxml", "--inactive", "web1") == text
    found = json.loads(host.vifplug("export", "--guest", "web1").stdout)
    uuid = host.libvirt.virsh("domuuid", "web1").strip()
    assert found == [vif(instance={"uuid": uuid, "name": "web1"})]


def test_define_follows_this_hosts_configuration_and_the_file(host: Host) -> None:
    host.guest("web1", vif(network={"mtu": 1400}))
    host.configure("vifplug_bridge", create_tap="false")
    assert "changed" in host.vifplug("define", "web1").stdout
    (nic,) = parse(host.libvirt.virsh("dumpxml", "--inactive", "web1")).interfaces()
    assert (nic.attributes["type"], nic.value("source", "bridge")) == ("bridge", "br100")
    host.vifplug("define", "web1", host.file(vif(address="fa:16:3e:99:99:99", model="e1000")))
    (nic,) = parse(host.libvirt.virsh("dumpxml", "--inactive", "web1")).interfaces()
    assert (nic.value("mac", "address"), nic.value("model", "type"), nic.find("mtu")) == (
        "fa:16:3e:99:99:99", "e1000", None,
    )  # fmt: skip


def test_define_of_a_running_guest_is_for_its_next_start(host: Host) -> None:
    guest = host.guest("web1")
    host.libvirt.virsh("start", "web1")
    done = host.vifplug("define", "web1", host.file(vif()))
    assert "web1 runs: its next start takes what is defined" in done.stderr
    assert list(parse(guest.domain_xml()).interfaces()) == []
    assert ID in host.libvirt.virsh("dumpxml", "--inactive", "web1")


def test_define_refuses_in_one_line(host: Host) -> None:
    host.guest("web1", vif())
    host.guest("db1")
    name = host.file(vif())
    done = host.vifplug("define", "db1", name, status=2)
    assert done.stderr == (
        f"error: {name}: VIF {ID}: id is '{ID}'; allowed: a VIF of no other guest: 'web1' has it\n"
    )
    done = host.vifplug("define", "nobody", name, status=1)
    assert done.stderr == "error: no guest 'nobody': known: db1, web1\n"
    host.vifplug("define", "db1", host.file({**vif(), "id": "x"}), status=2)
    assert ID not in host.libvirt.virsh("dumpxml", "db1")
    host.configure("vifplug", libvirt_uri="qemu+unix:///system?socket=/nonexistent")
    done = host.vifplug("define", "db1", name, status=1)
    assert done.stderr.startswith("error: connect: libvirt at qemu+unix:///system?socket")
    assert len(done.stderr.splitlines()) == 1


def test_metadata_of_another_version_is_left_alone(host: Host) -> None:
    host.guest("web1")
    text = host.libvirt.virsh("dumpxml", "web1").replace(
        "<memory", "<metadata><v:vifs xmlns:v='urn:vifplug:domain:2'/></metadata><memory", 1
    )
    host.libvirt.virsh("define", "/dev/stdin", input=text)
    done = host.vifplug("define", "web1", host.file(vif()), status=2)
    assert done.stderr == "error: version of the metadata is '2'; allowed: 1\n"
    assert "error: version of the metadata" in host.vifplug("export", status=1).stderr


def test_a_hand_made_guest_that_runs_is_adopted_and_then_defined(host: Host) -> None:
    host.net.ip("link", "add", "br0", "up", "type", "bridge")
    guest = host.libvirt.define_guest(HAND_MADE, name="old")
    host.libvirt.virsh("start", "old")
    (nic,) = parse(guest.domain_xml()).interfaces()
    tap = nic.value("target", "dev")
    assert tap and tap.startswith("vnet")
    host.vifplug("export", "-o", str(host.folder / "vifs"))
    name = host.folder / "vifs/old.json"
    (found,) = json.loads(name.read_text())
    assert (found["devname"], found["network"], found["model"]) == (tap, {"bridge": "br0"}, "e1000")

    host.configure("vifplug_bridge", create_tap="false")
    domain = host.folder / "old.xml"
    domain.write_text(guest.domain_xml())
    for words in ([str(name)], ["--from", "libvirt", str(domain)]):
        host.vifplug("plug", *words)
        host.vifplug("check", *words)
    assert host.devices()[tap]["master"] == "br0"
    host.net.ip("link", "set", tap, "nomaster")
    assert f"{tap} needs master br0" in host.vifplug("check", str(name), status=3).stdout

    host.vifplug("define", "old")
    text = host.libvirt.virsh("dumpxml", "--inactive", "old")
    (nic,) = parse(text).interfaces()
    assert nic.value("target", "dev") == f"tap{found['id'][:11]}"
    assert nic.value("rom", "bar") == "on"
    host.libvirt.virsh("destroy", "old")
    host.libvirt.virsh("start", "old")
    host.vifplug("check", "--from", "libvirt", "-", input=guest.domain_xml())


def test_xml_into_keeps_each_byte_that_no_plugin_decides(host: Host, tmp_path: Path) -> None:
    host.guest("web1", vif())
    text = host.libvirt.virsh("dumpxml", "--inactive", "web1")
    path = tmp_path / "web1.xml"
    path.write_text(text)
    assert host.vifplug("xml", "--into", str(path)).stdout == text
    assert host.vifplug("xml", "--into", "-", host.file(vif()), input=text).stdout == text
    host.configure("vifplug_bridge", create_tap="false")
    fresh = host.vifplug("xml", "--into", str(path), host.file(vif())).stdout
    changed = [line for line in fresh.splitlines() if line not in text.splitlines()]
    assert changed[:2] == ["    <interface type='bridge'>", f'      <target dev="{TAP}"/>']
    assert changed[2:] == ['      <source bridge="br100"/>']
    host.libvirt.virsh("define", "--validate", "/dev/stdin", input=fresh)
    done = host.vifplug("xml", "--into", str(path), host.file(vif(OTHER, "fa:16:3e:44:55:66")),
                        status=2)  # fmt: skip
    assert done.stdout == ""
    assert f"VIF {OTHER}: its <interface> in web1 is missing" in done.stderr
    for words in (["--into", "/nonexistent"], ["--into", "-", "-"], []):
        assert len(host.vifplug("xml", *words, status=2, input="").stderr.splitlines()) == 1


@pytest.mark.parametrize("text", ["", "{}", "<network/>", "<!DOCTYPE a><domain/>"])
def test_what_is_no_domain_is_one_line(text: str, host: Host) -> None:
    for words in (["plan", "--from", "libvirt", "-"], ["xml", "--into", "-"]):
        done = host.vifplug(*words, status=2, input=text)
        assert len(done.stderr.splitlines()) == 1
        assert "a libvirt domain, as virsh dumpxml prints it" in done.stderr
