# SPDX-License-Identifier: Apache-2.0
"""Which devices can be an uplink: planning and the kernel's own answer, kind by kind."""

from __future__ import annotations

import pytest

from tests.bridge.vifs import bridge_vif
from vifplug import Conflict, GenericVIFDriver
from vifplug.testing import CommandFailed, NetworkNamespace
from vifplug.testing.dumps import differences

LOWER = "link add lower type veth peer name lowerp"
HERE = {
    "loopback": "link add unused type bridge",
    "veth": "link add x0 type veth peer name x0p",
    "bridge": "link add x0 type bridge",
    "tap": "tuntap add x0 mode tap",
    "tun": "tuntap add x0 mode tun",
    "macvlan": f"{LOWER}; link add link lower name x0 type macvlan mode bridge",
    "macvlan-passthru": f"{LOWER}; link add link lower name x0 type macvlan mode passthru",
    "macvtap": f"{LOWER}; link add link lower name x0 type macvtap mode bridge",
    "below-macvlan": "link add x0 type veth peer name x0p; link add link x0 type macvlan",
    "below-macvtap": "link add x0 type veth peer name x0p; link add link x0 type macvtap",
    "macvlan-on-the-bridge": "link add link br100 name x0 type macvlan",
    "port-of-another": "link add x0 type veth peer name x0p; link add br7 type bridge; "
                       "link set x0 master br7",
}  # fmt: skip
"""What makes a device x0 of each kind that both kernels have."""

ONLY_HERE = {
    "ifb": "link add x0 type ifb",
    "vxlan": "link add x0 type vxlan id 7 dstport 4789",
}
"""The same of kinds that the other kernel lacks."""

MORE = {
    "dummy": "link add x0 type dummy",
    "bond": "link add x0 type bond",
    "team": "link add x0 type team",
    "vrf": "link add x0 type vrf table 10",
    "vlan": f"{LOWER}; link set lower up; link add link lower name x0 type vlan id 7",
    "provider-vlan": f"{LOWER}; link set lower up; "
                     "link add link lower name x0 type vlan protocol 802.1ad id 7",
    "vlan-below-down": f"{LOWER}; link add link lower name x0 type vlan id 7",
    "ipvlan": f"{LOWER}; link add link lower name x0 type ipvlan",
    "ipvtap": f"{LOWER}; link add link lower name x0 type ipvtap",
    "macsec": f"{LOWER}; link add link lower name x0 type macsec",
    "geneve": "link add x0 type geneve id 7 remote 192.0.2.1",
    "wireguard": "link add x0 type wireguard",
    "gre": "link add x0 type gre remote 192.0.2.1 local 192.0.2.2",
    "gretap": "link add x0 type gretap remote 192.0.2.1 local 192.0.2.2",
    "nlmon": "link add x0 type nlmon",
    "below-vlan": "link add x0 type dummy; link add link x0 name x0.7 type vlan id 7",
    "below-ipvlan": "link add x0 type dummy; link add link x0 type ipvlan",
    "below-macsec": "link add x0 type dummy; link add link x0 type macsec",
    "of-a-bond": "link add x0 type dummy; link add bond7 type bond; link set x0 master bond7",
    "of-a-team": "link add x0 type dummy; link add team7 type team; link set x0 master team7",
    "of-a-vrf": "link add x0 type dummy; link add vrf7 type vrf table 7; link set x0 master vrf7",
    "vlan-on-the-bridge": "link add link br100 name x0 type vlan id 7",
    "vlan-on-a-vlan-on-the-bridge": "link add link br100 name br100.7 type vlan id 7; "
                                    "link add link br100.7 name x0 type vlan id 8",
    "bond-above-the-bridge": "link set br100 up; link add link br100 name br100.7 type vlan id 7; "
                             "link add x0 type bond; link set br100.7 master x0",
}  # fmt: skip
"""The same of kinds that this kernel lacks and the other one has."""

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
