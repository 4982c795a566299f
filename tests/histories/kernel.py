# SPDX-License-Identifier: Apache-2.0
"""How the simulated kernel performs operations, with the rules of the real one that matter."""

from __future__ import annotations

import errno
import os
from dataclasses import replace

from tests.histories.state import DATABASE, State, device
from vifplug.kernel.netlink import KernelError
from vifplug.kernel.perform import WrongDevice
from vifplug.model.link import Link
from vifplug.operations import (
    AddAltname,
    AddClaim,
    MakeLink,
    Operation,
    RemoveAltname,
    RemoveClaim,
    RemoveLink,
    RemoveLinks,
    SetLink,
    SetLinks,
)
from vifplug_ovs.index import interface_id_in
from vifplug_ovs.snapshot import token_of

USUAL_MTU = 1500


def perform(operation: Operation, state: State) -> None:
    """Make one change. Raises KernelError or WrongDevice; then nothing was changed."""
    match operation:
        case MakeLink():
            _make(operation, state)
        case RemoveLinks():
            for each in operation.these:
                _remove(each, state)
        case RemoveLink():
            _remove(operation, state)
        case SetLinks():
            for one in operation.these:
                set_link(state, one.device, one.attribute, one.value)
        case SetLink():
            set_link(state, operation.device, operation.attribute, operation.value)
        case AddAltname():
            _add_altname(operation, state)
        case RemoveAltname():
            _remove_altname(operation, state)
        case AddClaim() | RemoveClaim() if operation.token:
            _claim_bridge(operation, state)
        case AddClaim():
            claims = required(state, operation.device).claims
            if operation.claim not in claims:
                _put(state, operation.device, claims=(*claims, operation.claim))
        case RemoveClaim():
            if link := state.links.get(operation.device):
                left = tuple(text for text in link.claims if text != operation.claim)
                _put(state, operation.device, claims=left)
        case other:
            raise NotImplementedError(f"the simulated kernel can't {other!r}")


def _claim_bridge(operation: AddClaim | RemoveClaim, state: State) -> None:
    """Put a claim on a bridge of the switch, or take it away; without its bridge it is void."""
    for name, bridge in state.bridges.items():
        if operation.token == token_of(DATABASE, bridge.row):
            claims = {text: noted for text, noted in bridge.claims.items()
                      if text != operation.claim}  # fmt: skip
            if isinstance(operation, AddClaim):
                claims[operation.claim] = interface_id_in(operation.mark)
            state.bridges[name] = replace(bridge, claims=claims)


def refused(number: int, name: str) -> KernelError:
    """Return the kernel's error of a number."""
    return KernelError(number, f"{name}: {os.strerror(number)}")


def required(state: State, name: str) -> Link:
    """Return a device. Raises KernelError where it is not there."""
    link = state.links.get(name)
    if link is None:
        raise refused(errno.ENODEV, name)
    return link


def _put(state: State, name: str, **changes: object) -> None:
    state.links[name] = state.links[name].but(changes)


def _is_taken(state: State, name: str) -> bool:
    return name in state.links or any(name in link.altnames for link in state.links.values())


def _make(operation: MakeLink, state: State) -> None:
    wanted = [operation.device, operation.mark]
    if operation.peer:
        wanted += [operation.peer, str(operation.peer_mark)]
    for name in wanted:
        if _is_taken(state, name):
            raise refused(errno.EEXIST, name)
    index = state.next_index()
    lower = required(state, operation.lower) if operation.lower else None
    made = device(
        operation.kind,
        index,
        altnames=(operation.mark,),
        address=lower.address
        if lower
        else operation.address or f"02:00:00:00:00:{index & 255:02x}",
        mtu=operation.mtu or (lower.mtu if lower else USUAL_MTU),
        lower=operation.lower or operation.peer,
        vlan=operation.vlan,
        forward_delay=operation.forward_delay,
        stp=operation.stp,
        ageing_time=operation.ageing_time,
        multicast_snooping=operation.multicast_snooping,
        multi_queue=bool(operation.multi_queue) if operation.kind == "tap" else None,
    )
    state.links[operation.device] = made
    if operation.peer:
        state.links[operation.peer] = device(
            operation.kind, state.next_index(), altnames=(operation.peer_mark,),
            mtu=made.mtu, lower=operation.device, address="02:00:00:00:01:01")  # fmt: skip
    settle(state)


def _remove(operation: RemoveLink, state: State) -> None:
    """Remove a device as ``vifplug.kernel.perform.links`` decides whether it may go."""
    link = state.links.get(operation.device)
    if link is None or (operation.mark is not None and operation.mark not in link.altnames):
        return
    marked = link.marks or link.shared_marks
    if operation.mark is None and (marked or link.kind != operation.kind):
        raise WrongDevice(f"{operation.device} is not the {operation.kind} to be removed")
    if operation.unless_used and _used(operation, link, state):
        if operation.or_fail:
            raise WrongDevice(f"{operation.device} has come into use")
        return
    delete(state, operation.device)


def _used(operation: RemoveLink, link: Link, state: State) -> bool:
    users = {text.split(":")[1] for text in link.claims}
    if users - {operation.leaving}:
        return True
    return any(
        port.master == operation.device
        and name not in operation.beside
        and all(mark.vif_id != operation.leaving for mark in port.marks)
        for name, port in state.links.items()
    )


def delete(state: State, name: str) -> None:
    """Take a device away, with what can't be without it."""
    link = state.links.pop(name)
    for other, its in list(state.links.items()):
        if its.master == name:
            _put(state, other, master=None)
        if its.lower == name and other in state.links:
            delete(state, other)
    if link.kind == "bridge":
        state.mtu_set -= {name}
    _follow(state, link.master)
    settle(state)


def set_link(state: State, name: str, attribute: str, value: object) -> None:
    """Set one attribute of a device. Raises KernelError."""
    link = required(state, name)
    if attribute == "master":
        if value and (value not in state.links or state.links[str(value)].kind != "bridge"):
            raise refused(errno.ENODEV, str(value))
    elif attribute == "up" and value and link.kind == "vlan" and not _lower_is_up(state, link):
        raise refused(errno.ENETDOWN, name)
    elif attribute == "mtu" and link.mtu != value and link.kind == "bridge":
        state.mtu_set |= {name}
    _put(state, name, **{attribute: value})
    if attribute in ("master", "mtu"):
        _follow(state, link.master, state.links[name].master)
    settle(state)


def _follow(state: State, *bridges: str | None) -> None:
    """Give bridges the least MTU of their ports, as the kernel does when one comes or changes."""
    for name in bridges:
        link = state.links.get(name) if name else None
        if name and link and link.kind == "bridge" and name not in state.mtu_set:
            mtus = [port.mtu for port in state.links.values() if port.master == name]
            _put(state, name, mtu=min(mtus, default=USUAL_MTU))


def _lower_is_up(state: State, link: Link) -> bool:
    return link.lower is not None and required(state, link.lower).up


def _add_altname(operation: AddAltname, state: State) -> None:
    link = required(state, operation.device)
    if operation.altname in link.altnames:
        return
    if _is_taken(state, operation.altname):
        raise refused(errno.EEXIST, operation.altname)
    _put(state, operation.device, altnames=(*link.altnames, operation.altname))


def _remove_altname(operation: RemoveAltname, state: State) -> None:
    link = state.links.get(operation.device)
    if link and operation.altname in link.altnames:
        left = tuple(name for name in link.altnames if name != operation.altname)
        _put(state, operation.device, altnames=left)


def rename(state: State, name: str, new: str) -> None:
    """Give a device another name; what names it, follows."""
    link = state.links.pop(name)
    state.links[new] = link
    for other, its in list(state.links.items()):
        changes = {word: new for word in ("master", "lower") if getattr(its, word) == name}
        if changes:
            _put(state, other, **changes)
    if name in state.mtu_set:
        state.mtu_set = state.mtu_set - {name} | {new}
    settle(state)


def settle(state: State) -> None:
    """Have the kernel, and vswitchd, do what follows from a change by itself."""
    for bridge in state.bridges.values():
        for name, port in bridge.ports.items():
            link = state.links.get(name)
            if link and name in state.closed:
                state.closed -= {name}
            if port.mtu_request and link and link.mtu != port.mtu_request:
                _put(state, name, mtu=port.mtu_request)
    held = state.held() if state.guests else ()
    for name, link in list(state.links.items()):
        if link.kind == "tap" and link.carrier != (link.up and name in held):
            _put(state, name, carrier=not link.carrier)
