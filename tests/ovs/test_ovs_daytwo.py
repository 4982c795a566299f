# SPDX-License-Identifier: Apache-2.0
"""Day two on Open vSwitch: whose a port is, what a reboot or another program left, what goes."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from oslo_config.fixture import Config

from tests.ovs.conftest import Host
from tests.ovs.moves import HYBRID, ID, MANUAL, QBR, QVB, QVO, TAP
from tests.ovs.vifs import IDS, ovs_vif
from vifplug import VIF, Collected, GenericVIFDriver, InUse, Result
from vifplug.plan.removal import Removal
from vifplug.testing import NetworkNamespace, OpenVSwitch, TapEnd
from vifplug.testing.dumps import differences

GUEST = {"uuid": "5d1d1c02-0e0a-4a86-a7bd-5f1a9a5a0a01", "name": "web1"}
DHCP = "7a7a7a7a-1111-4a6e-9d55-3f1f0a3c2b11"


def steps(collected: Sequence[Collected]) -> list[tuple[str | None, str, str]]:
    return [(one.id, str(one.removal), str(one.error or "")) for one in collected]


def dry_and_real(driver: GenericVIFDriver, keep: Any, **options: Any) -> list[str | None]:
    """Do what a dry run has printed; return the ids."""
    dry = driver.gc(keep, dry_run=True, **options)
    real = driver.gc(keep, **options)
    assert steps(dry) == steps(real)
    for one in real:
        assert isinstance(one.removal, Removal)
        assert isinstance(one.outcome, Result)
        assert set(one.removal.removed) == set(one.outcome.removed), "what was done was planned"
    return [one.id for one in real]


def test_the_switch_tells_guest_address_and_vlan(
    br_int: OpenVSwitch, driver: GenericVIFDriver
) -> None:
    driver.plug(GUEST, MANUAL.vif)
    br_int.vsctl("set", "Port", TAP, "tag=42")
    (one,) = driver.list()
    assert (one.guest, one.address, one.vlan, one.state) == (
        "web1",
        MANUAL.vif.address,
        42,
        "unattached",
    )
    # Without the note, as after a reboot, the rows still tell.
    driver.reader.notes().remove(ID)
    (one,) = driver.list()
    assert (one.guest, one.address, one.vif) == (GUEST["uuid"], MANUAL.vif.address, None)
    br_int.vsctl("set", "Port", TAP, "tag=4095")
    (one,) = driver.list()
    assert (one.state, one.vlan, one.unwired) == ("unattached", 4095, "dead VLAN 4095")
    driver.unplug_ids([ID])


def test_gc_of_each_way_removes_all_and_keeps_what_is_kept(host: Host) -> None:
    kept, going = ovs_vif(0), ovs_vif(1)
    host.driver.plug(None, kept)
    before = host.everything()
    host.driver.plug(None, going)
    assert dry_and_real(host.driver, [kept]) == [going.id]
    assert host.differs(before) == []
    assert not host.driver.check(None, kept)
    assert dry_and_real(host.driver, [], everything=True) == [kept.id]
    assert host.differs(host.before) == []


def test_rows_whose_devices_a_reboot_took_are_removed(
    namespace: NetworkNamespace, br_int: OpenVSwitch, driver: GenericVIFDriver
) -> None:
    before = br_int.everything()
    vifs = [MANUAL.vif, ovs_vif(1)]
    for vif in vifs:
        driver.plug(None, vif)
    for name in (TAP, f"tap{IDS[1][:11]}"):
        if name in namespace.everything()["links"]:
            namespace.ip("link", "del", name)
    states = {one.id: one.state for one in driver.list()}
    assert states[ID] == "drift", "its device is gone"
    assert sorted(map(str, dry_and_real(driver, [], everything=True))) == sorted((ID, IDS[1]))
    assert differences(before, br_int.everything()) == []


def test_a_qos_row_that_outlived_its_port_is_removed(
    namespace: NetworkNamespace, br_int: OpenVSwitch, driver: GenericVIFDriver, conf: Config
) -> None:
    before = br_int.everything()
    driver.plug(None, MANUAL.vif)
    ids = f"external_ids:vifplug-id={ID}"
    br_int.vsctl("--", "--id=@q", "create", "QoS", "type=linux-noop", ids)
    br_int.vsctl("del-port", "br-int", TAP)
    namespace.ip("link", "del", TAP)
    assert [one.id for one in driver.list()] == [ID]
    assert dry_and_real(driver, [IDS[1]], everything=True) == [ID]
    assert differences(before, br_int.everything()) == []


# What os-vif, Nova and libvirt left.


def add_port(ovs: OpenVSwitch, name: str, vif_id: str, *words: str, **ids: str) -> None:
    known = {"iface-id": vif_id, "attached-mac": r"fa\:16\:3e\:00\:00\:01", **ids}
    external = [f"external_ids:{key}={value}" for key, value in known.items()]
    ovs.vsctl("add-port", "br-int", name, "--", "set", "Interface", name, *words, *external)


def a_hybrid_vif(namespace: NetworkNamespace, ovs: OpenVSwitch) -> None:
    """What os-vif makes of a hybrid VIF, and leaves where its unplug never came."""
    namespace.ip("link", "add", QBR, "type", "bridge")
    namespace.ip("link", "add", QVB, "type", "veth", "peer", "name", QVO)
    namespace.ip("link", "set", QVB, "up", "master", QBR)
    namespace.ip("link", "set", QVO, "up")
    add_port(ovs, QVO, ID, **{"vm-uuid": GUEST["uuid"]})


def test_what_others_left_goes_with_foreign_only(
    namespace: NetworkNamespace, br_int: OpenVSwitch, driver: GenericVIFDriver
) -> None:
    kept = ovs_vif(1)
    driver.plug(None, kept)
    before = namespace.everything()["links"], br_int.everything()
    a_hybrid_vif(namespace, br_int)
    lost, bare = str(uuid.UUID(int=5)), "tap77777777-77"
    # libvirt's row, whose guest died with the host; and a tap of which nothing tells the id.
    add_port(br_int, f"tap{lost[:11]}", lost, **{"vm-id": GUEST["uuid"]})
    namespace.ip("tuntap", "add", bare, "mode", "tap")
    assert dry_and_real(driver, [kept]) == []
    names = {name for one in driver.gc([kept], foreign=True, dry_run=True)
             for name in getattr(one.removal, "removed", ())}  # fmt: skip
    assert names == {QBR, QVB, QVO, f"tap{lost[:11]}", bare}
    assert dry_and_real(driver, [kept.id, ID], foreign=True) == [
        lost,
        "77777777-7700-0000-0000-000000000000",
    ]
    assert dry_and_real(driver, [kept], foreign=True) == [ID]
    now = namespace.everything()["links"], br_int.everything()
    assert differences(before[0], now[0]) + differences(before[1], now[1]) == []
    assert not driver.check(None, kept)


def test_what_only_looks_like_left_is_never_taken(
    namespace: NetworkNamespace, br_int: OpenVSwitch, driver: GenericVIFDriver
) -> None:
    kept = ovs_vif(1)
    driver.plug(None, kept)
    a_hybrid_vif(namespace, br_int)
    # A program's own device on the bridge of the VIF.
    namespace.ip("link", "add", "other", "type", "veth", "peer", "name", "far")
    namespace.ip("link", "set", "other", "master", QBR)
    # Neutron's DHCP port: a name of the same form, and another type.
    add_port(br_int, f"tap{DHCP[:11]}", DHCP, "type=internal", **{"vm-uuid": GUEST["uuid"]})
    # A port of a container: no guest's uuid. A device of a VIF's name and another kind.
    add_port(br_int, f"tap{IDS[3][:11]}", IDS[3])
    namespace.ip("link", "add", "tap66666666-66", "type", "veth", "peer", "name", "its-end")
    namespace.ip("link", "add", "tap55555555-55", "type", "bridge")
    namespace.ip("tuntap", "add", "tap88888888-88", "mode", "tap")
    before = namespace.everything()["links"], br_int.everything()
    with TapEnd(namespace, "tap88888888-88"):
        held = namespace.everything()["links"]
        assert dry_and_real(driver, [kept], foreign=True, force=True) == []
        assert differences(held, namespace.everything()["links"]) == []
    assert differences(before[1], br_int.everything()) == []
    for name in (QBR, QVO, "other"):
        namespace.ip("link", "del", name)
    driver.unplug_ids([ID, kept.id])


def test_a_vif_of_ours_on_a_port_of_others_is_none_of_theirs(
    namespace: NetworkNamespace, br_int: OpenVSwitch, driver: GenericVIFDriver
) -> None:
    # A claim notes the interface id: libvirt makes this VIF's port.
    automatic = VIF.from_dict({**ovs_vif(0).to_dict(), "interface_id": IDS[5]})
    assert driver.plug(None, automatic).process == "automatic"
    add_port(br_int, f"tap{IDS[5][:11]}", IDS[5], **{"vm-id": GUEST["uuid"]})
    assert dry_and_real(driver, [automatic], foreign=True) == []
    driver.unplug(None, automatic)


def test_gc_spares_a_held_hybrid_vif(
    namespace: NetworkNamespace, br_int: OpenVSwitch, driver: GenericVIFDriver, conf: Config
) -> None:
    driver.plug(None, HYBRID.vif)
    namespace.ip("tuntap", "add", TAP, "mode", "tap")
    namespace.ip("link", "set", TAP, "up", "master", QBR)
    with TapEnd(namespace, TAP):
        (one,) = driver.gc([], everything=True)
        assert isinstance(one.error, InUse)
    assert dry_and_real(driver, [], everything=True) == [ID]


def a_bridge_of_its_own(ovs: OpenVSwitch, *, tap: bool = True) -> None:
    """What os-vif makes of a VIF with ``per_port_bridge``: the patch on br-int has the ids."""
    own, inner, outer = (f"{prefix}{ID}"[:14] for prefix in ("pb", "pbp", "ibp"))
    ovs.add_bridge(own)
    ovs.vsctl("add-port", own, inner, "--", "set", "Interface", inner, "type=patch",
              f"options:peer={outer}")  # fmt: skip
    patch = ("type=patch", f"options:peer={inner}")
    add_port(ovs, outer, ID, *patch, **{"vm-uuid": GUEST["uuid"], "iface-status": "active"})
    if tap:
        ovs.vsctl("add-port", own, TAP)


def test_a_bridge_of_its_own_that_os_vif_left_goes(
    namespace: NetworkNamespace, br_int: OpenVSwitch, driver: GenericVIFDriver
) -> None:
    kept = ovs_vif(1)
    driver.plug(None, kept)
    before = namespace.everything()["links"], br_int.everything()
    namespace.ip("tuntap", "add", TAP, "mode", "tap")
    a_bridge_of_its_own(br_int)
    # A bridge of the same form of which no patch has a VIF's ids may be another program's.
    br_int.add_bridge(f"pb{IDS[4]}"[:14])
    with TapEnd(namespace, TAP):
        namespace.ip("link", "set", TAP, "up")
        assert dry_and_real(driver, [kept], foreign=True) == []
    assert dry_and_real(driver, [kept, ID], foreign=True) == []
    assert dry_and_real(driver, [kept], foreign=True) == [ID]
    br_int.vsctl("del-br", f"pb{IDS[4]}"[:14])
    assert differences(before[1], br_int.everything()) == []
    assert TAP not in namespace.everything()["links"]
    assert not driver.check(None, kept)


def test_a_port_of_vhost_user_that_os_vif_left_goes(
    br_int: OpenVSwitch, driver: GenericVIFDriver
) -> None:
    kept = ovs_vif(1)
    driver.plug(None, kept)
    before = br_int.everything()
    name, socket = f"vhu{ID}"[:14], f"/run/{ID}"
    mode = ("type=dpdkvhostuserclient", f"options:vhost-server-path={socket}")
    add_port(br_int, name, ID, *mode, **{"vm-uuid": GUEST["uuid"], "iface-status": "active"})
    # Another name, and a port of no guest, are not os-vif's.
    add_port(br_int, "vhu-mine", IDS[3], *mode, **{"vm-uuid": GUEST["uuid"]})
    add_port(br_int, f"vhu{IDS[4]}"[:14], IDS[4], *mode)
    assert dry_and_real(driver, [kept], foreign=True) == [ID]
    left = {row["name"] for row in br_int.rows("Interface")}
    assert {"vhu-mine", f"vhu{IDS[4]}"[:14]} <= left
    for other in ("vhu-mine", f"vhu{IDS[4]}"[:14]):
        br_int.vsctl("del-port", other)
    assert differences(before, br_int.everything()) == []
