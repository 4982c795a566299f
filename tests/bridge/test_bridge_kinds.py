# SPDX-License-Identifier: Apache-2.0
"""Which devices can be an uplink: planning and the kernel's own answer, kind by kind."""

from __future__ import annotations

import pytest

from tests.bridge.vifs import bridge_vif
from tests.kinds import HERE, MORE, ONLY_HERE
from vifplug import Conflict, GenericVIFDriver
from vifplug.testing import CommandFailed, NetworkNamespace
from vifplug.testing.dumps import differences

STRICTER = {"port-of-another", "of-a-bond", "of-a-team", "of-a-vrf"}
"""The kernel would take such a device away from its master; a plug takes nobody's."""


def kernel_takes(namespace: NetworkNamespace, device: str) -> bool:
    """Whether the kernel lets a device be a port of the bridge br100, and come up."""
    try:
        namespace.ip("link", "set", device, "up")
        namespace.ip("link", "set", device, "master", "br100")
    except CommandFailed:
        return False
    return True


def require_agreement(kind: str, commands: str, driver: GenericVIFDriver) -> None:
    """Require that planning says of a device what the kernel says, and that plug does it."""
    vif = bridge_vif(interface="lo" if kind == "loopback" else "x0")
    with NetworkNamespace(name=kind, enter=True) as namespace:
        for line in ["link add br100 type bridge", *commands.split("; ")]:
            namespace.ip(*line.split())
        before = namespace.everything()
        try:
            driver.plan(None, vif)
            planned = True
        except Conflict:
            planned = False
            with pytest.raises(Conflict):
                driver.plug(None, vif)
            assert differences(before, namespace.everything()) == []
        else:
            assert driver.plug(None, vif).changed
            assert not driver.check(None, vif)
            namespace.ip("link", "set", "x0", "nomaster")
        taken = kernel_takes(namespace, str(vif.network.interface))
        assert planned == taken or (kind in STRICTER and not planned), (kind, planned, taken)


@pytest.mark.parametrize("kind", HERE | ONLY_HERE)
def test_planning_says_of_a_device_what_the_kernel_says(
    kind: str, driver: GenericVIFDriver
) -> None:
    require_agreement(kind, (HERE | ONLY_HERE)[kind], driver)


@pytest.mark.kernel("8021q", "bond", "dummy")
def test_planning_says_of_every_kind_what_the_other_kernel_says(
    driver: GenericVIFDriver,
) -> None:
    for kind, commands in {**HERE, **MORE}.items():
        require_agreement(kind, commands, driver)
