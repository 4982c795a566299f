# SPDX-License-Identifier: Apache-2.0
"""Why an operation may change a device, or a row of a switch: it has a reason, or is a Conflict.

The privileged side trusts no caller. So each thing that an operation of a VIF's part changes must
be one of these, on the host as it is under the locks, with what the same plan has made:

1. **own**: it bears this VIF's mark, and no other VIF's;
2. **derived**: its name and its kind are exactly those that follow from this VIF's id, and it bears
   no mark at all;
3. **shared**: the kind of part names it in a role, and the host shows that it can have that role.

What an operation makes has a name that is not derived from another VIF's id. A claim is no reason,
and an alternative name is no name. An unplug needs no part: ``vifplug.plan.removal`` finds devices
by the first two reasons, and gives back what only a claim of the VIF notes. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from vifplug.errors import Conflict
from vifplug.model.host import Host
from vifplug.model.mark import Owner, is_anothers_name, is_derived, shared_mark
from vifplug.model.thing import Thing
from vifplug.operations.links import SetLink, SetLinks
from vifplug.operations.operation import Operation
from vifplug.parts.bridge import BridgePort, changes_mtu
from vifplug.parts.part import Part
from vifplug.parts.roles import Role
from vifplug.parts.tap import Tap, takes_address
from vifplug.plan.derived import named_after


def require(
    operation: Operation, part: Part, owner: Owner, host: Host, before: Sequence[Operation]
) -> None:
    """Raise Conflict where a VIF's part may not make a change, after those ``before`` it."""
    if isinstance(part, BridgePort | Tap) and isinstance(operation, SetLink):
        _require_bridge_kept(operation, owner, host, before)
    roles = part.roles(owner, host)
    for name in operation.made:
        if is_anothers_name(name, owner.vif_id):
            found, needed = "is the name of another VIF's device", "a name of this VIF's own"
            raise Conflict(owner.vif_id, name, found, needed)
        if is_derived(name, owner.vif_id) and (others := host.namesakes(owner.vif_id)):
            found, needed = f"is a name of VIF {min(others)} too", "an id that begins otherwise"
            raise Conflict(owner.vif_id, name, found, needed)
        if name in roles:
            _require_allowed(name, roles[name], owner, host)
    for thing in operation.things(host):
        role = roles.get(thing.name)
        if why := _refusal(thing, role, part, owner, host):
            needed = role.words if role else "a device of this VIF's own"
            raise Conflict(owner.vif_id, thing.title, why, needed)
        if role and owner.vif_id not in thing.owners:
            _require_allowed(thing.name, role, owner, host)


def _require_bridge_kept(
    operation: SetLink, owner: Owner, host: Host, before: Sequence[Operation]
) -> None:
    """Raise Conflict where a tap would change a bridge that others made.

    The kernel gives a bridge the least MTU and the lowest MAC address of its ports, unless
    somebody has set its own.
    """
    port = host.link(operation.device)
    if port is None:
        return
    joins = operation.value if operation.attribute == "master" else None
    mtu = operation.value if operation.attribute == "mtu" else port.mtu
    name = joins or (port.master if operation.attribute == "mtu" else None)
    bridge = host.link(name) if name else None
    if bridge is None or bridge.kind != "bridge":
        return
    if bridge.marks or shared_mark("bridge", str(name)) in bridge.altnames:
        return
    # A pair that the same plan makes gets random addresses.
    random = port.kind == "veth" and port.index == 0 and port.address is None
    if joins and bridge.address and (random or takes_address(bridge, port)):
        has = f"the MAC address {port.address}" if port.address else "a random MAC address"
        found = f"has {has}, which {name} would take"
        raise Conflict(owner.vif_id, operation.device, found, f"a higher one than {bridge.address}")
    if not changes_mtu(str(name), bridge.mtu, operation.device, mtu, host):
        return
    if _sets_mtu(str(name), before):
        return
    # A port with less, or an only port with more, shows that the bridge has its own MTU.
    if joins or not (port.mtu < bridge.mtu or min(port.mtu, mtu) > bridge.mtu):
        found = f"would give {name}, which others made, the MTU {mtu}"
        raise Conflict(owner.vif_id, operation.device, found, f"{bridge.mtu}, the bridge's")


def _sets_mtu(bridge: str, operations: Sequence[Operation]) -> bool:
    """Whether one of some operations gives a bridge an MTU of its own."""
    several = (o.these if isinstance(o, SetLinks) else (o,) for o in operations)
    sets = (o for each in several for o in each if isinstance(o, SetLink))
    return any((each.device, each.attribute) == (bridge, "mtu") for each in sets)


def _require_allowed(name: str, role: Role, owner: Owner, host: Host) -> None:
    """Raise Conflict where the operator's option lists other things of this role only."""
    allowed = host.allowed.get(role.limit)
    if allowed is not None and not any(fnmatchcase(name, pattern) for pattern in allowed):
        needed = f"a name as the option {role.limit} lists: {', '.join(allowed) or 'none'}"
        raise Conflict(owner.vif_id, name, "is not allowed on this host", needed)


def _refusal(thing: Thing, role: Role | None, part: Part, owner: Owner, host: Host) -> str | None:
    """Return why a VIF may not change a thing; None where it has a reason."""
    if others := thing.owners - {owner.vif_id}:
        return f"belongs to VIF {min(others)}"
    if thing.kind is None:
        device = host.carrying(thing.name)
        return f"is another name of {device[0]}" if device else "is not there"
    if owner.vif_id in thing.owners or thing.name in named_after(owner.vif_id, host, (type(part),)):
        return None if role is None or role.own else "is this VIF's own"
    if role is None:
        return "is not ours"
    if is_anothers_name(thing.name, owner.vif_id):
        return "is named after another VIF"
    return role.refusal(thing, owner, host)
