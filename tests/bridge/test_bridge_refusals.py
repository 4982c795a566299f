# SPDX-License-Identifier: Apache-2.0
"""What no plug can deal with on a host: plan, check and plug say so alike, and how to mend it.

Also what an earlier plug left behind, which a plug or an unplug clears away.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from oslo_config.fixture import Config

from tests.bridge.vifs import IDS, bridge_vif
from vifplug import VIF, Conflict, GenericVIFDriver
from vifplug.testing import NetworkNamespace, veth
from vifplug.testing.claims import kept_of
from vifplug.testing.configured import fork
from vifplug.testing.dumps import differences
from vifplug.testing.shell import COMMAND
from vifplug_bridge.plugin import BridgePlugin

MARK = "vifplug:shared::uplink:br100"


@pytest.fixture
def host(namespace: NetworkNamespace) -> NetworkNamespace:
    """A host with two cards, the first of which has an address."""
    for name in ("eth0", "eth1"):
        veth(namespace, name, namespace, f"{name}p")
    namespace.ip("address", "add", "192.0.2.7/24", "dev", "eth0")
    return namespace


def require_refused(driver: GenericVIFDriver, host: NetworkNamespace, vif: VIF, words: str) -> None:
    """Require that plan, check and plug refuse a VIF alike, and change nothing."""
    before = host.everything()
    for call in (driver.plan, driver.check, driver.plug):
        with pytest.raises(Conflict) as error:
            call(None, vif)
        assert str(error.value) == f"VIF {vif.id}: {words}"
    assert differences(before, host.everything()) == []


def test_a_bridge_has_one_uplink(host: NetworkNamespace, driver: GenericVIFDriver) -> None:
    driver.plug(None, bridge_vif(0, interface="eth0"))
    words = (
        "br100 has the uplink eth0; needed: eth0 as network.interface, "
        "or an unplug of the last VIF of br100, with remove_unused"
    )
    require_refused(driver, host, bridge_vif(1, interface="eth1"), words)
    require_refused(driver, host, bridge_vif(0, interface="eth1"), words)
    assert driver.plug(None, bridge_vif(1, interface="eth0")).changed


def test_another_uplink_can_be_had_once_the_last_vif_has_gone(
    host: NetworkNamespace, conf: Config, driver: GenericVIFDriver
) -> None:
    conf.config(group="vifplug_bridge", remove_unused=True)
    fork(BridgePlugin)  # the option is the daemon's
    before = host.everything()
    driver.plug(None, bridge_vif(0, interface="eth0"))
    driver.unplug(None, bridge_vif(0, interface="eth0"))
    assert differences(before, host.everything()) == []
    driver.plug(None, bridge_vif(0, interface="eth1"))
    assert host.everything()["links"]["eth1"]["master"] == "br100"


@pytest.mark.parametrize("since", ["link del br100", "link set eth0 nomaster"])
def test_the_mark_of_a_former_uplink_goes_with_the_next_plug(
    since: str, host: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    driver.plug(None, bridge_vif(0, interface="eth0"))
    host.ip(*since.split())
    assert MARK in kept_of("eth0")
    vif = bridge_vif(0, interface="eth1")
    assert "eth0 is its uplink no more" in str(driver.check(None, vif))
    assert driver.plug(None, vif).changed
    assert not driver.check(None, vif)
    assert (kept_of("eth0"), kept_of("eth1")) == ([], [MARK])


def test_the_mark_of_a_former_uplink_comes_back_where_the_plug_fails(
    host: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    driver.plug(None, bridge_vif(0, interface="eth0"))
    host.ip("link", "del", "br100")
    with NetworkNamespace(name="container") as container:
        host.ip("link", "add", "link", "eth1", "name", "mv0", "type", "macvlan")
        host.ip("link", "set", "mv0", "netns", container.path)
        before = host.everything()
        with pytest.raises(Exception, match="Device or resource busy; undone"):
            driver.plug(None, bridge_vif(0, interface="eth1"))
        assert differences(before, host.everything()) == []
    assert MARK in kept_of("eth0")


@pytest.mark.parametrize("by_id", [False, True])
def test_the_mark_of_a_former_uplink_goes_with_the_next_unplug(
    by_id: bool, host: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    vif = bridge_vif(0, interface="eth0")

    def unplug() -> object:
        return driver.unplug_ids([vif.id])[0] if by_id else driver.unplug(None, vif)

    driver.plug(None, vif)
    host.ip("link", "del", "br100")
    assert getattr(unplug(), "changed", None) is True
    assert kept_of("eth0") == []
    assert getattr(unplug(), "changed", None) is False


def test_an_unplug_leaves_the_mark_of_an_uplink(
    host: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    vif = bridge_vif(0, interface="eth0")
    driver.plug(None, vif)
    driver.unplug(None, vif)
    assert kept_of("eth0") == [MARK]
    host.ip("link", "set", "eth0", "nomaster")
    driver.unplug(None, vif)
    assert kept_of("eth0") == [MARK], "the bridge is there: it tells where eth0 belongs"
    driver.plug(None, vif)
    assert host.everything()["links"]["eth0"]["master"] == "br100"


def test_another_name_of_a_device_is_not_taken_for_its_name(
    host: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    host.ip("link", "property", "add", "dev", "eth0", "altname", "enp3s0")
    host.ip("link", "add", "br0", "type", "bridge")
    host.ip("link", "property", "add", "dev", "br0", "altname", "br-storage")
    uplink = bridge_vif(interface="enp3s0")
    require_refused(driver, host, uplink, "enp3s0 is another name of eth0; needed: eth0")
    there = bridge_vif(bridge="br-storage", should_create_bridge=False)
    require_refused(driver, host, there, "br-storage is another name of br0; needed: br0")
    made = bridge_vif(bridge="br-storage")
    words = "br-storage is another name of br0; needed: br0, or a name that is free"
    require_refused(driver, host, made, words)


def test_a_bridge_of_ours_that_was_renamed_is_named(
    host: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    driver.plug(None, bridge_vif(0))
    driver.unplug(None, bridge_vif(0))
    host.ip("link", "set", "br100", "down")
    host.ip("link", "set", "br100", "name", "br101")
    mark = "vifplug:shared::bridge:br100"
    way = f"ip link property del dev br101 altname {mark}"
    words = f"br101 has the mark of br100; needed: its name back, or that mark removed: {way}"
    require_refused(driver, host, bridge_vif(1), words)
    host.ip(*way.split()[1:])
    assert driver.plug(None, bridge_vif(1)).changed


READ_ONLY = 'mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && exec "$@"'
DEFAULTS = {"ipv4": {"arp_ignore": 1, "arp_announce": 2}, "ipv6": {"disable_ipv6": 1}}


class Container:
    """Runs the command where /proc/sys can't be written, as in most containers."""

    def __init__(self, host: NetworkNamespace, folder: Path, vif: VIF) -> None:
        self._host = host
        config, self._file = folder / "own.conf", folder / "vif.json"
        config.write_text(
            f"[vifplug]\nlock_path = {folder / 'locks'}\nlibvirt_version = 9.0.0\n"
            "virt_type = qemu\n[vifplug_bridge]\ncreate_tap = true\n"
        )
        self._file.write_text(json.dumps(vif.to_dict()))
        self._command = ("unshare", "--mount", "sh", "-c", READ_ONLY, "sh", COMMAND,
                         "--config-file", str(config))  # fmt: skip

    def __call__(self, word: str) -> tuple[int, str]:
        """Return the status of a command of vifplug, and what it said of errors."""
        done = self._host.run(*self._command, word, str(self._file), check=False)
        return done.returncode, done.stderr.strip()


def set_defaults(host: NetworkNamespace) -> None:
    """Have new devices come as a plug wants them."""
    with host.entered():
        for family, settings in DEFAULTS.items():
            for name, value in settings.items():
                Path(f"/proc/sys/net/{family}/conf/default/{name}").write_text(str(value))


def test_sysctls_that_nobody_can_write_are_known_to_planning(
    host: NetworkNamespace, tmp_path: Path
) -> None:
    vifplug = Container(host, tmp_path, bridge_vif())
    before = host.everything()
    said = [vifplug(word) for word in ("plan", "check", "plug")]
    defaults = (
        "net.ipv6.conf.default.disable_ipv6=1 net.ipv4.conf.default.arp_ignore=1 "
        "net.ipv4.conf.default.arp_announce=2"
    )
    words = (
        f"error: VIF {IDS[0]}: /proc/sys is read-only; needed: a writable one: br100 needs IPv6 "
        f"off, arp_ignore 1, arp_announce 2 (or beforehand: sysctl {defaults})"
    )
    assert said == [(1, words)] * 3
    assert differences(before, host.everything()) == []


def test_sysctls_that_nobody_can_write_are_no_hindrance_where_all_is_so(
    host: NetworkNamespace, tmp_path: Path
) -> None:
    set_defaults(host)
    vifplug = Container(host, tmp_path, bridge_vif())
    assert [vifplug(word) for word in ("plan", "plug", "check")] == [(0, "")] * 3
    sysctls = host.everything()["sysctls"]
    assert sysctls["net/ipv4/conf/br100/arp_ignore"] == "1"
    assert sysctls[f"net/ipv6/conf/tap{IDS[0][:11]}/disable_ipv6"] == "1"
    assert vifplug("unplug") == (0, "")
    assert IDS[0][:11] not in str(host.everything())


def test_a_bridge_of_others_needs_no_sysctl(host: NetworkNamespace, tmp_path: Path) -> None:
    host.ip("link", "add", "br100", "up", "type", "bridge")
    vifplug = Container(host, tmp_path, bridge_vif())
    status, said = vifplug("plug")
    assert status == 1
    assert "/proc/sys is read-only; needed: a writable one: tap0b6a9d0e-7a needs IPv6 off" in said
    set_defaults(host)
    assert [vifplug(word) for word in ("plug", "check")] == [(0, "")] * 2
