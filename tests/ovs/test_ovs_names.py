# SPDX-License-Identifier: Apache-2.0
"""Names that look like an OVS bridge's: fake bridges, and alternative names of devices.

ovs-vsctl and libvirt take a fake bridge for a bridge; the switch has the ports of a VLAN.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.ovs.conftest import Host
from tests.ovs.vifs import ovs_vif
from vifplug import Conflict, GenericVIFDriver
from vifplug.testing import NetworkNamespace, OpenVSwitch

NEEDED = "needed: a real one, as br-int, whose ports get no VLAN from vifplug"


@pytest.mark.parametrize("number", [1, 9])
def test_a_fake_bridge_is_refused_by_its_name(
    number: int, namespace: NetworkNamespace, br_int: OpenVSwitch, driver: GenericVIFDriver
) -> None:
    br_int.vsctl("add-br", "lan100", "br-int", "100")
    assert "lan100" in br_int.vsctl("list-br").split()
    host = Host(namespace, br_int, driver)
    for create in (False, True):
        network: dict[str, Any] = {"bridge": "lan100", "should_create_bridge": create}
        vifs = [ovs_vif(at, **network) for at in range(number)]
        outcomes = driver.plug_all([(None, vif) for vif in vifs])
        assert [str(one) for one in outcomes] == [
            f"VIF {vif.id}: OVS bridge lan100 is a fake bridge (VLAN 100 of br-int); {NEEDED}"
            for vif in vifs
        ]
        with pytest.raises(Conflict, match="fake bridge"):
            driver.plan(None, vifs[0])
    assert host.differs(host.before) == []


def test_a_port_of_a_bridges_name_is_no_fake_bridge(
    br_int: OpenVSwitch, driver: GenericVIFDriver
) -> None:
    internal = ("--", "set", "Interface", "lan100", "type=internal")
    br_int.vsctl("add-port", "br-int", "lan100", *internal)
    with pytest.raises(Conflict, match="OVS bridge lan100 is not there"):
        driver.plug(None, ovs_vif(bridge="lan100"))


def test_another_name_of_a_bridge_is_not_taken_for_its_name(
    namespace: NetworkNamespace, br_int: OpenVSwitch, driver: GenericVIFDriver
) -> None:
    namespace.ip("link", "property", "add", "dev", "br-int", "altname", "br-storage")
    host = Host(namespace, br_int, driver)
    for create, needed in ((False, "br-int"), (True, "br-int, or a name that is free")):
        vif = ovs_vif(bridge="br-storage", should_create_bridge=create)
        for call in (driver.plan, driver.check, driver.plug):
            with pytest.raises(Conflict) as error:
                call(None, vif)
            words = f"br-storage is another name of br-int; needed: {needed}"
            assert str(error.value) == f"VIF {vif.id}: {words}"
    assert host.differs(host.before) == []
