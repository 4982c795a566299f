# SPDX-License-Identifier: Apache-2.0
"""Which planning cases of vifplug_ovs can be shown on which datapath of a real Open vSwitch."""

from __future__ import annotations

from tests.planning import OVS
from vifplug.testing.cases import Case, mended
from vifplug_ovs.snapshot import Ovs


def by_socket(case: Case) -> bool:
    """Whether a case's guest is attached by a socket, for which a switch must have DPDK."""
    return case.vif.vif_type == "vhostuser"


def on_the_userspace_datapath() -> list[Case]:
    """Return the cases that a kernel without its own datapath for OVS can show.

    Left out are those where a guest runs, and those in which nothing is to be done here.
    """
    return [
        case
        for case in mended(OVS)
        if (ovs := case.host.switch(Ovs))
        and all(bridge.datapath_type == "netdev" for bridge in ovs.bridges.values())
        and not any(link.carrier for link in case.host.links.values())
        and not case.host.pci
        and case.wiring.parts
    ]


def on_the_kernels_datapath() -> list[Case]:
    """Return the cases whose bridges are all the kernel's, where no network card is needed."""
    return [
        case
        for case in mended(OVS)
        if datapath_of(case) == "system" and not case.host.pci and case.wiring.parts
    ]


def datapath_of(case: Case) -> str:
    """Return the one datapath that a case's bridges have; "" if it is not one."""
    ovs = case.host.switch(Ovs)
    found = {bridge.datapath_type for bridge in ovs.bridges.values()} if ovs else set()
    return found.pop() if len(found) == 1 else ""
