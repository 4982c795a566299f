# SPDX-License-Identifier: Apache-2.0
"""libvirt's hook with a real libvirtd: guests plug their VIFs, and no hook kills a guest."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.domains.conftest import HOOKS, ID, MAC, OTHER, TAP, Host, vif, wait_for
from vifplug.sources.domain import parse
from vifplug.testing import Guest, LibvirtRefused
from vifplug.testing.shell import COMMAND

SCRIPT = f"/{HOOKS}/qemu.d/50-vifplug"


def script(host: Host) -> Path:
    return host.libvirt.root / SCRIPT.lstrip("/")


def scripts(host: Host) -> list[Path]:
    kinds = ("qemu.d", "network.d", "daemon.d")
    return [host.libvirt.root / HOOKS / kind / "50-vifplug" for kind in kinds]


def test_a_guest_plugs_at_its_start_and_unplugs_at_its_end(host: Host) -> None:
    host.install()
    host.guest("web1", vif())
    before = host.devices()
    host.libvirt.virsh("start", "web1")
    assert host.devices()[TAP]["master"] == "br100"
    host.vifplug("check", "--from", "libvirt", "-", input=host.libvirt.virsh("dumpxml", "web1"))
    host.libvirt.virsh("destroy", "web1")
    assert host.devices() == before == {}


def test_a_guest_that_is_not_ours_never_meets_vifplug(host: Host) -> None:
    host.install()
    script(host).write_text(script(host).read_text().replace(COMMAND, "/nonexistent"))
    host.guest("other")
    host.libvirt.virsh("start", "other")
    assert host.hook(SCRIPT, "other", "migrate", "begin", "-", input="<domain/>").stdout == ""


def test_a_start_is_refused_with_one_sentence_a_vif(host: Host) -> None:
    host.install()
    absent = {"bridge": "br7", "should_create_bridge": False}
    second = vif(OTHER, "fa:16:3e:44:55:66", network={"bridge": "br8", **absent})
    host.guest("web1", vif(network=absent), second)
    with pytest.raises(LibvirtRefused) as refused:
        host.libvirt.virsh("start", "web1")
    for vif_id, bridge in ((ID, "br7"), (OTHER, "br7")):
        (line,) = [line for line in str(refused.value).splitlines() if f"VIF {vif_id}" in line]
        assert f"{bridge} " in line
    assert host.libvirt.virsh("domstate", "web1").strip() == "shut off"
    assert host.devices() == {}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (f"dev='{TAP}'", "dev='mytap'", "web1 has target dev mytap, not"),
        ("{&quot;vif", "vif", "metadata is"),
        ('{"vif', "vif", "metadata is"),
        (":domain:1", ":domain:2", "version of the metadata is '2'"),
        (f"ua-{ID}", f"ua-{OTHER}", f"VIF {OTHER}: web1 has no such VIF in its metadata"),
    ],
    ids=["target", "json-quoted", "json", "version", "alias"],
)
def test_a_domain_whose_parts_differ_is_refused(old: str, new: str, words: str, host: Host) -> None:
    host.install()
    host.guest("web1", vif())
    text = host.libvirt.virsh("dumpxml", "--inactive", "web1")
    if old not in text:
        return  # libvirt writes quotes in one way
    host.libvirt.virsh("define", "/dev/stdin", input=text.replace(old, new))
    with pytest.raises(LibvirtRefused) as refused:
        host.libvirt.virsh("start", "web1")
    assert words in str(refused.value)
    assert host.devices() == {}


def test_a_copy_of_a_guest_does_not_take_its_vif(host: Host) -> None:
    host.install()
    first = host.guest("web1", vif())
    host.libvirt.virsh("start", "web1")
    text = host.libvirt.virsh("dumpxml", "--inactive", "web1")
    uuid = parse(text).uuid
    copy = text.replace("<name>web1<", "<name>copy<").replace(f"  <uuid>{uuid}</uuid>\n", "")
    host.libvirt.virsh("define", "/dev/stdin", input=copy)
    with pytest.raises(LibvirtRefused, match=f"VIF {ID}: {TAP} is in use by another guest"):
        host.libvirt.virsh("start", "copy")
    assert first.pid
    assert host.devices()[TAP]["master"] == "br100"


def broken_python(host: Host, folder: Path) -> None:
    """Have the script call a vifplug whose Python does not know vifplug."""
    fake = folder / "vifplug"
    fake.write_text(f"#!{sys.executable} -IS\nfrom vifplug.cli import main\nmain()\n")
    fake.chmod(0o755)
    _call(host, fake)


def python_gone(host: Host, folder: Path) -> None:
    fake = folder / "vifplug"
    fake.write_text("#!/nonexistent/bin/python\n")
    fake.chmod(0o755)
    _call(host, fake)


def venv_gone(host: Host, folder: Path) -> None:
    _call(host, folder / "nonexistent/vifplug")


def hangs(host: Host, folder: Path) -> None:
    fake = folder / "vifplug"
    fake.write_text("#!/bin/sh\nsleep 1000\n")
    fake.chmod(0o755)
    _call(host, fake)
    for path in scripts(host):
        path.write_text(path.read_text().replace("DEADLINE=60", "DEADLINE=2"))


def not_executable(host: Host, folder: Path) -> None:
    script(host).chmod(0o644)


def no_space(host: Host, folder: Path) -> None:
    host.libvirt.run("mkdir", "-p", "/run/vifplug")
    host.libvirt.run("mount", "-t", "tmpfs", "-o", "size=4k,nr_inodes=1", "tmpfs", "/run/vifplug")


def bad_option(host: Host, folder: Path) -> None:
    host.configure("vifplug", timeout="nonsense")


def _call(host: Host, command: Path) -> None:
    for path in scripts(host):
        path.write_text(path.read_text().replace(COMMAND, str(command)))


BROKEN = {
    broken_python: "can't be run: ",
    python_gone: "can't be run: ",
    venv_gone: "can't be run: ",
    hangs: "no end of prepare for web1 within 2 s",
    no_space: "",
    bad_option: "nonsense",
    not_executable: "",
}
"""Ways to spoil vifplug, and how a guest's start is refused then, if it is.

Without space the release unplugs nothing, so the next start finds the VIF plugged.
"""

_MARKS = """#!/bin/sh
echo "$2" >>/run/operations
"""


def test_no_hook_kills_a_guest_and_each_refuses_a_start_in_one_sentence(
    host: Host, tmp_path: Path
) -> None:
    host.guest("web1", vif())
    for spoil, words in BROKEN.items():
        host.install()
        # It runs after ours, whatever becomes of ours.
        marks = script(host).with_name("60-marks")
        marks.write_text(_MARKS)
        marks.chmod(0o755)
        host.libvirt.virsh("start", "web1")
        pid = Guest(host.libvirt, "web1").pid
        spoil(host, tmp_path)
        try:
            (host.libvirt.root / "run/operations").unlink()
            host.libvirt.restart()
            saw(host, "reconnect")
            assert host.libvirt.virsh("domstate", "web1").strip() == "running", spoil.__name__
            assert Guest(host.libvirt, "web1").pid == pid
            host.libvirt.virsh("destroy", "web1")
            saw(host, "release")
            if words:
                with pytest.raises(LibvirtRefused) as refused:
                    host.libvirt.virsh("start", "web1")
                    pytest.fail(spoil.__name__)
                _, _, said = str(refused.value).partition("exit status 1: ")
                assert words in said
                assert len(said.splitlines()) == 1, said
        finally:
            host.libvirt.run("umount", "/run/vifplug", check=False)
            host.configure("vifplug", timeout=30)


def saw(host: Host, operation: str) -> None:
    """Wait until libvirt has called the hooks for an operation."""
    path = host.libvirt.root / "run/operations"
    deadline = time.monotonic() + 90
    while not path.exists() or operation not in path.read_text().split():
        assert time.monotonic() < deadline, operation
        time.sleep(0.1)


def test_the_journal_hears_what_libvirt_drops(
    host: Host, journal: socket.socket, tmp_path: Path
) -> None:
    host.install()
    host.guest("web1", vif())
    text = host.libvirt.virsh("dumpxml", "web1")
    host.hook(SCRIPT, "web1", "dance", "begin", "-", input=text)
    assert "dance of web1" in wait_for(journal, "unknown operation")
    host.hook(SCRIPT, "web1", "reconnect", "begin", "-", input="<domain>urn:vifplug:domain:1")
    assert "reconnect of web1: domain is broken" in wait_for(journal, "broken")
    python_gone(host, tmp_path)
    host.hook(SCRIPT, "web1", "release", "end", "-", input=text)
    assert "can't be run" in wait_for(journal, "release of web1")


def test_a_restart_of_libvirtd_repairs_what_others_changed(host: Host) -> None:
    host.install()
    host.guest("web1", vif())
    host.libvirt.virsh("start", "web1")
    host.net.ip("link", "set", TAP, "nomaster")
    host.libvirt.restart()
    deadline = time.monotonic() + 60
    while host.devices()[TAP].get("master") != "br100":
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_after_a_power_cut_all_guests_come_up_plugged(host: Host, journal: socket.socket) -> None:
    host.install()
    address = "fa:16:3e:44:55:66"
    for name, one in (("web1", vif()), ("web2", vif(OTHER, address))):
        host.guest(name, one)
        host.libvirt.virsh("autostart", name)
    assert host.devices() == {}
    host.libvirt.run("rm", "-rf", "/run/vifplug", "/run/libvirt/qemu/autostarted")
    host.libvirt.restart()
    for vif_id in (ID, OTHER):
        line = wait_for(journal, f"VIF {vif_id}: changed by libvirt's hook")
        assert "libvirt's start" in line
    deadline = time.monotonic() + 60
    while len(host.libvirt.virsh("list", "--name").split()) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    found = host.devices()
    assert found[TAP]["master"] == found["tap1c7bae1f-8b"]["master"] == "br100"

    host.libvirt.virsh("destroy", "web1")
    host.libvirt.restart()
    assert TAP not in host.devices(), "libvirt starts it no more, so it needs no VIF"


def test_a_saved_guest_comes_back_as_this_host_is_now(host: Host) -> None:
    host.install()
    guest = host.guest("web1", vif())
    host.libvirt.virsh("start", "web1")
    host.libvirt.virsh("managedsave", "web1")
    assert host.devices() == {}
    host.configure("vifplug_bridge", create_tap="false")
    host.libvirt.virsh("start", "web1")
    (nic,) = parse(guest.domain_xml()).interfaces()
    assert (nic.attributes["type"], nic.value("source", "bridge")) == ("bridge", "br100")
    assert host.devices()[TAP]["master"] == "br100"


@pytest.mark.parametrize("operation", ["migrate", "restore"])
def test_a_domain_that_comes_has_this_hosts_interface_and_nothing_else_is_printed(
    operation: str, host: Host
) -> None:
    host.install()
    host.guest("web1", vif())
    text = host.libvirt.virsh("dumpxml", "--inactive", "web1")
    assert host.hook(SCRIPT, "web1", operation, "begin", "-", input=text).stdout == ""
    host.configure("vifplug_bridge", create_tap="false")
    done = host.hook(SCRIPT, "web1", operation, "begin", "-", input=text)
    (nic,) = parse(done.stdout).interfaces()
    assert nic.attributes["type"] == "bridge"
    bad = text.replace('{"vif_type"', '{"vif')
    done = host.hook(SCRIPT, "web1", operation, "begin", "-", input=bad, status=1)
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert f"VIF {ID}" in done.stderr


def test_many_guests_at_once(host: Host) -> None:
    host.install()
    guests = {
        f"g{n}": vif(f"{n:08x}-7a3c-4a6e-9d55-3f1f0a3c2b11", f"fa:16:3e:00:00:{n:02x}")
        for n in range(1, 21)
    }
    host.guest("g0", *guests.values())
    text = host.libvirt.virsh("dumpxml", "g0")
    host.libvirt.virsh("undefine", "g0")
    nics = text[text.index("<interface") : text.rindex("</interface>")].split("</interface>")
    texts = {}
    for (name, one), nic in zip(guests.items(), nics, strict=True):
        entry = json.dumps({k: v for k, v in one.items() if k not in ("id", "address")})
        body = f"<metadata><v:vifs xmlns:v='urn:vifplug:domain:1'><v:vif id='{one['id']}'>{entry}"
        texts[name] = (
            f"<domain type='qemu'><name>{name}</name>{body}</v:vif></v:vifs></metadata>"
            f"<devices>{nic}</interface></devices></domain>"
        )
    host.configure("vifplug", timeout=300)
    script(host).write_text(script(host).read_text().replace("DEADLINE=60", "DEADLINE=600"))
    with ThreadPoolExecutor(20) as pool:
        for operation, some in (("prepare", 20), ("release", 5)):
            calls = [pool.submit(host.hook, SCRIPT, name, operation, "begin", "-", input=text)
                     for name, text in [*texts.items()][:some]]  # fmt: skip
            for call in calls:
                call.result()
            taps = [name for name in host.devices() if name.startswith("tap")]
            assert len(taps) == (20 if operation == "prepare" else 15)


def test_more_than_a_megabyte_of_xml(host: Host) -> None:
    host.install()
    host.guest("web1", vif())
    text = host.libvirt.virsh("dumpxml", "web1")
    large = text.replace("<memory ", f"<description>{'x' * (3 << 19)}</description><memory ", 1)
    host.hook(SCRIPT, "web1", "prepare", "begin", "-", input=large)
    assert TAP in host.devices()
    host.hook(SCRIPT, "web1", "release", "end", "-", input=large)
    assert host.devices() == {}
    host.hook(SCRIPT, "other", "prepare", "begin", "-", input=f"<domain>{'x' * (3 << 19)}</domain>")


def test_by_hand_on_a_terminal_it_says_how(host: Host) -> None:
    host.install()
    done = host.libvirt.run("script", "-qec", f"{SCRIPT} web1 reconnect begin -", "/dev/null",
                            check=False)  # fmt: skip
    assert done.returncode == 2
    assert "virsh dumpxml GUEST |" in done.stdout
    done = host.libvirt.run("script", "-qec", f"{COMMAND} libvirt-hook web1 prepare", "/dev/null",
                            check=False)  # fmt: skip
    assert done.returncode == 2
    assert "virsh dumpxml GUEST |" in done.stdout


def test_doctor_says_what_to_mend(host: Host, tmp_path: Path) -> None:
    def checks() -> list[tuple[bool, str, str]]:
        done = host.libvirt.run(COMMAND, "--config-file", str(host.config), "doctor", "-f", "json",
                                check=False, timeout=120)  # fmt: skip
        found = json.loads(done.stdout)
        hooks = [each for each in found if each["check"] == "libvirt hook"]
        return [(each["ok"], each["detail"], each["mend"]) for each in hooks]

    assert checks() == []
    host.vifplug("libvirt-hook", "--install")
    ((ok, _, mend),) = checks()
    assert (ok, mend) == (False, "systemctl reload libvirtd (or virtqemud and virtnetworkd)")
    host.libvirt.reload()
    host.guest("other")
    host.libvirt.virsh("start", "other")
    assert checks() == [(True, f"{SCRIPT} and network.d, daemon.d", "")]

    not_executable(host, tmp_path)
    assert (False, f"chmod +x {SCRIPT}") == (checks()[0][0], checks()[0][2])
    host.vifplug("libvirt-hook", "--install")
    python_gone(host, tmp_path)
    assert "needs /nonexistent/bin/python, which is missing" in checks()[0][1]
    done = host.vifplug("libvirt-hook", "--uninstall")
    assert done.stdout.splitlines()[0] == f"{SCRIPT}  removed"
    assert checks() == []


def test_install_into_another_root_and_twice(host: Host, tmp_path: Path) -> None:
    words = ("libvirt-hook", "--install", "--root", str(tmp_path / "root"))
    first, second = host.vifplug(*words), host.vifplug(*words)
    path = tmp_path / "root" / HOOKS / "qemu.d/50-vifplug"
    assert f"{path}  written" in first.stdout
    assert "systemctl reload libvirtd" in first.stdout
    assert f"{path}  unchanged" in second.stdout
    assert f"--config-file {host.config}" in path.read_text()
    assert MAC not in path.read_text()
    subprocess.run(["sh", "-n", str(path)], check=True)
