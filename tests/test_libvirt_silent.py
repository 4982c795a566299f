# SPDX-License-Identifier: Apache-2.0
"""What is known of a libvirt that hangs, is slow, or is not there; and what is then assumed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bridge.conftest import conf  # noqa: F401 (a fixture)
from tests.bridge.vifs import bridge_vif
from tests.cli.conftest import Shell, vif
from tests.processes import HANGS
from tests.silent import Silent, silent
from vifplug import GenericVIFDriver
from vifplug.query import guests
from vifplug.query.libvirt import AWAY, SILENT, libvirt
from vifplug.testing import Libvirt, NetworkNamespace

VIRT_TYPE = "kvm" if Path("/dev/kvm").exists() else "qemu"


@pytest.fixture
def hung(tmp_path: Path) -> Iterator[Silent]:
    with silent(tmp_path) as found:
        yield found


def version() -> str:
    """Return the version of libvirt's library here."""
    import libvirt as binding  # other tests' environments lack it

    number = binding.getVersion()
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"


def uri(path: Path) -> str:
    return f"qemu:///system?socket={path}"


@pytest.fixture
def vifplug(namespace: NetworkNamespace, tmp_path: Path) -> Shell:
    shell = Shell(namespace, tmp_path)
    del shell.options["vifplug"]["libvirt_version"], shell.options["vifplug"]["virt_type"]
    return shell


@pytest.mark.parametrize("command", ["xml", "plan", "check", "plug"])
def test_what_is_assumed_is_said(command: str, hung: Silent, vifplug: Shell) -> None:
    """The library here tells libvirt's version, without a connection."""
    vifplug.configure("vifplug", libvirt_uri=uri(hung.path))
    done = vifplug(command, vifplug.file(vif()))
    assert done.returncode == (3 if command == "check" else 0), done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"warning: virt_type {VIRT_TYPE} assumed: no answer from qemu:///system")


def test_of_another_hosts_libvirt_the_library_tells_nothing(vifplug: Shell) -> None:
    vifplug.configure("vifplug", libvirt_uri="qemu+unix://elsewhere/system?socket=/nowhere")
    done = vifplug("xml", vifplug.file(vif()))
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"warning: libvirt 9.0.0 and virt_type {VIRT_TYPE} assumed: ")


def test_without_the_binding_it_is_said_how_to_get_it(vifplug: Shell, tmp_path: Path) -> None:
    (tmp_path / "libvirt.py").write_text("raise ImportError(\"No module named 'libvirt'\")")
    vifplug.environment["PYTHONPATH"] = str(tmp_path)
    done = vifplug("xml", vifplug.file(vif()))
    (line,) = done.stderr.splitlines()
    said = "libvirt-python is not installed (No module named 'libvirt')"
    assert line == f"warning: libvirt 9.0.0 and virt_type {VIRT_TYPE} assumed: {said}"


def test_what_is_told_is_not_assumed(vifplug: Shell, hung: Silent) -> None:
    vifplug.configure("vifplug", libvirt_uri=uri(hung.path))
    told = ("--libvirt-version", "8.0.0", "--virt-type", "qemu")
    assert vifplug("xml", *told, vifplug.file(vif())).stderr == ""
    assert hung.connections == [], "who knows all need not ask"


def test_a_process_waits_for_it_once(
    namespace: NetworkNamespace,
    conf: object,  # noqa: F811
    hung: Silent,
) -> None:
    conf.config(  # type: ignore[attr-defined]
        group="vifplug", libvirt_uri=uri(hung.path), libvirt_version=None, virt_type=None,
        firewall_driver="nwfilter",
    )  # fmt: skip
    driver = GenericVIFDriver()
    began = time.monotonic()
    for number in range(20):
        # Facts that the caller tells are not kept, so that libvirt would be asked each time.
        driver.look([], told={"mtu": 1400 + number})
    GenericVIFDriver().look([])
    instance = {"name": "instance-00000001"}
    assert driver.plug(instance, bridge_vif()).changed  # a filter would be looked up, too
    driver.close()
    assert guests.known(uri(hung.path)).error == f"no answer from {uri(hung.path)}"
    assert time.monotonic() - began < HANGS
    assert len(hung.connections) == 1


def test_what_a_slow_libvirtd_has_told_is_kept(namespace: NetworkNamespace, tmp_path: Path) -> None:
    """A real libvirtd, whose capabilities wait for a QEMU that takes its time to answer."""
    gate, programs = tmp_path / "gate", tmp_path / "programs"
    programs.mkdir()
    slow = programs / "qemu-system-x86_64"
    slow.write_text(
        f"#!/bin/sh\nwhile [ ! -e {gate} ]; do sleep 0.05; done\n"
        'exec /usr/bin/qemu-system-x86_64 "$@"\n'
    )
    slow.chmod(0o755)
    path = {"PATH": f"{programs}:/usr/sbin:/usr/bin:/sbin:/bin"}
    with Libvirt(namespace, environment=path) as daemon:
        try:
            answer = libvirt(daemon.uri)
            assert (answer.version, answer.connected) == (version(), True)
            assert (answer.virt_type, answer.cause) == (None, SILENT)
        finally:
            gate.touch()
        until = time.monotonic() + HANGS
        while (answer := libvirt(daemon.uri)).virt_type is None and time.monotonic() < until:
            time.sleep(0.05)
        assert (answer.virt_type, answer.error) == ("qemu", "")


def test_one_that_is_away_is_told_apart(tmp_path: Path) -> None:
    answer = libvirt(uri(tmp_path / "nowhere"))
    assert (answer.version, answer.connected, answer.cause) == (version(), False, AWAY)
    assert "No such file" in answer.error
