# SPDX-License-Identifier: Apache-2.0
"""VIFs on a real vde_switch: guests in VLANs, drift, a reboot, a switch that is down or hangs."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from oslo_config.fixture import Config

from tests.example_switch.conftest import bridged
from tests.examples.conftest import Example
from tests.guests import DISCOVERED
from vifplug import (
    VIF,
    Conflict,
    DeadlineExceeded,
    GenericVIFDriver,
    Result,
    SwitchError,
    VifplugError,
)
from vifplug.testing import Libvirt, NetworkNamespace, TapEnd, dhcp_discover_from
from vifplug.testing.configured import configured, emptied
from vifplug.testing.dumps import differences
from vifplug.testing.shell import Shell
from vifplug_bridge.plugin import BridgePlugin

EXAMPLE = "vde"
IDS = (
    "0b6a9d0e-7a3c-4a6e-9d55-3f1f0a3c2b11",
    "1c7bae1f-8b4d-4b7f-8e66-4a2a1b4d3c22",
    "3e9dc031-ad6f-4d91-a188-6c4c3d6f5e44",
    "4faed142-be70-4ea2-b299-7d5d4e706f55",
)
TAPS = tuple(f"tap{one[:11]}" for one in IDS)
LABEL = f"vifplug:{IDS[0]}::vde:vde {TAPS[0]}"
SOON = 30.0
"""Seconds within which a thing has surely happened, however busy the machine."""

SHORT = 1.0
"""Seconds that a call gets which can't succeed."""


def address(number: int) -> str:
    return f"fa:16:3e:11:22:{number:02x}"


def vif_data(number: int = 0, vlan: int | None = 7) -> dict[str, Any]:
    data: dict[str, Any] = {"id": IDS[number], "vif_type": "vde", "address": address(number)}
    return {**data, "network": {"vlan": vlan, "mtu": 1400} if vlan else {}}


def vde_vif(number: int = 0, vlan: int | None = 7) -> VIF:
    return VIF.from_dict(vif_data(number, vlan))


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + SOON
    while not true():
        assert time.monotonic() < deadline, f"not within {SOON} s: {true}"
        time.sleep(0.02)


def frame(source: int, text: bytes) -> bytes:
    """Return a frame of a guest's for all, of a protocol that no kernel knows."""
    return b"\xff" * 6 + bytes.fromhex(address(source).replace(":", "")) + b"\x88\xb5" + text


def texts(end: TapEnd, last: bytes) -> list[bytes]:
    """Return the texts that a guest gets, up to the last one."""
    found: list[bytes] = []
    while last not in found:
        got = end.receive(SOON)
        if got[12:14] == b"\x88\xb5":
            found.append(got[14:].rstrip(b"\0"))
    return found


@dataclass(frozen=True)
class Hosted:
    """A host with the switch."""

    namespace: NetworkNamespace
    switch: Any
    driver: GenericVIFDriver

    def everything(self) -> tuple[dict[str, Any], list[str]]:
        return self.namespace.everything(), self.switch.ports()

    def require_as_before(self, before: tuple[dict[str, Any], list[str]]) -> None:
        after = self.everything()
        assert differences(before[0], after[0]) == []
        assert after[1] == before[1]

    def require_served(self) -> None:
        """VIFs of another type are plugged and unplugged."""
        assert self.driver.plug(None, bridged()).changed
        assert self.driver.unplug(None, bridged()).changed
        self.namespace.ip("link", "delete", "br100")


def ends(device: str) -> list[int]:
    """Return the processes that connect a device to the switch."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
            if device.encode() in words and any(w.endswith(b"/endpoint.py") for w in words):
                found.append(int(entry.name))
    return found


@pytest.fixture
def switch(namespace: NetworkNamespace, tmp_path: Path, example: Example) -> Iterator[Any]:
    with example.conformance.VdeSwitch(tmp_path) as switch:
        yield switch


@pytest.fixture
def conf(tmp_path: Path, switch: Any, example: Example) -> Iterator[Config]:
    with configured(tmp_path, BridgePlugin, example.kind) as config:
        config.config(group="vifplug", libvirt_version="9.0.0", virt_type="qemu")
        config.config(group="vifplug_vde", management=str(switch.management))
        config.config(group="vifplug_vde", control=str(switch.control))
        yield config


@pytest.fixture
def host(
    namespace: NetworkNamespace, switch: Any, conf: Config, example: Example
) -> Iterator[Hosted]:
    with emptied(BridgePlugin, example.kind) as driver:
        yield Hosted(namespace, switch, driver)
    for device in TAPS:
        until(lambda device=device: not ends(device))


def test_a_plug_makes_all_and_an_unplug_leaves_nothing(host: Hosted) -> None:
    driver, before = host.driver, host.everything()
    for by_id in (False, True):
        plugged = driver.plug(None, vde_vif())
        assert (plugged.changed, plugged.devices) == (True, (TAPS[0],))
        assert host.switch.labels() == [LABEL]
        assert host.switch.ports()[0].startswith("Port 0001 untagged_vlan=0007 ACTIVE")
        assert not driver.check(None, vde_vif())
        assert not driver.plug(None, vde_vif()).changed
        (listed,) = driver.list()
        assert (listed.id, listed.vif_type, listed.bridge) == (IDS[0], "vde", "vde")
        if by_id:
            (outcome,) = driver.unplug_ids([IDS[0]])
            assert isinstance(outcome, Result) and outcome.changed
        else:
            assert driver.unplug(None, vde_vif()).changed
        host.require_as_before(before)
        assert not driver.unplug(None, vde_vif()).changed


def test_guests_of_one_vlan_hear_one_another_and_no_other_does(host: Hosted) -> None:
    vifs = [vde_vif(0), vde_vif(1), vde_vif(2, vlan=8), vde_vif(3, vlan=8)]
    outcomes = host.driver.plug_all([(None, vif) for vif in vifs])
    assert all(isinstance(one, Result) and one.changed for one in outcomes)
    with contextlib.ExitStack() as stack:
        guests = [stack.enter_context(TapEnd(host.namespace, tap)) for tap in TAPS]
        guests[0].send(frame(0, b"for VLAN 7"))
        assert texts(guests[1], b"for VLAN 7") == [b"for VLAN 7"]
        guests[3].send(frame(3, b"for VLAN 8"))
        assert texts(guests[2], b"for VLAN 8") == [b"for VLAN 8"]
        guests[1].send(frame(1, b"the answer"))
        assert texts(guests[0], b"the answer") == [b"the answer"]


def test_a_guest_reaches_nothing_of_the_host_itself(host: Hosted) -> None:
    host.namespace.ip("addr", "add", "192.0.2.1/32", "dev", "lo")
    host.driver.plug_all([(None, vde_vif(0)), (None, vde_vif(1))])
    ours = bytes.fromhex(address(0).replace(":", ""))
    question = bytes.fromhex("0001080006040001") + ours + bytes((192, 0, 2, 9)) + bytes(6)
    with TapEnd(host.namespace, TAPS[0]) as guest, TapEnd(host.namespace, TAPS[1]) as other:
        guest.send(b"\xff" * 6 + ours + b"\x08\x06" + question + bytes((192, 0, 2, 1)))
        assert other.receive(SOON)[12:14] == b"\x08\x06"
        other.send(frame(1, b"after it"))
        got = guest.receive(SOON)
        assert got[14:].rstrip(b"\0") == b"after it", "the host has answered"


def test_drift_is_told_and_repaired(host: Hosted) -> None:
    driver = host.driver
    driver.plug(None, vde_vif())
    port, number = host.switch.port_of(LABEL)
    host.switch.ask(f"port/setvlan {port} 8")
    assert [str(o) for o in driver.check(None, vde_vif()).operations] == [
        f"move {TAPS[0]} to VLAN 7"
    ]
    assert driver.plug(None, vde_vif()).changed
    assert "untagged_vlan=0007" in host.switch.ports()[0]
    host.switch.ask(f"port/epclose {port} {number}")
    until(lambda: not ends(TAPS[0]))
    connect = [f"connect {TAPS[0]} to VLAN 7"]
    assert [str(o) for o in driver.check(None, vde_vif()).operations] == connect
    assert driver.plug(None, vde_vif()).changed
    os.kill(ends(TAPS[0])[0], signal.SIGKILL)
    until(lambda: host.switch.labels() == [])
    assert [str(o) for o in driver.check(None, vde_vif()).operations] == connect
    assert driver.plug(None, vde_vif()).changed
    Path(f"/proc/sys/net/ipv4/conf/{TAPS[0]}/arp_ignore").write_text("0")
    assert driver.check(None, vde_vif())
    driver.plug(None, vde_vif())
    assert not driver.check(None, vde_vif())


def test_a_vlan_that_the_switch_has_not_is_a_conflict(host: Hosted) -> None:
    before = host.everything()
    outcomes = host.driver.plug_all([(None, vde_vif(0, vlan=99)), (None, vde_vif(1))])
    assert isinstance(outcomes[0], Conflict)
    assert str(outcomes[0]).endswith(
        "VLAN 99 is not on the switch; needed: one that it has: 0, 7, 8"
    )
    assert isinstance(outcomes[1], Result)
    host.driver.unplug(None, vde_vif(1))
    host.require_as_before(before)


def test_after_a_reboot_a_vif_is_gone_and_can_be_plugged_again(host: Hosted) -> None:
    driver, before = host.driver, host.everything()
    driver.plug(None, vde_vif())
    host.namespace.ip("link", "delete", TAPS[0])
    until(lambda: host.switch.labels() == [])
    assert driver.list() == []
    assert not driver.unplug(None, vde_vif()).changed
    assert driver.plug(None, vde_vif()).changed
    driver.unplug(None, vde_vif())
    host.require_as_before(before)


@pytest.mark.parametrize("by_id", [True, False])
def test_a_port_whose_device_is_gone_is_listed_and_removed(by_id: bool, host: Hosted) -> None:
    driver, before = host.driver, host.everything()
    driver.plug(None, vde_vif())
    (pid,) = ends(TAPS[0])
    os.kill(pid, signal.SIGSTOP)
    try:
        host.namespace.ip("link", "delete", TAPS[0])
        assert host.switch.labels() == [LABEL]
        assert [(one.id, one.bridge) for one in driver.list()] == [(IDS[0], "vde")]
        if by_id:
            driver.unplug_ids([IDS[0]])
        else:
            assert driver.unplug(None, vde_vif()).changed
        assert driver.list() == []
        host.require_as_before(before)
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_switch_that_is_down_is_an_error_each_time_and_of_its_own_vifs_only(
    host: Hosted,
) -> None:
    driver, before = host.driver, host.everything()
    driver.plug(None, vde_vif())
    host.switch.kill()
    until(lambda: not ends(TAPS[0]))
    for _ in range(2):
        with pytest.raises(SwitchError, match="Connection refused"):
            driver.plug(None, vde_vif(1))
        with pytest.raises(VifplugError, match="Connection refused"):
            driver.unplug(None, vde_vif())
    host.require_served()
    host.switch.start()
    driver.unplug(None, vde_vif())
    host.require_as_before(before)


def test_a_switch_that_hangs_costs_its_own_vifs_their_time_only(host: Hosted) -> None:
    driver = host.driver
    driver.plug(None, vde_vif())
    before = host.everything()
    host.switch.pause()
    try:
        with pytest.raises((SwitchError, DeadlineExceeded)):
            driver.plug(None, vde_vif(1), timeout=SHORT)
        with pytest.raises(VifplugError, match=r"did not answer|deadline"):
            driver.unplug(None, vde_vif(), timeout=SHORT)
        host.require_served()
    finally:
        host.switch.resume()
    driver.plug(None, vde_vif())
    host.require_as_before(before)
    driver.unplug(None, vde_vif())
    assert host.switch.labels() == []


def test_a_qemu_guests_frames_cross_the_switch(
    namespace: NetworkNamespace, host: Hosted, conf: Config
) -> None:
    with Libvirt(namespace) as libvirt:
        conf.config(group="vifplug", libvirt_uri=libvirt.uri)
        driver = GenericVIFDriver()
        for number in range(2):
            driver.plug(None, vde_vif(number))
        with TapEnd(namespace, TAPS[1]) as other:
            guest = libvirt.start_guest(driver.get_config(None, vde_vif()).to_xml())
            wanted, deadline = dhcp_discover_from(address(0)), time.monotonic() + DISCOVERED
            while not wanted(other.receive(max(deadline - time.monotonic(), 0))):
                pass
            assert [one.in_use for one in driver.list() if one.id == IDS[0]] == [True]
            assert not driver.check(None, vde_vif())
            guest.destroy()


def test_the_command_plugs_lists_and_unplugs(
    example: Example, switch: Any, namespace: NetworkNamespace, tmp_path: Path
) -> None:
    vifplug = Shell(namespace, tmp_path)
    sockets = {"management": switch.management, "control": switch.control}
    vifplug.configure("vifplug_vde", **sockets)
    vifplug.environment["PYTHONPATH"] = str(example.folder)
    file = vifplug.file(vif_data())
    for words in (("plug", file), ("check", file)):
        done = vifplug(*words)
        assert done.returncode == 0, done.stderr
    assert [one["devices"] for one in vifplug.json("list")] == [[TAPS[0]]]
    assert switch.labels() == [LABEL], "the port outlives the daemon that made it"
    assert vifplug("unplug", "--id", IDS[0]).returncode == 0
    assert switch.labels() == []
    assert f"ok  vde_switch  {switch.management} answers" in seen_by_doctor(vifplug)
    switch.management.unlink()
    assert vifplug.json("list") == []
    assert "vde_switch  No such file or directory" in seen_by_doctor(vifplug)
    assert "No such file or directory" in vifplug("plug", file).stderr


def seen_by_doctor(vifplug: Shell) -> str:
    """Return what the doctor says of the plugin, with two spaces between the columns."""
    return re.sub(" {2,}", "  ", vifplug("doctor").stdout)
