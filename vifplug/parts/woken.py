# SPDX-License-Identifier: Apache-2.0
"""Devices of the host that were down: a plug brings them up, the last unplug sets them down. Pure.

Only a mark on the device tells the unplug that it was down.
"""

from __future__ import annotations

from vifplug.model.host import Host
from vifplug.model.link import Link
from vifplug.model.mark import WOKEN, shared_mark
from vifplug.operations.altnames import AddAltname, RemoveAltname
from vifplug.operations.links import SetLink
from vifplug.operations.operation import Operation
from vifplug.parts.part import Leaving


def wake(device: str, link: Link) -> tuple[Operation, ...]:
    """Return what brings a device up, with a mark that it was down. The mark comes first."""
    if link.up:
        return ()
    mark = shared_mark(WOKEN, device)
    marked = () if mark in link.altnames else (AddAltname(device=device, altname=mark),)
    return (*marked, SetLink(device=device, attribute="up", value=True, before=False))


def asleep(device: str, host: Host, leaving: Leaving) -> tuple[Operation, ...]:
    """Return what sets a device down that a plug brought up, and that only this VIF uses.

    The device stays up where it has an address, a master or another device on it by then. What
    goes with the VIF does not count.
    """
    link, mark = host.link(device), shared_mark(WOKEN, device)
    if link is None or mark not in link.altnames or device in leaving.asleep:
        return ()
    bridge = link.master if link.master in leaving.going else None
    if (link.master and not bridge) or not leaving.uses_alone(device, host):
        return ()
    if host.addresses(device) or (bridge and host.addresses(bridge)):
        return ()
    for name, other in host.links.items():
        if other.lower == device and other.kind != "veth" and name not in leaving.going:
            return ()
    leaving.asleep.add(device)
    unmarked = RemoveAltname(device=device, altname=mark)
    if not link.up:
        return (unmarked,)
    return (SetLink(device=device, attribute="up", value=False, before=True), unmarked)
