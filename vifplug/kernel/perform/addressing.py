# SPDX-License-Identifier: Apache-2.0
"""IP addresses, routes and neighbours copied and removed.

One that is there, or gone, already is as good.
"""

from __future__ import annotations

import errno
import socket
from collections import Counter

from vifplug.kernel.messages import attributes as nl
from vifplug.kernel.messages.addresses import DELADDR, NEWADDR, NODAD
from vifplug.kernel.messages.neighbours import DELNEIGH, NEWNEIGH
from vifplug.kernel.messages.routes import (
    DELROUTE,
    GETROUTE,
    NEWROUTE,
    Place,
    Route,
    route_request,
)
from vifplug.kernel.netlink import KernelError, Request
from vifplug.kernel.perform.dispatch import Kernel, WrongDevice, perform
from vifplug.operations.addressing import (
    CopyAddresses,
    CopyNeighbours,
    CopyRoutes,
    RemoveAddresses,
    RemoveNeighbours,
    RemoveRoutes,
)


@perform.register
def _copy_addresses(operation: CopyAddresses, kernel: Kernel) -> None:
    source, target = (
        kernel.required(operation.source).index,
        kernel.required(operation.device).index,
    )
    there = {found.name for found in kernel.netlink.addresses(target)}
    addresses = kernel.netlink.addresses(source)
    # The kernel puts a new IPv6 address before the others, an IPv4 one behind them.
    newest_first = [one for one in addresses if one.family == socket.AF_INET6]
    for one in (*(a for a in addresses if a not in newest_first), *reversed(newest_first)):
        if one.name not in operation.these or one.name in there:
            continue
        label = one.label(operation.source, operation.device)
        flags = NODAD if one.trusted else 0
        make = nl.ACK | nl.CREATE | nl.EXCLUSIVE
        _unless(errno.EEXIST, kernel, (NEWADDR, make, one.body(target, label, flags=flags)))
        if flags and not one.flags & flags:
            # In use from the first moment, it need not be told apart from the others for ever.
            kernel.netlink.request((NEWADDR, nl.ACK | nl.REPLACE, one.body(target)))


@perform.register
def _remove_addresses(operation: RemoveAddresses, kernel: Kernel) -> None:
    device = kernel.required(operation.device).index
    kept = {
        found.name for found in kernel.netlink.addresses(kernel.required(operation.kept_on).index)
    }
    _require_kept(operation, kept)
    addresses = kernel.netlink.addresses(device)
    # What came last goes first: with the first IPv4 address of a subnet the others would go too,
    # and given back, all stand in their order again.
    newest_first = [one for one in addresses if one.family == socket.AF_INET6]
    for found in (*newest_first, *reversed([a for a in addresses if a not in newest_first])):
        if found.name in operation.these:
            body = found.body(device)
            _unless(errno.EADDRNOTAVAIL, kernel, (DELADDR, nl.ACK, body))


@perform.register
def _copy_routes(operation: CopyRoutes, kernel: Kernel) -> None:
    source, target = (
        kernel.required(operation.source).index,
        kernel.required(operation.device).index,
    )
    routes = [one for one in kernel.netlink.routes(source) if not one.by_link]
    places = Counter(one.place for one in routes)
    asked = {one.place for one in routes if one.name in operation.these}
    wanted = [one for one in routes if one.place in asked]
    there = {one.name: one for one in kernel.netlink.routes(target)}
    leading = _leading(asked, kernel, source, target)
    # A new IPv4 route comes before or behind all others of its place, so what leads comes last
    # one first. A route through a gateway needs the one to the gateway.
    ordered = [one for one in wanted if one.place not in leading]
    ordered += [one for one in reversed(wanted) if one.place in leading]
    for one in sorted(ordered, key=lambda route: not route.on_link):
        leads, made = one.place in leading, there.get(one.name)
        several = one.family == socket.AF_INET and places[one.place] > 1
        if made and (leads or several):  # it may stand in the wrong order: it comes anew
            _unless(errno.ESRCH, kernel, (DELROUTE, nl.ACK, made.body(target)))
        if leads or several or not made:
            flags = nl.ACK | nl.CREATE | (0 if leads else nl.APPEND)
            _unless(errno.EEXIST, kernel, (NEWROUTE, flags, one.body(target)))


def _leading(places: set[Place], kernel: Kernel, source: int, target: int) -> set[Place]:
    """Return the places of IPv4 routes where the source's stand before those of other devices."""
    standing: dict[Place, list[Route]] = {place: [] for place in places}
    for body in kernel.netlink.dump(GETROUTE, route_request(socket.AF_INET)):
        for one in Route.decode(body, 0):
            if one.place in places:
                standing[one.place].append(one)
    found = set()
    for place, routes in standing.items():
        of_source = [source in one.devices for one in routes]
        of_others = [not {source, target} & {*one.devices} for one in routes]
        if True in of_others and True in of_source[: of_others.index(True)]:
            found.add(place)
    return found


@perform.register
def _remove_routes(operation: RemoveRoutes, kernel: Kernel) -> None:
    device = kernel.required(operation.device).index
    kept = {one.name for one in kernel.netlink.routes(kernel.required(operation.kept_on).index)}
    _require_kept(operation, kept)
    for one in reversed(kernel.netlink.routes(device)):
        if one.name in operation.these:
            _unless(errno.ESRCH, kernel, (DELROUTE, nl.ACK, one.body(device)))


@perform.register
def _copy_neighbours(operation: CopyNeighbours, kernel: Kernel) -> None:
    source = kernel.required(operation.source).index
    target = kernel.required(operation.device).index
    for one in kernel.netlink.neighbours(source):
        if one.name in operation.these:
            # It replaces what the kernel has learnt meanwhile of the same address.
            kernel.netlink.request((NEWNEIGH, nl.ACK | nl.CREATE | nl.REPLACE, one.body(target)))


@perform.register
def _remove_neighbours(operation: RemoveNeighbours, kernel: Kernel) -> None:
    device = kernel.required(operation.device).index
    kept_on = kernel.required(operation.kept_on).index
    _require_kept(operation, {one.name for one in kernel.netlink.neighbours(kept_on)})
    for one in kernel.netlink.neighbours(device):
        if one.name in operation.these:
            _unless(errno.ENOENT, kernel, (DELNEIGH, nl.ACK, one.body(device)))


def _require_kept(
    operation: RemoveAddresses | RemoveRoutes | RemoveNeighbours, kept: set[str]
) -> None:
    lost = [one for one in operation.these if one not in kept]
    if lost:
        raise WrongDevice(f"{operation.kept_on} has not got {', '.join(lost)}")


def _unless(as_good: int, kernel: Kernel, request: Request) -> None:
    """Make a request; that the kernel refuses it with this errno is as good."""
    try:
        kernel.netlink.request(request)
    except KernelError as error:
        if error.errno != as_good:
            raise
