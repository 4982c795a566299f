# SPDX-License-Identifier: Apache-2.0
"""Who and what is on a fuzzer's host: other VIFs, the host's own devices, and their names."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

VICTIMS = {name: str(uuid.uuid5(uuid.NAMESPACE_OID, f"victim {name}")) for name in "abcdefghijk"}
"""The ids of the VIFs that are plugged before the hostile one comes.

a  on br-a, which a plug made, with a tap made beforehand that a process holds
b  on br-b, which a plug made, with the uplink eth7; libvirt's tap, held
c  on brfree, which is another program's; libvirt's tap, held
d  hybrid: qbr, qvb, qvo
e  a macvtap on eth5
f  a bare tap
g  on Open vSwitch, automatic, with libvirt's port; held
h  on Open vSwitch, with a bridge of its own
i  on Open vSwitch, manual
j  on Open vSwitch, plugged by another program: no mark is ours
k  plugged by nobody yet
"""

MACS = {name: f"fa:16:3e:00:01:{number:02x}" for number, name in enumerate(VICTIMS)}
"""The addresses of these VIFs' guests."""

UPLINKS = ("eth5", "eth6", "eth7", "eth8", "eth9")
BRIDGES = ("br-a", "br-b", "brhost", "brfree", "brstp")
SWITCHES = ("br-int", "br-ex")
FOREIGN = ("hport", "fport", "vnet7", "taphost", "mvhost", "wire9", "lo")
"""Other devices of the host: ports of its bridges, taps of other programs, a macvlan."""

PORTS = ("ethx", "int-br-ex", "phy-br-ex", "fp0", "tapj")
"""Ports of Open vSwitch that bear no mark of ours."""

ALTNAMES = {"enp0s3": "hport", "enp0s6": "eth6", "enp0s9": "eth9", "enxtap": "vnet7"}
"""Alternative names as udev gives them, and their devices."""

PREFIXES = ("tap", "qbr", "qvb", "qvo", "pbp", "ibp", "vhu", "pb")
"""How the names begin that are made of a VIF's id."""


def derived(vif_id: str) -> tuple[str, ...]:
    """Return the names that are made of a VIF's id."""
    return tuple((prefix + vif_id)[:14] for prefix in PREFIXES)


def is_derived(name: str, ids: Iterable[str]) -> bool:
    """Whether a name is made of one of some VIFs' ids."""
    return any(name in derived(vif_id) for vif_id in ids)
