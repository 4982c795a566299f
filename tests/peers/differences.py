# SPDX-License-Identifier: Apache-2.0
"""Where a host is other than after os-vif or libvirt, each with its reason.

The same table is in docs/reliability.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MANUAL, HYBRID, BRIDGE, LIBVIRT = "manual", "hybrid", "bridge", "libvirt"


@dataclass(frozen=True)
class Difference:
    """A row of the table, and how the lines begin that tell of it, in which comparisons."""

    name: str
    theirs: str
    ours: str
    why: str
    kinds: tuple[str, ...]
    lines: tuple[str, ...]

    @property
    def row(self) -> str:
        return f"| {self.name} | {self.theirs} | {self.ours} | {self.why} |"

    def tells(self, line: str) -> bool:
        return any(re.match(pattern, line) for pattern in self.lines)


DIFFERENCES = (
    Difference(
        "the mark",
        "none",
        "an alternative name, and two external_ids of port and interface",
        "`list`, `check` and `unplug --id` find a VIF by it",
        (MANUAL, HYBRID, BRIDGE, LIBVIRT),
        (r"/links/\S+/altnames: None -> \['vifplug:", r"/\S+/external_ids/vifplug(-id)?: None -> "),
    ),
    Difference(
        "a port's MTU",
        "os-vif sets the device's",
        "`mtu_request` too",
        "the switch sets the device's MTU anew, and then follows the row",
        (MANUAL, HYBRID),
        (r"/Interface/\S+/mtu_request: \[\] -> 1450$",),
    ),
    Difference(
        "a port after a reboot",
        "os-vif's stays in the database",
        "goes, by `other_config:transient`",
        "its device is gone with the reboot",
        (MANUAL, HYBRID),
        (r"/Port/\S+/other_config/transient: None -> 'true'$",),
    ),
    Difference(
        "the address of a tap on the host",
        "os-vif gives the guest's",
        "the guest's with fe as first octet",
        "libvirt does so too: two devices of one address confuse a bridge",
        (MANUAL,),
        (r"/links/tap\S+/address: 'fa:16:3e:00:00:00' -> 'fe:16:3e:00:00:00'$",),
    ),
    Difference(
        "the flags of a tap",
        "os-vif sets packet information and no vnet header",
        "no packet information, a vnet header",
        "QEMU opens a tap so",
        (MANUAL,),
        (r"/links/tap\S+/linkinfo/info_data/(pi: True|vnet_hdr: False) -> ",),
    ),
    Difference(
        "IPv6 on a VIF's devices",
        "on for os-vif's pair and libvirt's tap",
        "off",
        "the host has no address in a guest's network",
        (HYBRID, LIBVIRT),
        (r"/sysctls/net/ipv6/conf/(tap|qvb|qvo)\S+/disable_ipv6: '0' -> '1'$",),
    ),
    Difference(
        "promiscuous mode of the pair",
        "os-vif sets it",
        "not set",
        "bridge and switch hear all frames of a port without it",
        (HYBRID,),
        (r"/links/qv[bo]\S+/flags gone: 'PROMISC'$",),
    ),
    Difference(
        "the address of a bridge that is made",
        "that of its lowest port",
        "given at creation",
        "it stays when ports come and go",
        (HYBRID, BRIDGE),
        (
            r"/links/qbr\S+/address: ",
            r"/fdb new: .*'ifname': '(qbr|br100)",
            r"/fdb gone: .*'ifname': 'eth1'",
        ),
    ),
    Difference(
        "multicast snooping of `bridge`",
        "os-vif sets it off",
        "the kernel's default",
        "without a querier, the kernel floods multicast all the same",
        (BRIDGE,),
        (r"/links/br100/linkinfo/info_data/mcast_snooping: 0 -> 1$",),
    ),
    Difference(
        "the uplink's MTU",
        "os-vif sets the network's",
        "left alone",
        "the host's own traffic uses the uplink",
        (BRIDGE,),
        (r"/links/eth1/mtu: 1450 -> 1500$", r"/sysctls/net/ipv6/conf/eth1/mtu: '1450' -> '1500'$"),
    ),
    Difference(
        "the MTU of a bridge of others",
        "falls to that of libvirt's tap",
        "stays",
        "the host's own traffic may use the bridge",
        (LIBVIRT,),
        (
            r"/links/br100/mtu: 1450 -> 1500$",
            r"/sysctls/net/ipv6/conf/br100/mtu: '1450' -> '1500'$",
        ),
    ),
    Difference(
        "the life of a tap",
        "libvirt's ends with its guest",
        "until the unplug",
        "it is plugged before its guest starts",
        (LIBVIRT,),
        (r"/links/tap\S+/linkinfo/info_data/persist: False -> True$",),
    ),
)

ALWAYS = re.compile(
    r"/\S+/(_uuid|ifindex|bridge_id|root_id): |/Bridge/\S+/ports |/Port/\S+/interfaces: "
    r"|/links/(br-int|ovs-netdev)/address: |/links/qv[bo]\S+/address: "
    r"|/qdiscs (gone|new): .*'noqueue'|/fdb (gone|new): .*'ifname': 'qvb"
)
"""Numbers and random addresses, which no two plugs have alike."""


def unexplained(kind: str, lines: list[str]) -> list[str]:
    """Return the lines that no difference tells of, and the differences that no line shows."""
    told = [line for line in lines if not ALWAYS.match(line)]
    expected = [one for one in DIFFERENCES if kind in one.kinds]
    strange = [line for line in told if not any(one.tells(line) for one in expected)]
    missing = [
        f"not seen: {one.name}" for one in expected if not any(one.tells(line) for line in told)
    ]
    return [*strange, *missing]
