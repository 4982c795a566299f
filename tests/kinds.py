# SPDX-License-Identifier: Apache-2.0
"""Every kind of device that a kernel offers, to compare planning with that kernel."""

from __future__ import annotations

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
"""What makes a device x0 of each kind that both kernels have, beside a bridge br100."""

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
