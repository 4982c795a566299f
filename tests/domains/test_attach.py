# SPDX-License-Identifier: Apache-2.0
"""attach and detach: a running guest gets a VIF and lets go of it, or all is as it was."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.domains.conftest import ID, MAC, OTHER, TAP, Host, vif
from vifplug.sources.domain import parse
from vifplug.testing import Guest

PORTS = "\n".join(f"<controller type='pci' model='pcie-root-port' index='{n}'/>"
                  for n in range(1, 5))  # fmt: skip
# Of this version, QEMU asks no one before it takes a device from a slot that no guest has powered.
MACHINE = "pc-q35-6.0"
THEIRS = "fa:16:3e:44:55:66"


@pytest.fixture
def guest(host: Host) -> Iterator[Guest]:
    """A guest that runs, and does nothing, with a NIC of its own from the start."""
    guest = host.libvirt.define_guest(
        f"<controller type='pci' model='pcie-root'/>{PORTS}", name="web1", machine=MACHINE
    )
    host.vifplug("define", "web1", host.file(vif(OTHER, THEIRS)))
    host.vifplug("plug", host.file(vif(OTHER, THEIRS)))
    host.libvirt.virsh("start", "web1")
    yield guest


def everything(host: Host) -> tuple[object, ...]:
    both = [host.libvirt.virsh("dumpxml", *words, "web1") for words in ((), ("--inactive",))]
    return (*both, sorted(host.devices()))


def test_attach_hands_a_vif_to_both_domains_and_detach_takes_it_from_both(
    host: Host, guest: Guest
) -> None:
    before = everything(host)
    name = host.file(vif())
    assert ID in host.vifplug("attach", "web1", name).stdout
    for words in ((), ("--inactive",)):
        domain = parse(host.libvirt.virsh("dumpxml", *words, "web1"))
        nics = {nic.value("alias", "name"): nic for nic in domain.interfaces()}
        assert nics[f"ua-{ID}"].value("target", "dev") == TAP
    assert host.devices()[TAP]["master"] == "br100"
    host.vifplug("check", "--from", "libvirt", "-", input=guest.domain_xml())
    found = json.loads(host.vifplug("export", "--guest", "web1").stdout)
    assert {each["id"] for each in found} == {ID, OTHER}
    assert "unchanged" in host.vifplug("attach", "web1", name).stdout

    done = host.vifplug("detach", "web1", ID[:4])
    assert done.stdout.startswith(f"{ID}  bridge  changed: removed {TAP}")
    assert everything(host) == before
    assert "it has none" not in host.vifplug("detach", "web1", ID, status=2).stderr


def test_an_attach_that_libvirt_refuses_leaves_nothing(host: Host, guest: Guest) -> None:
    # The slots are few: libvirt refuses the NIC that finds none.
    ids = [f"{number:08x}-7a3c-4a6e-9d55-3f1f0a3c2b11" for number in range(1, 6)]
    vifs = [vif(each, f"fa:16:3e:00:00:{place:02x}") for place, each in enumerate(ids)]
    done = host.vifplug("attach", "web1", host.file(*vifs), status=1)
    attached = [each for each in ids if each in done.stdout]
    refused = vifs[len(attached)]
    assert len(attached) >= 2
    before = everything(host)
    done = host.vifplug("attach", "web1", host.file(refused), status=1)
    (line,) = done.stderr.splitlines()
    assert refused["id"] in line and "attach to web1: libvirt at" in line
    assert everything(host) == before
    host.vifplug("detach", "web1", *attached)
    assert sorted(host.devices()) == ["br100", "tap1c7bae1f-8b"]


def test_a_guest_that_does_not_let_go_keeps_its_vif(host: Host, guest: Guest) -> None:
    before = everything(host)
    done = host.vifplug("detach", "web1", OTHER, "--timeout", "8", status=1)
    assert done.stderr == f"error: VIF {OTHER}: web1 does not let go; still plugged\n"
    after = everything(host)
    assert after[1:] == before[1:]
    assert f"ua-{OTHER}" in str(after[0])
    host.libvirt.virsh("destroy", "web1")
    host.vifplug("detach", "web1", OTHER)
    assert OTHER not in host.libvirt.virsh("dumpxml", "web1")
    assert host.devices() == {}


def test_a_guest_that_is_off(host: Host) -> None:
    host.guest("web1")
    before = host.libvirt.virsh("dumpxml", "web1")
    host.vifplug("attach", "web1", host.file(vif()))
    assert TAP in host.devices()
    host.libvirt.virsh("start", "web1")
    host.libvirt.virsh("destroy", "web1")
    assert "changed" in host.vifplug("detach", "web1", ID).stdout
    assert host.libvirt.virsh("dumpxml", "web1").count("<interface") == 0 == before.count("<interf")
    assert host.devices() == {}


def test_bad_input_is_one_line_and_changes_nothing(host: Host) -> None:
    host.guest("web1", vif())
    host.guest("db1")
    before = [host.libvirt.virsh("dumpxml", name) for name in ("web1", "db1")]
    name = host.file(vif())
    for words, status, said in (
        (("attach", "db1", name), 2, f"VIF {ID}: id is '{ID}'; allowed: a VIF of no other guest"),
        (("attach", "nobody", name), 1, "no guest 'nobody': known: db1, web1"),
        (("attach", "db1", host.file(vif(address="x"), name="bad.json")), 2, "address is 'x'"),
        (("detach", "db1", ID), 2, "allowed: the start of one of db1's VIFs: it has none"),
        (("detach", "web1", "0b6"), 2, f"allowed: the start of one of web1's VIFs: {ID}"),
        (("detach", "nobody", ID), 1, "no guest 'nobody'"),
    ):
        done = host.vifplug(*words, status=status)
        assert said in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    assert [host.libvirt.virsh("dumpxml", name) for name in ("web1", "db1")] == before
    assert host.devices() == {}
    assert MAC
