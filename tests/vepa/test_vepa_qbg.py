# SPDX-License-Identifier: Apache-2.0
"""802.1Qbg for real: our XML, a guest, libvirtd, lldpad, and lldpad again as the switch."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.processes import HANGS
from tests.vepa import standin
from tests.vepa.vifs import claims, qbg_vif
from vifplug import VIF, Conflict, GenericVIFDriver
from vifplug.testing import (
    Capture,
    IndexRange,
    Libvirt,
    LibvirtRefused,
    Lldpad,
    NetworkNamespace,
    edge_wire,
)
from vifplug.testing.configured import configured, emptied
from vifplug_vepa import opts
from vifplug_vepa.qbg import QbgPlugin

ECP = 0x8940
ASSOCIATE, DISASSOCIATE, ACKNOWLEDGED = 0x06, 0x08, 0x40


@dataclass
class Lab:
    """A host and its switch, with 802.1Qbg agreed on between them."""

    host: NetworkNamespace
    switch: NetworkNamespace
    libvirt: Libvirt
    station: Lldpad
    bridge: Lldpad

    def macvtaps(self) -> list[str]:
        return [one["ifname"] for one in self.host.ip_json("link", "show", "type", "macvtap")]


@pytest.fixture(scope="module")
def lab(indexes: IndexRange) -> Iterator[Lab]:
    with ExitStack() as stack:
        host = stack.enter_context(NetworkNamespace(enter=True, ifindex_from=indexes.first))
        switch = stack.enter_context(NetworkNamespace())
        edge_wire(host, "ep0", switch, "ep1")
        libvirt = stack.enter_context(Libvirt(host))
        bridge = stack.enter_context(Lldpad(switch, "ep1", role="bridge"))
        station = stack.enter_context(Lldpad(host, "ep0", role="station", libvirt=libvirt))
        station.wait_for_evb()
        yield Lab(host, switch, libvirt, station, bridge)


@pytest.fixture
def driver(lab: Lab, tmp_path: Path) -> Iterator[GenericVIFDriver]:
    with configured(tmp_path, QbgPlugin) as config:
        config.config(group="vifplug", libvirt_uri=lab.libvirt.uri)
        config.config(group=opts.GROUP, lldpad_pid_file=str(lab.station.pid_file))
        with emptied(QbgPlugin) as found:
            yield found


def vdp(frames: list[bytes], kind: int) -> list[bytes]:
    """Return the VDP messages of a kind among frames; each begins with its status."""
    found = []
    for frame in frames:
        at = 14 + 4  # past ECP's header, which the manager's TLV follows
        while frame[12:14] == ECP.to_bytes(2) and at + 2 <= len(frame):
            head = int.from_bytes(frame[at : at + 2])
            if head >> 9 == kind >> 1 and head >> 8 == kind:
                found.append(frame[at + 2 :])
            at += 2 + (head & 0x1FF)
            if head == 0:
                break
    return found


def asked(vif: VIF, frames: list[bytes], kind: int) -> list[bytes]:
    """Return the messages of a kind that carry all that the VIF says; None are near misses."""
    assert vif.type_id is not None and vif.type_id_version is not None and vif.instance_id
    said = vif.type_id.to_bytes(3) + vif.type_id_version.to_bytes(1) + b"\5"
    said += bytes.fromhex(vif.instance_id.replace("-", ""))
    guest = bytes.fromhex(vif.address.replace(":", ""))
    return [one for one in vdp(frames, kind) if said in one[1:] and guest in one]


def test_a_guest_is_associated_with_the_switch_and_disassociated(
    lab: Lab, driver: GenericVIFDriver
) -> None:
    vif = qbg_vif()
    driver.plug(None, vif)
    assert "keep    edge    ep0              lldpad, EVB" in str(driver.plan(None, vif))
    assert lab.station.associations() == ""
    with Capture(lab.switch, "ep1") as wire:
        guest = lab.libvirt.start_guest(driver.get_config(None, vif).to_xml())
        frames = wire.frames(0.3)
        shown = " ".join(lab.station.associations().split())
        assert "mode = assoc mgrid2 = 11 typeid = 1193047 typeidver = 2" in shown
        assert f"uuid = {vif.instance_id}" in shown
        assert f"filter = 0-{vif.address}" in shown
        said = "IFLA_PORT_VSI_TYPE:mgr_id:11 type_id:1193047 typeid_version:2"
        assert said in lab.station.log
        assert f"IFLA_PORT_INSTANCE_UUID:{vif.instance_id}" in lab.station.log

        # The wire: asked by us, and acknowledged by the switch. 11 stands in the manager's TLV.
        (request, *again) = asked(vif, frames, ASSOCIATE)
        assert again, "no answer from the switch"
        assert request[0] & ACKNOWLEDGED == 0
        assert again[0][0] & ACKNOWLEDGED
        manager = bytes.fromhex("0a100b") + bytes(15)
        assert any(manager in frame for frame in frames if frame[12:14] == ECP.to_bytes(2))
        assert "VDP22_BR_PROCESS" in lab.bridge.log

        assert not driver.plug(None, vif).changed
        (one,) = driver.list()
        assert (one.vif_type, one.in_use) == ("802.1qbg", True)
        guest.destroy()
        assert asked(vif, wire.frames(0.3), DISASSOCIATE)
    assert lab.station.associations() == ""
    assert lab.macvtaps() == []
    driver.unplug(None, vif)
    assert claims(lab.host, "ep0") == []


def test_two_guests_are_told_apart(lab: Lab, driver: GenericVIFDriver) -> None:
    one = qbg_vif()
    two = qbg_vif(
        1, manager_id=255, type_id=0xFFFFFF, type_id_version=255,
        instance_id="5ae1a5d2-6e8e-4f5c-9f5a-0c1d2e3f4a5b",
    )  # fmt: skip
    driver.plug_all([(None, one), (None, two)])
    guests = [lab.libvirt.start_guest(driver.get_config(None, vif).to_xml()) for vif in (one, two)]
    shown = " ".join(lab.station.associations().split())
    assert "mgrid2 = 255 typeid = 16777215 typeidver = 255" in shown
    assert f"filter = 0-{one.address}" in shown and f"filter = 0-{two.address}" in shown
    for guest in guests:
        guest.destroy()
    assert lab.station.associations() == ""


def test_a_frozen_switch_is_libvirts_error_within_its_time_and_leaves_nothing(
    lab: Lab, driver: GenericVIFDriver
) -> None:
    vif = qbg_vif()
    driver.plug(None, vif)  # EVB was agreed on, and nobody knows better yet
    lab.bridge.pause()
    try:
        began = time.monotonic()
        with pytest.raises(LibvirtRefused, match="port-profile setlink timed out"):
            lab.libvirt.start_guest(driver.get_config(None, vif).to_xml())
        assert time.monotonic() - began < HANGS
        assert lab.macvtaps() == []
    finally:
        lab.bridge.resume()
    driver.unplug(None, vif)
    # And once the switch goes on, so does everything.
    driver.plug(None, vif)
    guest = lab.libvirt.start_guest(driver.get_config(None, vif).to_xml())
    guest.destroy()


def test_a_device_whose_other_end_is_no_switch_is_refused_by_name(
    lab: Lab, driver: GenericVIFDriver
) -> None:
    lab.host.ip("link", "add", "ifb9", "type", "ifb")
    lab.host.ip("link", "set", "ifb9", "up")
    before = lab.host.everything()
    with pytest.raises(Conflict, match=r"ifb9 can't associate: .*EVB"):
        driver.plug(None, qbg_vif(interface="ifb9"))
    assert lab.host.everything() == before
    lab.host.ip("link", "del", "ifb9")


def test_lldpad_that_is_missing_is_named_and_a_plugged_vif_is_left_alone(
    lab: Lab, driver: GenericVIFDriver
) -> None:
    one, two = qbg_vif(), qbg_vif(1)
    driver.plug(None, one)
    lab.station.kill()
    try:
        with pytest.raises(Conflict, match=r"ep0 can't associate: no lldpad: .* has ended"):
            driver.plug(None, two)
        lab.station.pid_file.unlink()
        with pytest.raises(Conflict, match=r"no lldpad: .*: No such file or directory"):
            driver.plug(None, two)
        assert "lost: no lldpad" in str(driver.check(None, one))
        assert not driver.plug(None, one).changed
        # What libvirt says of it: the reason why we look first.
        xml = driver.get_config(None, one).to_xml()
        with pytest.raises(LibvirtRefused, match="sending of PortProfileRequest failed"):
            lab.libvirt.start_guest(xml)
        assert lab.macvtaps() == []
    finally:
        lab.station.start()
        lab.station.wait_for_evb()
    driver.plug(None, two)


def _stand_in(lab: Lab, log: Path, status: int) -> subprocess.Popen[bytes]:
    argv = ["nsenter", "--target", str(lab.libvirt.pid), "--mount", "--pid", "--",
            "setpriv", "--pdeathsig", "KILL", sys.executable, "-IS", standin.__file__,
            str(log), str(status)]  # fmt: skip
    process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *argv])
    until = time.monotonic() + 10
    while not lab.station.pid_file.exists():
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.02)
    return process


@pytest.mark.parametrize("status", [0, 3])
def test_what_libvirt_asks_a_stand_in_for_lldpad_and_what_a_refusal_does(
    status: int, lab: Lab, driver: GenericVIFDriver, tmp_path: Path
) -> None:
    vif, log = qbg_vif(), tmp_path / "log"
    driver.plug(None, vif)
    xml = driver.get_config(None, vif).to_xml()
    lab.station.kill()
    lab.station.pid_file.unlink()
    process = _stand_in(lab, log, status)
    try:
        if status:
            with pytest.raises(LibvirtRefused, match="error 3 during port-profile setlink"):
                lab.libvirt.start_guest(xml)
        else:
            lab.libvirt.start_guest(xml).destroy()
        assert lab.macvtaps() == []
    finally:
        process.kill()
        process.wait()
        lab.station.start()
        lab.station.wait_for_evb()
    said = [json.loads(line) for line in log.read_text().splitlines()]
    names = ("manager_id", "type_id", "type_id_version", "instance_id")
    wanted = {name: getattr(vif, name) for name in names} | {"mac": vif.address}
    assert said[0] == {**wanted, "request": "associate"}
    assert said[-1]["request"] == "disassociate" if not status else said
