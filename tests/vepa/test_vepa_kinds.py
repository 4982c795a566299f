# SPDX-License-Identifier: Apache-2.0
"""Which devices a macvtap can lie on: planning and the kernel's own answer, kind by kind."""

from __future__ import annotations

import pytest

from tests.kinds import HERE, MORE, ONLY_HERE
from tests.vepa.conftest import remove_macvtaps
from tests.vepa.vifs import direct_vif
from vifplug import Conflict, GenericVIFDriver
from vifplug.testing import CommandFailed, NetworkNamespace
from vifplug.testing.dumps import differences

MODES = {"vepa": "vepa", "passthrough": "passthru"}
"""Modes in libvirt's words and in those of ip(8): the one that shares a device, and the other."""

BELOW = ("lower", "br100", "br100.7")
"""Devices that x0 lies on: one that is down keeps it down."""


def kernel_takes(namespace: NetworkNamespace, device: str, mode: str) -> bool:
    """Whether the kernel puts a macvtap on a device, and brings both up."""
    try:
        namespace.ip("link", "set", device, "up")
        namespace.ip("link", "add", "link", device, "name", "mv0", "type", "macvtap", "mode", mode)
        namespace.ip("link", "set", "mv0", "up")
    except CommandFailed:
        return False
    # On a macvlan it puts it on the device below that one, without a word.
    return bool(namespace.ip_json("link", "show", "mv0")[0]["link"] == device)


def require_agreement(
    kind: str, commands: str, mode: str, namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    """Require that planning says of a device what the kernel says, and that plug does it."""
    device = "lo" if kind == "loopback" else "x0"
    network, details = {"interface": device}, {"macvtap_mode": mode}
    vif = direct_vif(network=network, details=details)
    for line in ["link add br100 type bridge", *commands.split("; ")]:
        namespace.ip(*line.split())
    try:
        before = namespace.everything()
        try:
            driver.plan(None, vif)
            planned = True
        except Conflict as conflict:
            planned = False
            assert conflict.device in (device, *BELOW), conflict
            with pytest.raises(Conflict):
                driver.plug(None, vif)
            assert differences(before, namespace.everything()) == []
        else:
            assert driver.plug(None, vif).changed
            assert not driver.check(None, vif)
            driver.unplug(None, vif)
        assert planned == kernel_takes(namespace, device, MODES[mode]), (kind, mode, planned)
    finally:
        remove_macvtaps(namespace)
        names = [link["ifname"] for link in namespace.ip_json("link") if link["ifname"] != "lo"]
        lines = [*(f"link set {name} group 9" for name in names), "link del group 9"]
        namespace.run("ip", "-force", "-batch", "-", input="\n".join(lines), check=False)


@pytest.mark.parametrize("mode", MODES)
def test_planning_says_of_a_device_what_the_kernel_says(
    mode: str, namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    for kind, commands in (HERE | ONLY_HERE).items():
        require_agreement(kind, commands, mode, namespace, driver)


@pytest.mark.kernel("8021q", "bond", "dummy")
def test_planning_says_of_every_kind_what_the_other_kernel_says(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    for mode in MODES:
        for kind, commands in (HERE | MORE).items():
            require_agreement(kind, commands, mode, namespace, driver)


@pytest.mark.parametrize("field", ["interface", "macvtap_source", "physical_interface"])
def test_another_name_of_a_device_is_not_taken_for_its_name(
    field: str, namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    namespace.ip("link", "add", "eth0", "type", "veth", "peer", "name", "far")
    namespace.ip("link", "property", "add", "dev", "eth0", "altname", "enp3s0")
    before = namespace.everything()
    network = {"interface": "enp3s0"} if field == "interface" else {}
    details = {"macvtap_mode": "vepa"} if network else {"macvtap_mode": "vepa", field: "enp3s0"}
    vif = direct_vif(network=network, details=details)
    for call in (driver.plan, driver.check, driver.plug):
        with pytest.raises(Conflict, match="enp3s0 is another name of eth0; needed: eth0"):
            call(None, vif)
    assert differences(before, namespace.everything()) == []
