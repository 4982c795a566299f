# SPDX-License-Identifier: Apache-2.0
"""What ``vifplug doctor`` finds on a host, each with the remedy that fits."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import ID, Shell, vif
from tests.silent import silent
from tests.users import NOBODY, user_of
from vifplug.testing import NetworkNamespace, OpenVSwitch
from vifplug.testing.namespace import CommandFailed
from vifplug.testing.shell import COMMAND

Found = dict[str, Any]


def checks(text: str, name: str) -> list[Found]:
    """Return what doctor says under a name, from its JSON."""
    return [each for each in json.loads(text) if each["check"] == name]


@pytest.fixture
def said(vifplug: Shell) -> Callable[[str], Found]:
    """Return a function: the one thing that doctor says under a name."""

    def run(name: str) -> Found:
        (found,) = checks(vifplug("doctor", "-f", "json").stdout, name)
        return found

    return run


def without_binding(vifplug: Shell, folder: Path) -> None:
    """Have libvirt-python not installed, as after README's pip install."""
    (folder / "libvirt.py").write_text("raise ImportError(\"No module named 'libvirt'\")")
    vifplug.environment["PYTHONPATH"] = str(folder)
    del vifplug.options["vifplug"]["libvirt_version"], vifplug.options["vifplug"]["virt_type"]


def test_a_host_as_after_the_readmes_install_is_well(vifplug: Shell, tmp_path: Path) -> None:
    without_binding(vifplug, tmp_path)
    done = vifplug("doctor")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "MEND" not in done.stdout
    assert "note  libvirt             libvirt-python is not installed" in done.stdout
    assert "mend: pip install 'vifplug[libvirt]'" in done.stdout
    assert "vif_types           bridge, tap\n" in done.stdout


def test_libvirt_python_is_missed_where_libvirtd_runs(vifplug: Shell, tmp_path: Path) -> None:
    without_binding(vifplug, tmp_path)
    vifplug("plugins")  # which writes the configuration
    script = f"""
        mount -t tmpfs run /run
        mkdir /run/libvirt
        touch /run/libvirt/libvirt-sock-ro
        {COMMAND} --config-file {tmp_path}/vifplug.conf doctor -f json
    """
    words = ("unshare", "--mount", "--propagation", "private", "env", f"PYTHONPATH={tmp_path}")
    done = vifplug.namespace.run(*words, "sh", "-c", script, check=False)
    (found,) = checks(done.stdout, "libvirt")
    assert not found["ok"]
    assert found["mend"].startswith("pip install 'vifplug[libvirt]'")


def test_a_libvirtd_that_is_silent(vifplug: Shell, tmp_path: Path) -> None:
    del vifplug.options["vifplug"]["libvirt_version"]
    with silent(tmp_path) as hung:
        vifplug.configure("vifplug", libvirt_uri=f"qemu:///system?socket={hung.path}")
        (found,) = checks(vifplug("doctor", "--timeout", "1", "-f", "json").stdout, "libvirt")
    assert not found["ok"]
    assert found["detail"].startswith("no answer from qemu:///system")
    assert "does not answer" in found["mend"]


def test_an_ordinary_user_is_told_what_it_may_not_see(
    namespace: NetworkNamespace, tmp_path: Path
) -> None:
    with OpenVSwitch(namespace) as ovs:
        ovs.rundir.chmod(0o755)
        os.chown(ovs.socket, 0, NOBODY)
        ovs.socket.chmod(0o600)
        closed = tmp_path / "libvirt-sock"
        more = (f"libvirt_uri = qemu:///system?socket={closed}", "[vifplug_ovs]",
                f"ovsdb_connection = {ovs.endpoint}")  # fmt: skip
        user = user_of("vifplug_bridge", "sudo", namespace, tmp_path, vif(), *more)
        conf = tmp_path / "conf"
        conf.write_text(conf.read_text().replace("libvirt_version = 9.0.0\n", ""))
        with silent(tmp_path) as hung:
            hung.path.rename(closed)
            closed.chmod(0o600)
            with pytest.raises(CommandFailed) as error:
                user.vifplug("doctor", "-f", "json")
            closed.rename(hung.path)
    text = error.value.output
    (found,) = checks(text, "OVSDB")
    assert "Permission denied" in found["detail"]
    assert found["mend"] == "run it as root, or add this user to the group nogroup"
    (found,) = checks(text, "libvirt")
    assert not found["ok"]
    assert found["mend"].startswith("run it as root, or add this user to the group libvirt")
    (found,) = checks(text, "bridged packets")
    assert found["ok"]
    assert "not looked at to the end: nftables (only root may look)" in found["detail"]


def test_the_locks_folder(vifplug: Shell, said: Callable[[str], Found], tmp_path: Path) -> None:
    vifplug.configure("vifplug", lock_path="/dev/shm/vifplug-doctor")
    found = said("locks")
    assert (found["ok"], found["detail"]) == (True, "/dev/shm/vifplug-doctor, on tmpfs")
    (tmp_path / "file").touch()
    vifplug.configure("vifplug", lock_path=tmp_path / "file/vifplug")
    found = said("locks")
    assert not found["ok"] and "lock_path" in found["mend"]
    vifplug.configure("vifplug", lock_path=tmp_path / "locks")
    found = said("locks")
    assert found["ok"], "locks work on every file system of the host's own"
    assert ("tmpfs" in found["mend"]) == ("not on a tmpfs" in found["detail"])


def test_claims_that_are_elsewhere_or_unsound(
    vifplug: Shell, said: Callable[[str], Found], tmp_path: Path
) -> None:
    assert vifplug("plug", vifplug.file(vif())).returncode == 0
    assert said("claims")["ok"]
    vifplug.configure("vifplug", lock_path=tmp_path / "another")
    found = said("claims")
    assert not found["ok"]
    assert found["detail"].startswith("br100 is claimed, but ")
    assert found["mend"].startswith(f"share {tmp_path / 'another'}")
    vifplug.configure("vifplug", lock_path=tmp_path / "locks")
    (claim,) = (path for path in (tmp_path / "locks").rglob(ID) if "notes" not in path.parts)
    claim.parent.chmod(0o777)
    found = said("claims")
    assert (found["ok"], found["detail"]) == (False, f"{claim.parent}: other users may write there")
    claim.parent.chmod(0o755)
    claim.write_text("{}")
    found = said("claims")
    assert (found["ok"], found["detail"]) == (False, f"{claim}: no claims can be read from it")


def test_sysctls_that_are_read_only(vifplug: Shell, tmp_path: Path) -> None:
    assert vifplug("doctor").returncode == 0
    script = f"""
        mount --bind /proc/sys /proc/sys
        mount -o remount,bind,ro /proc/sys
        {COMMAND} --config-file {tmp_path}/vifplug.conf doctor -f json
    """
    words = ("unshare", "--mount", "--propagation", "private", "sh", "-ec", script)
    (found,) = checks(vifplug.namespace.run(*words, check=False).stdout, "sysctls")
    assert (found["ok"], found["detail"]) == (False, "/proc/sys is read-only")
    assert "read-write" in found["mend"]


def test_a_module_is_missing_where_its_devices_cant_be_made(
    said: Callable[[str], Found], vifplug: Shell
) -> None:
    link = ("link", "add", "link", "lo", "name", "vlan5", "type", "vlan", "id", "5")
    able = vifplug.namespace.run("ip", *link, check=False).returncode == 0
    text = vifplug("doctor", "-f", "json").stdout
    (found, *_) = [each for each in checks(text, "kernel module") if "8021q" in each["detail"]]
    assert found["ok"], "many hosts need no VLAN devices"
    assert found["mend"].startswith("modprobe 8021q") == (not able)
    assert "openvswitch" not in text.replace("/run/openvswitch", ""), "no Open vSwitch is here"


def test_bridges_that_keep_frames_back(vifplug: Shell) -> None:
    ip = vifplug.namespace.ip
    ip("link", "add", "br0", "type", "bridge", "stp_state", "1", "forward_delay", "1500")
    text = vifplug("doctor", "-f", "json").stdout
    down, stp = checks(text, "bridge br0")
    assert (down["ok"], down["detail"], down["mend"]) == (
        True, "it is down", "ip link set br0 up"
    )  # fmt: skip
    assert stp["ok"]
    assert stp["detail"] == "STP is on: a new port passes nothing for 30 s"
    vifplug.configure("vifplug_bridge", create_tap="true")
    assert vifplug("plug", vifplug.file(vif(network={"bridge": "br0"}))).returncode == 0
    text = vifplug("doctor", "-f", "json").stdout
    down, _ = checks(text, "bridge br0")
    assert (down["ok"], down["detail"]) == (False, "it is down, and VIFs are on it")
    ip("link", "set", "br0", "up")
    ip("link", "set", "br0", "type", "bridge", "stp_state", "0")
    assert checks(vifplug("doctor", "-f", "json").stdout, "bridge br0") == []


def test_an_address_that_the_host_has_twice(vifplug: Shell, said: Callable[[str], Found]) -> None:
    ip = vifplug.namespace.ip
    for number in (0, 1):
        tap, bridge = f"tap{number}", f"br{number}"
        ip("link", "add", bridge, "up", "type", "bridge")
        ip("tuntap", "add", tap, "mode", "tap")
        ip("link", "set", tap, "address", "fe:16:3e:11:22:33", "master", bridge)
    found = said("MAC twice")
    assert found["ok"], "their networks may be two"
    assert found["detail"] == "tap0 and tap1 have one address, ..:16:3e:11:22:33"
    ip("link", "set", "tap1", "master", "br0")
    found = said("MAC twice")
    assert not found["ok"]
    assert found["detail"] == "tap0 and tap1 on br0 have one address, ..:16:3e:11:22:33"
    ip("link", "del", "tap1")
    # The uplink's own address.
    ip("link", "add", "eth0", "type", "veth", "peer", "name", "far")
    ip("link", "set", "eth0", "address", "fa:16:3e:11:22:33", "master", "br0")
    found = said("MAC twice")
    assert not found["ok"] and "eth0 and tap0 on br0" in found["detail"]
