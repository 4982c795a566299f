# SPDX-License-Identifier: Apache-2.0
"""The roles in the marks of shared devices, and the devices found by them. Pure."""

from __future__ import annotations

from vifplug.model.host import Host
from vifplug.model.link import Link
from vifplug.model.mark import shared_mark

UPLINK, VLAN_DEVICE = "uplink", "vlan"
"""The roles in the marks of shared parts."""


def uplink_of(bridge: str, host: Host) -> tuple[str, Link] | None:
    """Return the device that a plug has joined to a bridge as its uplink.

    By its mark: where an unplug was killed it may be no port any more.
    """
    return host.carrying(shared_mark(UPLINK, bridge))
