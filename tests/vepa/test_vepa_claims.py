# SPDX-License-Identifier: Apache-2.0
"""Many VIFs on one device do not keep other programs from reading the host's devices.

A device with hundreds of alternative names has a message of the kernel that is longer than the
buffers of the C library and of ovs-vswitchd: ``getifaddrs`` never returns, and ovs-vswitchd hangs.
"""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import pytest

from tests.otherprograms import LARGEST, message, require_readable
from tests.vepa.vifs import card
from vifplug import VIF, GenericVIFDriver
from vifplug.model.mark import CLAIMS
from vifplug.result import Result
from vifplug.testing import NetworkNamespace, OpenVSwitch

VIFS = 200


@pytest.fixture
def ovs(namespace: NetworkNamespace) -> Iterator[OpenVSwitch]:
    with OpenVSwitch(namespace) as running:
        running.add_bridge("br-int")
        yield running


def vif(number: int) -> VIF:
    address = f"fa:16:3e:22:{number >> 8:02x}:{number & 0xFF:02x}"
    data = {"id": str(UUID(int=number + 1)), "vif_type": "macvtap", "address": address}
    return VIF.from_dict({**data, "network": {"interface": "eth1"}})


def test_200_vifs_on_a_device_leave_the_host_readable_for_others(
    namespace: NetworkNamespace, driver: GenericVIFDriver, ovs: OpenVSwitch
) -> None:
    card(namespace)
    namespace.ip("address", "add", "192.0.2.7/24", "dev", "eth1")
    before = len(message("eth1"))
    pairs = [(None, vif(number)) for number in range(VIFS)]
    outcomes = driver.plug_all(pairs)
    assert all(isinstance(outcome, Result) and outcome.changed for outcome in outcomes)
    assert len(driver.list()) == VIFS

    require_readable(namespace, {"lo", "eth1", "br-int"}, "192.0.2.7")
    sent = message("eth1")
    assert CLAIMS.encode() in sent
    assert before < len(sent) < LARGEST
    control = str(ovs.rundir / "ovs-vswitchd.ctl")
    version = namespace.run("ovs-appctl", "-t", control, "version", timeout=10).stdout
    assert version.startswith("ovs-vswitchd")

    driver.unplug_all(pairs)
    assert (driver.list(), len(message("eth1"))) == ([], before)
