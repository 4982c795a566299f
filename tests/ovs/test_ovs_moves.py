# SPDX-License-Identifier: Apache-2.0
"""VIFs brought over from another vif_type, process or bridge, under a guest that runs."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from oslo_config.fixture import Config

from tests.libvirts_tap import LibvirtsTap
from tests.ovs.conftest import Host
from tests.ovs.moves import (
    BRIDGE,
    BRIDGES,
    HYBRID,
    ID,
    MANUAL,
    OTHER_BRIDGE,
    OTHER_MANUAL,
    QVO,
    TAP,
    Spot,
    as_neutron_does,
    both_daemons,
    found,
    index,
    make_bridges,
    running,
)
from tests.ovs.streams import Stream
from tests.ovs.vifs import IDS
from vifplug import VIF, Conflict, DeadlineExceeded, GenericVIFDriver, PlugFailed
from vifplug.apply import means
from vifplug.daemon import locks
from vifplug.operations import Operation, RemoveLink
from vifplug.testing import Capture, NetworkNamespace, OpenVSwitch, TapEnd, veth
from vifplug.testing.configured import fork
from vifplug.testing.dumps import differences
from vifplug_ovs.plugin import OvsPlugin

OURS, LIBVIRTS = "our tap", "libvirt's tap"
KERNELS = pytest.mark.kernel("openvswitch")
NOWHERE = {"devices": set(), "master": None, "ports": {}, "owners": set()}
MOST_LOST = 50
TRIES = 5
"""How often a move is made until this machine was not too busy to forward frames meanwhile."""

# The tap that the guest has in the first place, in which libvirt made it or we did.
PAIRS = (
    (BRIDGE, OTHER_BRIDGE, OURS),
    (BRIDGE, OTHER_BRIDGE, LIBVIRTS),
    (BRIDGE, MANUAL, OURS),
    (BRIDGE, MANUAL, LIBVIRTS),
    (BRIDGE, HYBRID, OURS),
    (BRIDGE, HYBRID, LIBVIRTS),
    (HYBRID, BRIDGE, OURS),
    (HYBRID, BRIDGE, LIBVIRTS),
    (HYBRID, MANUAL, OURS),
    (HYBRID, MANUAL, LIBVIRTS),
    (MANUAL, OTHER_MANUAL, OURS),
)
ON_THE_KERNELS = (
    (BRIDGE, MANUAL, OURS),
    (BRIDGE, HYBRID, LIBVIRTS),
    (HYBRID, MANUAL, LIBVIRTS),
)


def _param(old: Spot, new: Spot, whose: str, datapath: str, **more: Any) -> Any:
    words = (f"{old} and {new}", whose, *(["the kernel's datapath"] if more else []))
    return pytest.param(old, new, whose, datapath, id=", ".join(words), **more)


CASES = [
    *(_param(*pair, "netdev") for pair in PAIRS),
    *(_param(*pair, "system", marks=KERNELS) for pair in ON_THE_KERNELS),
]
moves = pytest.mark.parametrize(("old", "new", "whose", "ovs"), CASES, indirect=["ovs"])


@pytest.fixture
def whose() -> str:
    """Whose tap the guest has: by default ours."""
    return OURS


@pytest.fixture
def driver(
    whose: str, namespace: NetworkNamespace, br_int: OpenVSwitch, conf: Config
) -> Iterator[GenericVIFDriver]:
    """A driver with the daemons of both plugins, on a host with bridges of both kinds."""
    br_int.add_bridge("br-two")
    for bridge in ("br-int", "br-two"):  # else it follows the smallest of its ports' MTUs
        br_int.vsctl("set", "Interface", bridge, "mtu_request=1400")
    make_bridges(namespace)
    with both_daemons(conf, create_tap=whose == OURS) as both:
        yield both


@pytest.fixture
def performed(tmp_path: Path) -> Iterator[Path]:
    """The file to which the daemons, which are forked later, write each change that they make."""
    log, file = logging.getLogger(means.__name__), tmp_path / "performed"
    file.touch()
    handler, level = logging.FileHandler(file, delay=True), log.level
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    yield file
    log.removeHandler(handler)
    log.setLevel(level)
    handler.close()


def changes(performed: Path, vif: VIF) -> set[str]:
    """Return the changes that were made for a VIF, and forget them."""
    start = f"VIF {vif.id}: "
    lines = performed.read_text().splitlines()
    performed.write_text("")
    made = (line.removeprefix(start) for line in lines if line.startswith(start))
    return {change for each in made for change in each.split("; ")}


@moves
def test_there_and_back(
    old: Spot, new: Spot, whose: str, namespace: NetworkNamespace, ovs: OpenVSwitch,
    performed: Path, driver: GenericVIFDriver,
) -> None:  # fmt: skip
    host = Host(namespace, ovs, driver)
    with running(old, driver, namespace, ours=whose == OURS):
        tap = index(namespace)
        for spot in (new, old):
            vif = spot.vif
            before = host.everything()
            if {old, new} == {HYBRID, MANUAL}:  # which keeps its process, and says so
                assert not driver.plug(None, vif).changed
            else:
                with pytest.raises(Conflict, match="one place: unplug it there, or plug with"):
                    driver.plug(None, vif)
            plan = driver.plan(None, vif, move=True)
            assert host.differs(before) == []

            changes(performed, vif)
            assert driver.plug(None, vif, move=True).changed
            planned = {word for each in plan.operations for word in str(each).split("; ")}
            assert changes(performed, vif) == planned
            assert index(namespace) == tap
            assert found(namespace, ovs) == spot.shown(ovs.datapath_type)
            assert not driver.check(None, vif)
            listed = [(o.id, o.vif_type, o.process, o.bridge, o.in_use) for o in driver.list()]
            assert listed == [(ID, spot.vif_type, spot.process or None, spot.bridge, True)]

            after = host.everything()
            assert not driver.plug(None, vif).changed
            assert not driver.plan(None, vif, move=True)
            assert not driver.plug(None, vif, move=True).changed
            assert host.differs(after) == []
        if whose == OURS:
            driver.unplug(None, old.vif, force=True)
        else:
            driver.unplug_ids([ID], force=True)
        assert found(namespace, ovs) == NOWHERE
        assert driver.list() == []
    assert host.differs(host.before) == []


@pytest.mark.parametrize("old", [BRIDGE, HYBRID, MANUAL], ids=str)
@pytest.mark.parametrize("new", [BRIDGE, HYBRID, MANUAL], ids=str)
def test_several_vifs_move_in_one_call(
    old: Spot, new: Spot, namespace: NetworkNamespace, ovs: OpenVSwitch, driver: GenericVIFDriver
) -> None:
    host = Host(namespace, ovs, driver)

    def vifs(spot: Spot) -> list[tuple[None, VIF]]:
        return [(None, dataclasses.replace(spot.vif, id=vif_id)) for vif_id in IDS[:10]]

    driver.plug_all(vifs(old))
    results = driver.plug_all(vifs(new), move=True)
    assert [getattr(one, "changed", one) for one in results] == [old != new] * 10
    ways = [(new.vif_type, new.process or None, new.bridge)] * 10
    assert [(one.vif_type, one.process, one.bridge) for one in driver.list()] == ways
    assert [driver.check(*pair).operations for pair in vifs(new)] == [()] * 10
    driver.unplug_all(vifs(new))
    assert host.differs(host.before) == []


def test_a_vif_without_a_guest_leaves_the_tap_that_its_new_place_does_not_need(
    namespace: NetworkNamespace, ovs: OpenVSwitch, driver: GenericVIFDriver, conf: Config
) -> None:
    conf.config(group="vifplug_ovs", process="automatic")
    automatic = dataclasses.replace(MANUAL.vif, details={})
    host = Host(namespace, ovs, driver)
    driver.plug(None, BRIDGE.vif)
    with TapEnd(namespace, TAP):
        before = host.everything()
        needed = rf"{TAP} is the tap of this VIF's guest; needed: no guest that runs: .* automatic"
        for call in (driver.plan, driver.plug):
            with pytest.raises(Conflict, match=needed):
                call(None, automatic, move=True)
        assert host.differs(before) == []
    driver = GenericVIFDriver()
    assert driver.plug(None, automatic, move=True).process == "automatic"
    assert found(namespace, ovs)["devices"] == set()
    assert not driver.check(None, automatic)
    driver.unplug(None, automatic)
    assert host.differs(host.before) == []


def test_a_vif_whose_guest_runs_where_it_should_be_does_not_move(
    namespace: NetworkNamespace, ovs: OpenVSwitch, driver: GenericVIFDriver
) -> None:
    automatic = dataclasses.replace(MANUAL.vif, details={})
    assert driver.plug(None, automatic).process == "automatic"
    with LibvirtsTap(namespace, TAP):
        ids = (f"external_ids:iface-id={ID}", f"external_ids:vm-id={IDS[2]}")
        ovs.vsctl("add-port", "br-int", TAP, "--", "set", "Interface", TAP, *ids)
        namespace.ip("link", "set", TAP, "up")
        host = Host(namespace, ovs, driver)
        assert not driver.plan(None, automatic, move=True)
        assert not driver.plug(None, automatic, move=True).changed
        assert host.differs(host.before) == []

        for spot in (BRIDGE, MANUAL, HYBRID):  # but from there it moves, and does not come back
            tap = index(namespace)
            driver.plug(None, spot.vif, move=True)
            assert found(namespace, ovs) == spot.shown("netdev")
            assert index(namespace) == tap
        assert driver.plug(None, automatic, move=True).process == "manual"


@pytest.fixture
def far(namespace: NetworkNamespace, ovs: OpenVSwitch, driver: object) -> Iterator[Any]:
    """The far side of br-int, to which the other bridges are joined."""
    with NetworkNamespace() as other:
        veth(namespace, "uplink", other, "far")
        ovs.vsctl("add-port", "br-int", "uplink")
        for bridge in BRIDGES:
            veth(namespace, f"{bridge}-q", namespace, f"{bridge}-o")
            namespace.ip("link", "set", f"{bridge}-q", "master", bridge)
            ovs.vsctl("add-port", "br-int", f"{bridge}-o")
        for bridge, port, peer in (("br-int", "there", "back"), ("br-two", "back", "there")):
            ends = ("type=patch", f"options:peer={peer}")
            ovs.vsctl("--no-wait", "add-port", bridge, port, "--", "set", "Interface", port, *ends)
        yield other


@moves
def test_few_frames_are_lost_meanwhile(
    old: Spot, new: Spot, whose: str, namespace: NetworkNamespace, far: NetworkNamespace,
    driver: GenericVIFDriver, record_property: Any,
) -> None:  # fmt: skip
    with running(old, driver, namespace, ours=whose == OURS) as guest, Capture(far, "far") as wire:
        time.sleep(0.5)
        fewest = dict.fromkeys((new, old), 10**9)
        for _ in range(TRIES):
            for spot in (new, old):
                with Stream(guest, wire, spot.vif.address) as stream:
                    time.sleep(0.3)
                    driver.plug(None, spot.vif, move=True)
                    time.sleep(0.3)
                sent, out, back = stream.lost()
                record_property(f"lost to {spot}", f"{out} and {back} of {sent}")
                assert sent > 100
                fewest[spot] = min(fewest[spot], max(out, back))
            if all(lost < MOST_LOST for lost in fewest.values()):
                break
        assert all(lost < MOST_LOST for lost in fewest.values()), fewest


def test_a_move_that_fails_gives_neutrons_tag_back(
    namespace: NetworkNamespace, ovs: OpenVSwitch, driver: GenericVIFDriver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    driver.plug(None, MANUAL.vif)
    as_neutron_does(ovs, MANUAL)
    perform = means.perform

    def joins_no_bridge(operation: Operation, kernel: Any) -> None:
        if "master brq" in str(operation):
            raise OSError(16, "Device or resource busy")
        perform(operation, kernel)

    monkeypatch.setattr(means, "perform", joins_no_bridge)
    fork(OvsPlugin)
    before = Host(namespace, ovs, driver).everything()
    with pytest.raises(PlugFailed, match="master brq-a: Device or resource busy; undone"):
        driver.plug(None, BRIDGE.vif, move=True)
    (port,) = (row for row in ovs.rows("Port") if row["name"] == TAP)
    assert (port["tag"], port["other_config"]["net_uuid"]) == (7, "n1")
    assert port["external_ids"]["note"] == "of-others"
    assert differences(before[0]["links"], namespace.everything()["links"]) == []
    assert not driver.check(None, MANUAL.vif)


def test_devices_of_the_old_place_that_stay_are_named_and_go_with_the_next_move(
    namespace: NetworkNamespace, ovs: OpenVSwitch, driver: GenericVIFDriver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    host = Host(namespace, ovs, driver)
    driver.plug(None, HYBRID.vif)
    perform = means.perform

    def removes_nothing(operation: Operation, kernel: Any) -> None:
        if not isinstance(operation, RemoveLink):
            perform(operation, kernel)

    with monkeypatch.context() as patch:
        patch.setattr(means, "perform", removes_nothing)
        fork(OvsPlugin)
        left = rf"devices of its old place are left.*remove {QVO}: still to do"
        with pytest.raises(PlugFailed, match=left):
            driver.plug(None, MANUAL.vif, move=True)
    fork(OvsPlugin)
    with pytest.raises(Conflict, match="plug with --move"):
        driver.check(None, MANUAL.vif)
    driver.plug(None, MANUAL.vif, move=True)
    assert found(namespace, ovs) == MANUAL.shown("netdev")
    driver.unplug(None, MANUAL.vif)
    assert host.differs(host.before) == []


@pytest.mark.parametrize("whose", [OURS, LIBVIRTS])
def test_the_old_place_is_locked_too(
    whose: str, namespace: NetworkNamespace, ovs: OpenVSwitch, driver: GenericVIFDriver
) -> None:
    with running(BRIDGE, driver, namespace, ours=whose == OURS):
        host = Host(namespace, ovs, driver)
        until = time.monotonic() + 60
        held = locks.held(driver.reader.folder(), ("link-brq-a",), vif_id=IDS[1], deadline=until)
        with held, pytest.raises(DeadlineExceeded, match="waiting for the lock link-brq-a"):
            driver.plug(None, MANUAL.vif, move=True, timeout=0.5)
        assert host.differs(host.before) == []
        assert driver.plug(None, MANUAL.vif, move=True).changed


def test_a_vif_with_a_bridge_of_its_own_does_not_move(
    namespace: NetworkNamespace, ovs: OpenVSwitch, driver: GenericVIFDriver, conf: Config
) -> None:
    conf.config(group="vifplug_ovs", per_port_bridge=True)
    driver = GenericVIFDriver()
    driver.plug(None, MANUAL.vif)
    host = Host(namespace, ovs, driver)
    for spot in (BRIDGE, HYBRID):
        for call in (driver.plan, driver.plug):
            with pytest.raises(Conflict, match=r"OVS bridge pb.* is this VIF's; .* unplug the VIF"):
                call(None, spot.vif, move=True)
    assert host.differs(host.before) == []
    assert not driver.check(None, MANUAL.vif)


def test_two_places_that_no_daemon_knows_both_of(
    namespace: NetworkNamespace, ovs: OpenVSwitch, driver: GenericVIFDriver
) -> None:
    namespace.ip("link", "add", "eth1", "type", "veth", "peer", "name", "eth1-p")
    data = {"id": ID, "vif_type": "macvtap", "address": "fa:16:3e:11:22:33"}
    macvtap = VIF.from_dict({**data, "network": {"interface": "eth1"}})
    driver.plug(None, macvtap)
    host = Host(namespace, ovs, driver)
    for spot in (BRIDGE, MANUAL):
        for call in (driver.plan, driver.plug):
            with pytest.raises(Conflict, match=r"eth1 has this VIF's claim \(macvtap\).* unplug"):
                call(None, spot.vif, move=True)
    assert host.differs(host.before) == []
    driver.unplug(None, macvtap)

    with ExitStack() as stack:  # and the other way
        stack.enter_context(running(MANUAL, driver, namespace, ours=True))
        host = Host(namespace, ovs, driver)
        for call in (driver.plan, driver.plug):
            with pytest.raises(Conflict, match="macvtap"):
                call(None, macvtap, move=True)
        assert host.differs(host.before) == []
