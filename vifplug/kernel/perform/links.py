# SPDX-License-Identifier: Apache-2.0
"""Devices made, removed and set by netlink."""

from __future__ import annotations

import errno
import os
import random
import socket
from collections.abc import Sequence

from vifplug.kernel.messages import attributes as nl
from vifplug.kernel.messages import links as rt
from vifplug.kernel.messages.links import altname_request, mac
from vifplug.kernel.netlink import KernelError, Request
from vifplug.kernel.perform.dispatch import Kernel, WrongDevice, perform
from vifplug.kernel.perform.sysctls import write_sysctl
from vifplug.kernel.perform.taps import make_tap
from vifplug.model.link import Link
from vifplug.model.mark import token_in
from vifplug.operations.links import MakeLink, RemoveLink, RemoveLinks, SetLink, SetLinks
from vifplug.operations.operation import SYSCTLS

_BRIDGE = {
    "stp": (rt.BR_STP_STATE, nl.u32),
    "forward_delay": (rt.BR_FORWARD_DELAY, nl.u32),
    "ageing_time": (rt.BR_AGEING_TIME, nl.u32),
    "multicast_snooping": (rt.BR_MCAST_SNOOPING, nl.u8),
}


@perform.register
def _make(operation: MakeLink, kernel: Kernel) -> None:
    if operation.kind == "tap":
        make_tap(operation, kernel)
    else:
        _make_link(operation, kernel)


def _make_link(operation: MakeLink, kernel: Kernel) -> None:
    index, lower = _free_index(), b""
    address = operation.address
    peer = _free_index() if operation.peer else 0
    if operation.lower:
        lower = nl.attribute(rt.LINK, nl.u32(kernel.required(operation.lower).index))
    else:
        address = address or _random_address()
    body = rt.link_body(
        nl.attribute(rt.IFNAME, nl.text(operation.device)),
        lower,
        nl.attribute(rt.ADDRESS, mac(address)) if address else b"",
        nl.attribute(rt.MTU, nl.u32(operation.mtu)) if operation.mtu else b"",
        nl.nest(
            rt.LINKINFO,
            nl.attribute(rt.INFO_KIND, nl.text(operation.kind)),
            *_data(operation, peer),
        ),
        index=index,
    )
    make = (rt.NEWLINK, nl.ACK | nl.CREATE_NEW, body)
    marks = [(index, operation.mark)]
    if operation.peer_mark:
        marks.append((peer, operation.peer_mark))
    # A mark goes by the index that we chose, in the same send: never by name, which a stranger's
    # device may have.
    (_, refused), *marked = kernel.netlink.exchange(
        [make, *(altname_request(True, i, m) for i, m in marks)]
    )
    if refused is not None:
        for (taken, mark), (_, unmarked) in zip(marks, marked, strict=True):
            if unmarked is None:  # a stranger took the index meanwhile and got our mark
                kernel.netlink.request(altname_request(False, taken, mark))
        raise refused
    for _, unmarked in marked:
        if unmarked is not None:
            kernel.remove(index)
            raise unmarked


def _data(operation: MakeLink, peer: int) -> list[bytes]:
    """Return what is asked of a device of this kind, if anything; ``peer`` is the peer's index."""
    settings = {name: getattr(operation, name) for name in _BRIDGE}
    data = [_setting(name, value) for name, value in settings.items() if value is not None]
    if operation.vlan is not None:
        data.append(nl.attribute(rt.VLAN_ID, nl.u16(operation.vlan)))
    if operation.peer:
        other = rt.link_body(
            nl.attribute(rt.IFNAME, nl.text(operation.peer)),
            nl.attribute(rt.ADDRESS, mac(_random_address())),
            nl.attribute(rt.MTU, nl.u32(operation.mtu)) if operation.mtu else b"",
            index=peer,
        )
        data.append(nl.attribute(rt.VETH_PEER | nl.NESTED, other))
    return [nl.nest(rt.INFO_DATA, *data)] if data else []


def _remove_links(kernel: Kernel, operations: Sequence[RemoveLink]) -> None:
    """Remove devices, in one go where they are several. Raises what kept one, after the rest."""
    indexes, kept = [], None
    for operation in operations:
        try:
            if index := _to_be_removed(kernel, operation):
                indexes.append(index)
        except (KernelError, WrongDevice) as error:
            kept = error
    try:
        if len(indexes) == 1:
            kernel.remove(indexes[0])
        elif indexes:
            # A group that is ours alone: one of 2 to the power of 31.
            group = nl.attribute(rt.GROUP, nl.u32(random.randrange(1 << 30, 1 << 31)))  # noqa: S311
            joins = [(rt.SETLINK, nl.ACK, rt.link_body(group, index=one)) for one in indexes]
            kernel.netlink.exchange(joins)
            kernel.netlink.request((rt.DELLINK, nl.ACK, rt.link_body(group)))
    except KernelError as error:
        if error.errno != errno.ENODEV:
            raise
    if kept:
        raise kept


def _to_be_removed(kernel: Kernel, operation: RemoveLink) -> int | None:
    """Return the index of a device that is to go; None for one that is gone or may stay."""
    found = kernel.netlink.link(operation.device)
    if found is None:
        return None
    name, link = found
    if operation.mark is not None and operation.mark not in link.altnames:
        return None  # another's, made in our place
    marked = link.marks or link.shared_marks
    if operation.mark is None and (marked or link.kind != operation.kind):
        raise WrongDevice(f"{name} is not the {operation.kind} that was to be removed")
    if operation.unless_used and _used(kernel, name, link, operation):
        if operation.or_fail:
            raise WrongDevice(f"{name} has come into use")
        return None
    return link.index


def _used(kernel: Kernel, name: str, link: Link, operation: RemoveLink) -> bool:
    """Whether a device has a claim or a port, other than those of the VIF that is leaving."""
    token = token_in(link.altnames)
    if token and kernel.claims.users(token) - {operation.leaving}:
        return True
    return any(
        port not in operation.beside and all(m.vif_id != operation.leaving for m in found.marks)
        for port, found in kernel.netlink.links(master=name).items()
    )


def _setting_of(kernel: Kernel, operation: SetLink) -> Request:
    """Return the request that sets an attribute by netlink. Raises WrongDevice, KernelError."""
    value = operation.value
    kind, wanted, up = rt.SETLINK, b"", None
    # The kernel finds the device by its name; to ask for its index first takes as long again.
    device = nl.attribute(rt.IFNAME, nl.text(operation.device))
    match operation.attribute:
        case "up":
            up = bool(value)
        case "mtu":
            wanted = nl.attribute(rt.MTU, nl.u32(value))
        case "address":
            wanted = nl.attribute(rt.ADDRESS, mac(value))
        case "master":
            wanted = nl.attribute(rt.MASTER, nl.u32(kernel.required(value).index if value else 0))
        case attribute if attribute in _BRIDGE:
            # Settings of a kind of device go by NEWLINK, without leave to create.
            kind = rt.NEWLINK
            data = nl.nest(rt.INFO_DATA, _setting(operation.attribute, value))
            bridge = nl.attribute(rt.INFO_KIND, nl.text("bridge"))
            wanted = nl.nest(rt.LINKINFO, bridge, data)
        case other:
            raise WrongDevice(f"{other} of {operation.device} can't be set")
    return kind, nl.ACK, rt.link_body(device, wanted, up=up)


def _free_index() -> int:
    while True:
        index = random.randrange(1 << 20, 1 << 30)  # noqa: S311 - not a secret
        try:
            socket.if_indextoname(index)
        except OSError:
            return index


def _setting(name: str, value: int) -> bytes:
    number, payload = _BRIDGE[name]
    return nl.attribute(number, payload(int(value)))


def _random_address() -> str:
    """Return a random MAC address: locally administered, unicast."""
    first, *rest = os.urandom(6)
    return bytes([(first & 0xFC) | 0x02, *rest]).hex(":")


@perform.register
def _remove(operation: RemoveLink, kernel: Kernel) -> None:
    _remove_links(kernel, [operation])


@perform.register
def _remove_several(operation: RemoveLinks, kernel: Kernel) -> None:
    _remove_links(kernel, operation.these)


@perform.register
def _set(operation: SetLink, kernel: Kernel) -> None:
    if operation.attribute in SYSCTLS:
        write_sysctl(operation)
    else:
        kernel.netlink.request(_setting_of(kernel, operation))


@perform.register
def _set_several(operation: SetLinks, kernel: Kernel) -> None:
    kernel.netlink.request(*(_setting_of(kernel, each) for each in operation.these))
