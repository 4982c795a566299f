# SPDX-License-Identifier: Apache-2.0
"""What another program does to the tap of a guest that runs; and an unplug under that guest."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from oslo_config.fixture import Config

from tests.bridge.vifs import bridge_vif, tap_of
from tests.libvirts_tap import LibvirtsTap
from vifplug import Conflict, GenericVIFDriver, InUse
from vifplug.testing import NetworkNamespace, TapEnd
from vifplug.testing.dumps import differences

VIF = bridge_vif(should_create_bridge=False)
TAP = tap_of(VIF)


def make_bridge(namespace: NetworkNamespace, name: str) -> None:
    namespace.ip("link", "add", name, "address", "02:00:00:00:00:01", "type", "bridge")
    namespace.ip("link", "set", name, "up")


@pytest.fixture
def guest(namespace: NetworkNamespace, driver: GenericVIFDriver) -> Iterator[LibvirtsTap]:
    """A guest that runs on br100, on a tap that libvirt made."""
    for name in ("br100", "br300"):
        make_bridge(namespace, name)
    driver.plug(None, VIF)
    with LibvirtsTap(namespace, TAP, address=VIF.address) as end:
        namespace.ip("link", "set", TAP, "mtu", "1450", "up", "master", "br100")
        assert not driver.check(None, VIF)
        assert [(one.state, one.drift) for one in driver.list()] == [("up", ())]
        yield end


ACTS = {
    "taken out": ("link", "set", TAP, "nomaster"),
    "put into another bridge": ("link", "set", TAP, "master", "br300"),
    "down": ("link", "set", TAP, "down"),
    "another MTU": ("link", "set", TAP, "mtu", "1300"),
    "its bridge deleted": ("link", "del", "br100"),
}
TOLD = {
    "taken out": f"{TAP} is in no bridge",
    "put into another bridge": f"{TAP} is in br300, not in br100",
    "down": f"{TAP} is down",
}


@pytest.mark.parametrize("act", ACTS)
def test_drift_of_a_guests_tap_is_told_and_mended(
    act: str, guest: TapEnd, namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    before = namespace.everything()
    namespace.ip(*ACTS[act])
    if act == "its bridge deleted":
        make_bridge(namespace, "br100")
    checked = driver.check(None, VIF)
    assert checked.operations
    if act in TOLD:
        assert [(one.state, one.drift) for one in driver.list()] == [("drift", (TOLD[act],))]
    assert driver.plug(None, VIF).changed
    assert not driver.check(None, VIF)
    assert [one.state for one in driver.list()] == ["up"]
    if act != "its bridge deleted":  # else the indexes and claims are others
        assert differences(before["links"][TAP], namespace.everything()["links"][TAP]) == []
    (link,) = namespace.ip_json("link", "show", TAP)
    assert (link["master"], link["mtu"], "UP" in link["flags"]) == ("br100", 1450, True)
    assert not driver.plug(None, VIF).changed


def test_a_tap_that_is_elsewhere_than_its_vif_asks_is_no_drift(
    guest: TapEnd, namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    before = namespace.everything()
    other = bridge_vif(should_create_bridge=False, bridge="br300")
    for call in (driver.check, driver.plug):
        with pytest.raises(Conflict, match=r"is on br100 already .*plug with --move"):
            call(None, other)
    assert differences(before, namespace.everything()) == []


def test_a_guest_with_another_address_than_its_vifs_is_told_and_left_alone(
    guest: TapEnd, namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    namespace.ip("link", "set", TAP, "address", "fe:16:3e:99:99:99")
    before = namespace.everything()
    checked = driver.check(None, VIF)
    assert checked
    assert not checked.operations
    told = f"{TAP} has a guest whose address ends in 16:3e:99:99:99, not in 16:3e:11:22:00"
    assert checked.stale == (told,)
    assert told in " ".join(str(checked).split())
    assert not driver.plug(None, VIF).changed
    assert differences(before, namespace.everything()) == []


def test_a_guests_tap_under_another_name_is_told_and_left_alone(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    for name in ("br100", "br300"):
        make_bridge(namespace, name)
    named = dataclasses.replace(VIF, devname="web0")
    driver.plug(None, named)
    with LibvirtsTap(namespace, "web0", address=VIF.address):
        namespace.ip("link", "set", "web0", "mtu", "1450", "up", "master", "br100")
        assert not driver.check(None, named)
        namespace.ip("link", "set", "web0", "master", "br300")
        before = namespace.everything()
        assert driver.check(None, named).stale == ("web0 needs master br100, and is left alone",)
        assert not driver.plug(None, named).changed
        assert differences(before, namespace.everything()) == []


@pytest.mark.parametrize("by", ["file", "id"])
@pytest.mark.parametrize("ours", [True, False])
def test_a_vif_that_its_guest_holds_is_not_unplugged(
    ours: bool, by: str, namespace: NetworkNamespace, driver: GenericVIFDriver, conf: Config
) -> None:
    make_bridge(namespace, "br100")
    empty = namespace.everything()
    conf.config(group="vifplug_bridge", create_tap=ours)
    driver = GenericVIFDriver()

    def unplug(*, force: bool = False) -> object:
        if by == "file":
            return driver.unplug_all([(None, VIF)], force=force)[0]
        return driver.unplug_ids([VIF.id], force=force)[0]

    driver.plug(None, VIF)
    with (TapEnd if ours else LibvirtsTap)(namespace, TAP):
        namespace.ip("link", "set", TAP, "up", "master", "br100")
        before = namespace.everything()
        error = unplug()
        assert isinstance(error, InUse)
        assert (error.vif_id, error.device) == (VIF.id, TAP)
        assert error.holder.endswith(f"(pid {os.getpid()})")
        assert differences(before, namespace.everything()) == []
        assert [one.state for one in driver.list()] == ["up"]
        assert not isinstance(unplug(force=True), Exception)
        assert differences(empty["links"], namespace.everything()["links"]) == []
    assert driver.list() == []


def test_of_several_vifs_only_those_in_use_stay(
    namespace: NetworkNamespace, driver: GenericVIFDriver, conf: Config
) -> None:
    make_bridge(namespace, "br100")
    conf.config(group="vifplug_bridge", create_tap=True)
    driver = GenericVIFDriver()
    vifs = [bridge_vif(number, should_create_bridge=False) for number in range(3)]
    pairs = [(None, vif) for vif in vifs]
    driver.plug_all(pairs)
    with TapEnd(namespace, tap_of(vifs[1])):
        outcomes = driver.unplug_all(pairs)
        assert [isinstance(outcome, InUse) for outcome in outcomes] == [False, True, False]
        assert [one.id for one in driver.list()] == [vifs[1].id]
    assert driver.unplug(None, vifs[1]).changed
    assert driver.list() == []


def test_the_daemon_itself_looks_whether_a_guest_holds_the_vif(
    namespace: NetworkNamespace, driver: GenericVIFDriver, conf: Config,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    make_bridge(namespace, "br100")
    conf.config(group="vifplug_bridge", create_tap=True)
    driver = GenericVIFDriver()
    driver.plug(None, VIF)
    # As if the guest had started once the caller had looked.
    monkeypatch.setattr("vifplug.departures.held_by_guest", lambda *_: None)
    with TapEnd(namespace, TAP):
        with pytest.raises(InUse, match=f"{TAP} is in use by"):
            driver.unplug(None, VIF)
        assert namespace.ip_json("link", "show", TAP)
    driver.unplug(None, VIF)


HOLD = """
import fcntl, os, struct, sys
tun = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tun, 0x400454CA, struct.pack("16sH22x", sys.argv[1].encode(), 0x5002))
print("open", flush=True)
sys.stdin.read()
"""
"""Opens a tap, which is made where there is none, until standard input ends."""


@contextlib.contextmanager
def another_process(namespace: NetworkNamespace, tap: str) -> Iterator[int]:
    """Have a process in a namespace hold a tap; yield its pid."""
    with namespace.entered():
        process = subprocess.Popen(
            (sys.executable, "-c", HOLD, tap), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
    with process:  # which closes its standard input
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        yield process.pid


def test_the_holder_is_named_though_another_namespace_has_a_tap_of_that_name(
    namespace: NetworkNamespace, driver: GenericVIFDriver, conf: Config
) -> None:
    make_bridge(namespace, "br100")
    conf.config(group="vifplug_bridge", create_tap=True)
    driver = GenericVIFDriver()
    driver.plug(None, VIF)
    # The stranger is there first: the processes are looked through by their numbers.
    with NetworkNamespace() as other, another_process(other, TAP):
        driver.unplug(None, VIF)
        driver.plug(None, VIF)
        with another_process(namespace, TAP) as holder, pytest.raises(InUse) as error:
            driver.unplug(None, VIF)
        assert error.value.holder.endswith(f"(pid {holder})")
    driver.unplug(None, VIF)
