# SPDX-License-Identifier: Apache-2.0
"""Libvirt: guests of a libvirtd that is the test's own, and libvirt's schema."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

import vifplug
from vifplug.testing import (
    Capture,
    Libvirt,
    LibvirtRefused,
    NetworkNamespace,
    dhcp_discover_from,
    validate,
    veth,
)
from vifplug.testing import libvirt as module

MAC = "fa:16:3e:12:34:56"
ON_BRIDGE = f"""
<interface type='bridge'>
  <mac address='{MAC}'/><source bridge='br0'/><target dev='tapguest'/><model type='virtio'/>
</interface>"""
FILTERED = """
<interface type='bridge'>
  <source bridge='br0'/><model type='virtio'/><filterref filter='NAME'/>
</interface>"""

needs_libvirtd = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("libvirtd"), reason="needs root and libvirtd"
)


@pytest.fixture
def host() -> Iterator[NetworkNamespace]:
    with NetworkNamespace(name="host") as made:
        # With an address of its own: else a bridge takes, and loses, that of its first port.
        made.ip("link", "add", "br0", "up", "address", "02:00:00:00:00:01", "type", "bridge")
        yield made


@pytest.fixture
def wire(host: NetworkNamespace) -> Iterator[Capture]:
    with NetworkNamespace(name="far") as far:
        veth(host, "up0", far, "far")
        host.ip("link", "set", "up0", "master", "br0")
        with Capture(far, "far") as capture:
            yield capture


@pytest.fixture
def libvirt(host: NetworkNamespace) -> Iterator[Libvirt]:
    with Libvirt(host) as made:
        yield made


def own_files() -> list[str]:
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


def processes_in(namespace: str) -> list[int]:
    """The processes of a namespace, named as its link is: pid:[...] or net:[...]."""
    kind = namespace.partition(":")[0]
    found = []
    for entry in Path("/proc").glob(f"[0-9]*/ns/{kind}"):
        try:
            if str(entry.readlink()) == namespace:
                found.append(int(entry.parts[2]))
        except OSError:  # it ended
            continue
    return found


def tap_of(host: NetworkNamespace, name: str) -> dict[str, object]:
    (link,) = host.ip_json("-d", "link", "show", "dev", name)
    kept = ("ifindex", "address", "mtu", "master", "altnames", "ifalias")
    info = link["linkinfo"]["info_data"]
    return {key: link.get(key) for key in kept} | {
        key: info[key] for key in ("persist", "multi_queue")
    }


@needs_libvirtd
def test_a_guest_asks_for_its_address_over_a_bridge(
    host: NetworkNamespace, wire: Capture, libvirt: Libvirt
) -> None:
    before = host.everything()
    guest = libvirt.start_guest(ON_BRIDGE)
    wire.wait_for(dhcp_discover_from(MAC), 30)
    target = ElementTree.fromstring(guest.domain_xml()).find(".//interface/target")
    assert target is not None and target.get("dev") == "tapguest"
    assert Path(f"/proc/{guest.pid}/comm").read_text().startswith("qemu-system")
    guest.destroy()
    guest.destroy()
    with pytest.raises(LookupError, match="does not run"):
        _ = guest.pid
    assert host.everything() == before


@needs_libvirtd
@pytest.mark.parametrize(
    ("flags", "driver"),
    [((), ""), (("multi_queue", "vnet_hdr"), "<driver name='qemu' queues='2'/>")],
    ids=["one queue", "two queues"],
)
def test_a_guest_takes_a_tap_that_is_there_and_leaves_it(
    host: NetworkNamespace, wire: Capture, libvirt: Libvirt, flags: tuple[str, ...], driver: str
) -> None:
    host.ip("tuntap", "add", "name", "tap0", "mode", "tap", *flags)
    host.ip("link", "set", "tap0", "address", "fe:16:3e:12:34:56", "mtu", "1450", "alias", "mine",
            "master", "br0", "up")  # fmt: skip
    host.ip("link", "property", "add", "dev", "tap0", "altname", "a-name-longer-than-fifteen")
    before = tap_of(host, "tap0")
    guest = libvirt.start_guest(
        f"<interface type='ethernet'><mac address='{MAC}'/><target dev='tap0' managed='no'/>"
        f"<model type='virtio'/>{driver}</interface>"
    )
    wire.wait_for(dhcp_discover_from(MAC), 30)
    assert tap_of(host, "tap0") == before
    guest.destroy()
    assert tap_of(host, "tap0") == before


@needs_libvirtd
def test_libvirts_message_is_the_errors_text(host: NetworkNamespace, libvirt: Libvirt) -> None:
    with pytest.raises(LibvirtRefused, match="Cannot get interface MTU on 'nosuch'"):
        libvirt.start_guest("<interface type='bridge'><source bridge='nosuch'/></interface>")
    with pytest.raises(LibvirtRefused, match=r"(?i)unable to validate|invalid"):
        libvirt.define("<interface type='nosuch'/>")
    incomplete = "<source dev='br0' mode='vepa'/><virtualport type='802.1Qbh'/>"
    with pytest.raises(LibvirtRefused, match=r"missing .*profileid"):
        libvirt.define(f"<interface type='direct'>{incomplete}</interface>")
    assert libvirt.virsh("list", "--all", "--name").split() == []


@needs_libvirtd
def test_a_filter_has_to_be_known_when_the_guest_starts(
    host: NetworkNamespace, libvirt: Libvirt
) -> None:
    assert "<filterref filter='later'/>" in libvirt.define(FILTERED.replace("NAME", "later"))
    with pytest.raises(LibvirtRefused, match="referenced filter 'later' is missing"):
        libvirt.start_guest(FILTERED.replace("NAME", "later"))
    libvirt.nwfilter_define("<filter name='later' chain='root'/>")
    libvirt.start_guest(FILTERED.replace("NAME", "later"))


@needs_libvirtd
def test_a_client_in_the_test_process(host: NetworkNamespace, libvirt: Libvirt) -> None:
    python = pytest.importorskip("libvirt")
    guest = libvirt.start_guest(ON_BRIDGE, name="mine")
    connection = python.open(libvirt.uri)
    try:
        assert [domain.name() for domain in connection.listAllDomains()] == ["mine"]
    finally:
        connection.close()
    guest.destroy()


@needs_libvirtd
def test_netlink_ports_that_libvirt_9_can_read(host: NetworkNamespace, libvirt: Libvirt) -> None:
    pid = int((libvirt.root / "run/libvirtd.pid").read_text())

    def ports() -> list[int]:
        rows = libvirt.run("cat", "/proc/net/netlink").stdout.splitlines()[1:]
        numbers = [int(row.split()[2]) for row in rows if row.split()[1] == "0"]
        return [number for number in numbers if number & 0x3FFFFF == pid]

    # The ports that were held go within moments of the start; libvirtd's own stays.
    deadline = time.monotonic() + 10
    while max(mine := ports()) >= 2**31 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert max(mine) < 2**31


@needs_libvirtd
def test_two_at_a_time(host: NetworkNamespace, libvirt: Libvirt) -> None:
    with NetworkNamespace() as namespace, Libvirt(namespace) as other:
        namespace.ip("link", "add", "br0", "up", "type", "bridge")
        libvirt.start_guest(ON_BRIDGE, name="same")
        other.start_guest(ON_BRIDGE, name="same")
        assert host.ip_json("link", "show", "tapguest")
        assert namespace.ip_json("link", "show", "tapguest")


@needs_libvirtd
def test_nothing_is_left(
    host: NetworkNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before, fds = host.everything(), own_files()
    with Libvirt(host) as libvirt:
        pids = str(Path(f"/proc/{libvirt.start_guest(ON_BRIDGE).pid}/ns/pid").readlink())
        assert len(processes_in(pids)) >= 3
        assert "no-kvm" not in Path("/proc/self/mountinfo").read_text()
        assert list(tmp_path.iterdir()) == []
    assert processes_in(pids) == []
    assert host.everything() == before
    assert own_files() == fds


@needs_libvirtd
def test_nothing_is_left_of_a_test_that_is_killed() -> None:
    script = f"""
import signal
from vifplug.testing import Libvirt, NetworkNamespace
namespace = NetworkNamespace()
namespace.setUp()
namespace.ip("link", "add", "br0", "up", "type", "bridge")
libvirt = Libvirt(namespace)
libvirt.setUp()
print(libvirt.start_guest({ON_BRIDGE!r}).pid, flush=True)
signal.pause()
"""
    where = {**os.environ, "PYTHONPATH": str(Path(vifplug.__file__).parents[1])}
    argv = [sys.executable, "-c", script]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=where) as killed:
        assert killed.stdout is not None
        guest = int(killed.stdout.readline())
        network = str(Path(f"/proc/{guest}/ns/net").readlink())
        pids = str(Path(f"/proc/{guest}/ns/pid").readlink())
        killed.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while processes_in(pids) + processes_in(network) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes_in(pids) == []
    assert processes_in(network) == []


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda command: None)
    monkeypatch.setattr(module, "_ROMS", ())
    with (
        pytest.raises(RuntimeError, match=r"ipxe-qemu, libvirt-.*, qemu-system-x86, tini"),
        Libvirt(NetworkNamespace()),
    ):
        pass


@needs_libvirtd
def test_a_libvirtd_that_does_not_start_says_why(
    host: NetworkNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LIBVIRTD_CONF", "log_level = three")
    with pytest.raises(RuntimeError, match=r"(?s)did not start: .*libvirtd\.conf"), Libvirt(host):
        pass


@needs_libvirtd
def test_the_schema_accepts_and_refuses() -> None:
    validate(ON_BRIDGE)
    validate("<interface type='ethernet'><target dev='tap0' managed='no'/></interface>")
    with pytest.raises(ValueError, match="schema refuses"):
        validate("<interface type='bridge'><source bridge='br0'/><nosuch/></interface>")
    with pytest.raises(ValueError, match="not XML"):
        validate("<interface")
