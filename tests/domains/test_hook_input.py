# SPDX-License-Identifier: Apache-2.0
"""Domains that libvirt's hook must refuse, or understand: metadata and <interface> don't match."""

from __future__ import annotations

import re

import pytest

from tests.domains.conftest import HOOKS, ID, MAC, OTHER, TAP, Host, vif
from vifplug.testing import LibvirtRefused

SCRIPT = f"/{HOOKS}/qemu.d/50-vifplug"
SECOND = "fa:16:3e:44:55:66"
ALIAS = re.compile(r"\s*<alias name='ua-[^']*'/>")
ENTRY = re.compile(r"<vifplug:vif id=.*</vifplug:vif>")
NIC = re.compile(r"<interface .*?</interface>", re.DOTALL)
METADATA = re.compile(r"<metadata>.*</metadata>", re.DOTALL)


@pytest.fixture
def text(host: Host) -> str:
    """The XML of a guest with one VIF, on a host with the hook."""
    host.install()
    host.guest("web1", vif())
    return host.libvirt.virsh("dumpxml", "--inactive", "web1")


def refusal(host: Host, text: str) -> str:
    """Return the one sentence with which the hook refuses a start; nothing is plugged then."""
    done = host.hook(SCRIPT, "web1", "prepare", "begin", "-", input=text, status=1)
    (line,) = done.stderr.splitlines()
    assert TAP not in host.devices()
    return line


def test_a_vif_id_twice_in_one_domain(host: Host, text: str) -> None:
    (entry,) = ENTRY.findall(text)
    said = refusal(host, text.replace(entry, f"{entry}\n{entry}"))
    assert f"VIF {ID}: id is '{ID}'; allowed: one VIF of an id in a domain" in said
    # In upper case it is the same.
    upper = entry.replace(ID, ID.upper())
    assert "one VIF of an id in a domain" in refusal(host, text.replace(entry, entry + upper))


def test_metadata_without_an_alias_finds_the_only_nic_of_its_address(host: Host, text: str) -> None:
    bare = ALIAS.sub("", text)
    assert f"ua-{ID}" not in bare
    host.hook(SCRIPT, "web1", "prepare", "begin", "-", input=bare)
    assert host.devices()[TAP]["master"] == "br100"
    host.hook(SCRIPT, "web1", "release", "end", "-", input=bare)
    assert host.devices() == {}

    (nic,) = NIC.findall(bare)
    for wrong in (nic + nic, "", nic.replace(MAC, SECOND)):
        said = refusal(host, bare.replace(nic, wrong))
        assert f"VIF {ID}: its <interface> is missing; allowed: the alias ua-{ID}" in said


def test_an_alias_without_metadata(host: Host, text: str) -> None:
    (entry,) = ENTRY.findall(text)
    said = refusal(host, text.replace(entry, ""))
    assert f"VIF {ID}: web1 has no such VIF in its metadata" in said
    other = entry.replace(ID, OTHER).replace(MAC, SECOND)
    done = host.hook(
        SCRIPT, "web1", "prepare", "begin", "-", input=text.replace(entry, other), status=1
    )
    assert [f"VIF {each}" in done.stderr for each in (ID, OTHER)] == [True, True]
    # Without any metadata of ours a guest is none of ours: then libvirt misses the tap.
    gone = METADATA.sub("", text)
    host.hook(SCRIPT, "web1", "prepare", "begin", "-", input=gone)
    assert host.devices() == {}
    host.libvirt.virsh("define", "/dev/stdin", input=gone)
    with pytest.raises(LibvirtRefused, match="target managed='no'"):
        host.libvirt.virsh("start", "web1")
