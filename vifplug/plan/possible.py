# SPDX-License-Identifier: Apache-2.0
"""What the kernel would refuse is a Conflict of the plan: where plan sees none, plug succeeds.

The parts know what a VIF needs, and say best what is wrong. Here is what holds for an operation,
whatever part it is of. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vifplug.errors import Conflict
from vifplug.model.host import Host
from vifplug.model.link import KEEPS_BRIDGES_OFF, is_bridge, joins_no_bridge
from vifplug.model.mark import Owner
from vifplug.operations.addressing import CopyAddresses, CopyRoutes
from vifplug.operations.altnames import AddAltname
from vifplug.operations.links import MakeLink, SetLink, SetLinks
from vifplug.operations.operation import SYSCTLS, Operation
from vifplug.parts.part import LEAST_IPV6_MTU, Part

_LACKING = {
    "tap": ("/dev/net/tun is not there", "modprobe tun"),
    "vlan": ("this kernel has no VLANs (802.1Q)", "modprobe 8021q"),
}
"""Why a host can't make devices of a kind, and what mends it."""


def operations(part: Part, owner: Owner, host: Host) -> tuple[Operation, ...]:
    """Return the changes that make a part true. Raises Conflict."""
    try:
        found = part.operations(owner, host)
    except Conflict as error:
        raise _other_name(part, owner, host) or error from None
    if not isinstance(found, tuple):
        kind = type(part)
        what = f"{kind.__module__}.{kind.__name__}.operations()"
        raise TypeError(f"{what} returned {type(found).__name__}, not a tuple")
    return found if host.fixed is None else _without_sysctls(found, host.fixed, owner)


def _other_name(part: Part, owner: Owner, host: Host) -> Conflict | None:
    """Return the Conflict of a part that names a device by an alternative name; else None."""
    for name in (*part.shared, *part.devices):
        if host.link(name) is None and (device := host.carrying(name)):
            return Conflict(owner.vif_id, name, f"is another name of {device[0]}", device[0])
    return None


def _without_sysctls(
    operations: Sequence[Operation], fixed: Mapping[str, int], owner: Owner
) -> tuple[Operation, ...]:
    """Return operations without those that set what a new device has by itself.

    Raises Conflict where another sysctl is to be written.
    """
    sysctls = [o for o in operations if isinstance(o, SetLink) and o.attribute in SYSCTLS]
    left = [o for o in sysctls if not o.fresh or fixed.get(o.attribute) != int(o.value)]
    if not left:
        return tuple(each for each in operations if each not in sysctls)
    needed = f"a writable one: {left[0].device} needs " + ", ".join(o.words for o in left)
    if all(each.fresh for each in left):
        needed += f" (or beforehand: sysctl {' '.join(map(_default, left))})"
    raise Conflict(owner.vif_id, "/proc/sys", "is read-only", needed)


def _default(operation: SetLink) -> str:
    """Return how sysctl(8) would have a new device come with an attribute's value."""
    name = SYSCTLS[operation.attribute].format("default").replace("/", ".")
    value = not operation.value if operation.attribute == "ipv6" else operation.value
    return f"net.{name}={int(value)}"


def require(operation: Operation, owner: Owner, host: Host) -> None:
    """Raise Conflict where the kernel would refuse an operation on the host as it is by then."""
    match operation:
        case MakeLink():
            _require_new(operation, owner, host)
        case AddAltname():
            _require_free(operation.altname, operation.device, owner, host)
        case SetLinks():
            for each in operation.these:
                require(each, owner, host)
        case SetLink(attribute="master"):
            _require_port(operation, owner, host)
        case SetLink(attribute="up", value=True):
            _require_lower(operation.device, owner, host)
        case CopyAddresses() | CopyRoutes():
            _require_room(operation, owner, host)


def _require_new(operation: MakeLink, owner: Owner, host: Host) -> None:
    """Raise Conflict where a device of this name, mark or kind can't be made."""
    marks = {operation.device: operation.mark}
    if operation.peer and operation.peer_mark:
        marks[operation.peer] = operation.peer_mark
    for name, mark in marks.items():
        if device := host.carrying(name):
            first = f"{device[0]}, or " if operation.kind == device[1].kind else ""
            found, needed = f"is another name of {device[0]}", f"{first}a name that is free"
            raise Conflict(owner.vif_id, name, found, needed)
        _require_free(mark, name, owner, host)
    if operation.kind in _LACKING and not host.makes(operation.kind):
        why, mend = _LACKING[operation.kind]
        raise Conflict(owner.vif_id, operation.device, f"can't be made: {why}", mend)


def _require_free(mark: str, device: str, owner: Owner, host: Host) -> None:
    """Raise Conflict where another device bears a mark: the kernel has each name once."""
    carrier = host.carrying(mark)
    if carrier and carrier[0] != device:
        way = f"ip link property del dev {carrier[0]} altname {mark}"
        needed = f"its name back, or that mark removed: {way}"
        raise Conflict(owner.vif_id, carrier[0], f"has the mark of {device}", needed)


def _require_port(operation: SetLink, owner: Owner, host: Host) -> None:
    """Raise Conflict where a device can't leave its master, or join its new one."""
    device, link = operation.device, host.link(operation.device)
    if link is None:
        return
    master = host.link(link.master) if link.master else None
    if master and master.kind == "openvswitch":
        needed = "a device that no Open vSwitch has"
        raise Conflict(owner.vif_id, device, f"is a port of {link.master}", needed)
    if not operation.value or not is_bridge(host.link(operation.value)):
        return
    needed = f"a device that can be a port of {operation.value}"
    if why := joins_no_bridge(link):
        raise Conflict(owner.vif_id, device, why, needed)
    # Nothing lies on a device that this plan makes; all devices are a long look.
    above = host.lying_on(device, KEEPS_BRIDGES_OFF) if link.index else {}
    for name, other in above.items():
        raise Conflict(owner.vif_id, device, f"has the {other.kind} {name} on it", needed)


def _require_lower(device: str, owner: Owner, host: Host) -> None:
    """Raise Conflict where a VLAN device can't come up, because the device below is down."""
    link = host.link(device)
    lower = link and link.kind == "vlan" and link.lower and host.link(link.lower)
    if link and lower and not lower.up:
        raise Conflict(owner.vif_id, str(link.lower), "is down", f"up, for {device} to come up")


def _require_room(operation: CopyAddresses | CopyRoutes, owner: Owner, host: Host) -> None:
    """Raise Conflict where a device can't take another's addresses or routes."""
    target, source = operation.device, operation.source
    link = host.link(target)
    if link is None:
        return
    if isinstance(operation, CopyRoutes):
        if not link.up:
            raise Conflict(owner.vif_id, target, "is down", f"up, for the routes of {source}")
        return
    six = [address for address in operation.these if ":" in address]
    needed = f"IPv6 on, for {six[0]} of {source}" if six else ""
    if six and link.ipv6 is False:
        raise Conflict(owner.vif_id, target, "has IPv6 off", needed)
    if six and link.mtu < LEAST_IPV6_MTU:
        found = f"has MTU {link.mtu}, too small for IPv6"
        raise Conflict(owner.vif_id, target, found, f"{LEAST_IPV6_MTU} or more: {needed}")
    there = {address.partition("/")[0]: address for address in host.addresses(target)}
    for address in six:
        if other := there.get(address.partition("/")[0]):
            found = f"has {other}, and {source} has {address}"
            raise Conflict(owner.vif_id, target, found, "one of the two")
