# SPDX-License-Identifier: Apache-2.0
"""What another program does to the port or tap of a guest that runs, and what check says of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
from oslo_config.fixture import Config

from tests.libvirts_tap import LibvirtsTap
from tests.ovs.conftest import Host
from tests.ovs.moves import HYBRID, ID, MANUAL, QBR, QVB, QVO, TAP
from tests.ovs.vifs import IDS
from vifplug import Conflict, GenericVIFDriver, InUse
from vifplug.testing import NetworkNamespace, OpenVSwitch, TapEnd
from vifplug.testing.dumps import differences

AUTOMATIC = dataclasses.replace(MANUAL.vif, details={})


@pytest.fixture
def guest(
    namespace: NetworkNamespace, br_int: OpenVSwitch, driver: GenericVIFDriver
) -> Iterator[LibvirtsTap]:
    """A guest that runs on br-int, on a tap and port that libvirt made."""
    br_int.add_bridge("br-two")
    for bridge in ("br-int", "br-two"):  # else it follows the smallest of its ports' MTUs
        br_int.vsctl("set", "Interface", bridge, "mtu_request=1400")
    assert driver.plug(None, AUTOMATIC).process == "automatic"
    with LibvirtsTap(namespace, TAP, address=AUTOMATIC.address) as end:
        namespace.ip("link", "set", TAP, "mtu", "1450", "up")
        ids = (f"iface-id={ID}", f"vm-id={IDS[2]}", f'attached-mac="{AUTOMATIC.address}"')
        words = [f"external_ids:{each}" for each in (*ids, "iface-status=active")]
        br_int.vsctl("add-port", "br-int", TAP, "--", "set", "Interface", TAP, *words)
        assert not driver.check(None, AUTOMATIC)
        assert [(one.state, one.drift) for one in driver.list()] == [("up", ())]
        yield end


def ports(ovs: OpenVSwitch, bridge: str) -> list[str]:
    return [name for name in ovs.vsctl("list-ports", bridge).split() if name == TAP]


def test_a_deleted_port_of_an_automatic_vif_is_told_and_mended(
    guest: TapEnd, namespace: NetworkNamespace, br_int: OpenVSwitch, driver: GenericVIFDriver
) -> None:
    br_int.vsctl("del-port", "br-int", TAP)
    assert driver.check(None, AUTOMATIC).operations
    assert [one.drift for one in driver.list()] == [(f"{TAP} is in no bridge",)]
    assert driver.plug(None, AUTOMATIC).changed
    (row,) = (row for row in br_int.rows("Interface") if row["name"] == TAP)
    assert (row["external_ids"]["iface-id"], row["ofport"] > 0) == (ID, True)
    assert row["external_ids"]["attached-mac"] == AUTOMATIC.address
    assert ports(br_int, "br-int") == [TAP]
    assert not driver.check(None, AUTOMATIC)
    assert [(o.process, o.state, o.drift) for o in driver.list()] == [("automatic", "up", ())]
    assert not driver.plug(None, AUTOMATIC).changed


def test_a_tap_of_an_automatic_vif_that_is_down_comes_up(
    guest: TapEnd, namespace: NetworkNamespace, br_int: OpenVSwitch, driver: GenericVIFDriver
) -> None:
    """A tap that is down shows no carrier, although its guest has it."""
    namespace.ip("link", "set", TAP, "down")
    before = br_int.everything()
    assert driver.check(None, AUTOMATIC).operations
    assert driver.plug(None, AUTOMATIC).changed
    (link,) = namespace.ip_json("link", "show", TAP)
    assert "UP" in link["flags"]
    assert br_int.everything() == before
    assert not driver.check(None, AUTOMATIC)
    # Without its port, nothing shows that a guest has it.
    br_int.vsctl("del-port", "br-int", TAP)
    namespace.ip("link", "set", TAP, "down")
    assert not driver.check(None, AUTOMATIC).operations


def test_a_port_of_an_automatic_vif_on_another_bridge_comes_back(
    guest: TapEnd, br_int: OpenVSwitch, driver: GenericVIFDriver
) -> None:
    ids = (f"external_ids:iface-id={ID}", f"external_ids:vm-id={IDS[2]}")
    add = ("add-port", "br-two", TAP, "--", "set", "Interface", TAP, *ids)
    br_int.vsctl("del-port", "br-int", TAP, "--", *add)
    assert driver.check(None, AUTOMATIC).operations
    assert [one.drift for one in driver.list()] == [(f"{TAP} is in br-two, not in br-int",)]
    assert driver.plug(None, AUTOMATIC).changed
    assert (ports(br_int, "br-int"), ports(br_int, "br-two")) == ([TAP], [])
    assert not driver.check(None, AUTOMATIC)


def test_a_tap_of_an_automatic_vif_in_a_linux_bridge_is_a_conflict(
    guest: TapEnd, namespace: NetworkNamespace, br_int: OpenVSwitch, driver: GenericVIFDriver
) -> None:
    namespace.ip("link", "add", "brq", "type", "bridge")
    namespace.ip("link", "set", TAP, "master", "brq")
    host = Host(namespace, br_int, driver)
    for call in (driver.check, driver.plug):
        with pytest.raises(Conflict, match=f"{TAP} is on brq already"):
            call(None, AUTOMATIC)
    assert host.differs(host.before) == []


def test_what_a_guest_of_an_automatic_vif_holds_is_not_unplugged(
    guest: TapEnd, namespace: NetworkNamespace, br_int: OpenVSwitch, driver: GenericVIFDriver
) -> None:
    host = Host(namespace, br_int, driver)
    with pytest.raises(InUse, match=f"VIF {ID}: {TAP} is in use by"):
        driver.unplug(None, AUTOMATIC)
    (error,) = driver.unplug_ids([ID])
    assert isinstance(error, InUse)
    assert host.differs(host.before) == []
    assert driver.unplug(None, AUTOMATIC, force=True).changed
    assert (driver.list(), ports(br_int, "br-int")) == ([], [])


ACTS = {
    "tap taken out": (("link", "set", TAP, "nomaster"), f"{TAP} is in no bridge"),
    "wire taken out": (("link", "set", QVB, "nomaster"), f"{QVB} is in no bridge"),
    "wire down": (("link", "set", QVO, "down"), f"{QVO} is down"),
    "tap elsewhere": (("link", "set", TAP, "master", "brq-b"), f"{TAP} is in brq-b, not in {QBR}"),
}


@pytest.mark.parametrize("act", ACTS)
def test_drift_of_a_hybrid_vif_is_told_and_mended(
    act: str, namespace: NetworkNamespace, br_int: OpenVSwitch, driver: GenericVIFDriver,
    conf: Config,
) -> None:  # fmt: skip
    br_int.vsctl("set", "Interface", "br-int", "mtu_request=1400")
    address = ("address", "02:00:00:00:00:02")  # else it has its ports'
    namespace.ip("link", "add", "brq-b", *address, "type", "bridge")
    driver.plug(None, HYBRID.vif)
    with LibvirtsTap(namespace, TAP, address=HYBRID.vif.address):
        namespace.ip("link", "set", TAP, "mtu", "1450", "up", "master", QBR)
        assert not driver.check(None, HYBRID.vif)
        before = namespace.everything()
        words, told = ACTS[act]
        namespace.ip(*words)
        assert driver.check(None, HYBRID.vif).operations
        (listed,) = driver.list()
        assert (listed.state, told in listed.drift) == ("drift", True)
        assert driver.plug(None, HYBRID.vif).changed
        assert not driver.check(None, HYBRID.vif)
        assert [one.state for one in driver.list()] == ["up"]
        assert differences(before["links"], namespace.everything()["links"]) == []
        with pytest.raises(InUse):
            driver.unplug(None, HYBRID.vif)
    driver.unplug(None, HYBRID.vif)
    assert driver.list() == []


def test_a_deleted_port_of_a_manual_vif_is_listed_as_drift(
    br_int: OpenVSwitch, driver: GenericVIFDriver
) -> None:
    driver.plug(None, MANUAL.vif)
    assert [(one.state, one.drift) for one in driver.list()] == [("unattached", ())]
    br_int.vsctl("del-port", "br-int", TAP)
    assert [one.drift for one in driver.list()] == [(f"{TAP} is in no bridge",)]
    assert driver.plug(None, MANUAL.vif).changed
    assert [one.state for one in driver.list()] == ["unattached"]
    driver.unplug(None, MANUAL.vif)
