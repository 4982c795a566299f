# SPDX-License-Identifier: Apache-2.0
"""Operations performed on the kernel: what a plan's changes come to, one by one.

It is plain code without privilege of its own; the kernel wants CAP_NET_ADMIN for it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import random
import socket
import struct
import time
from collections import Counter
from collections.abc import Mapping, Sequence

from vifplug.kernel import holders
from vifplug.kernel.messages import links as rt
from vifplug.kernel.messages import routes as layer3
from vifplug.kernel.messages.routes import Place, Route
from vifplug.kernel.netlink import KernelError, Netlink, Request
from vifplug.model.link import Link
from vifplug.model.mark import DERIVED, derived_name
from vifplug.operations.addressing import CopyAddresses, CopyRoutes, RemoveAddresses, RemoveRoutes
from vifplug.operations.altnames import AddAltname, RemoveAltname
from vifplug.operations.functions import SetVf
from vifplug.operations.links import (
    MakeLink,
    RemoveLeaked,
    RemoveLink,
    RemoveLinks,
    SetLink,
    SetLinks,
)
from vifplug.operations.operation import Operation

_TUNSETIFF, _TUNSETPERSIST = 0x400454CA, 0x400454CB
_NO_PI, _VNET_HDR, _MULTI_QUEUE, _TUN_EXCL = 0x1000, 0x4000, 0x100, 0x8000
_SYSCTLS: Mapping[str, str] = {
    "ipv6": "ipv6/conf/{}/disable_ipv6",
    "accept_ra": "ipv6/conf/{}/accept_ra",
    "arp_ignore": "ipv4/conf/{}/arp_ignore",
    "arp_announce": "ipv4/conf/{}/arp_announce",
}
_OPENED_WITHIN = 0.2
"""Seconds within which libvirt surely opens a macvtap that it has made."""

_SYSCTL_ROOT = "/proc/sys/net/"
_BRIDGE = {
    "stp": (rt.BR_STP_STATE, rt.u32),
    "forward_delay": (rt.BR_FORWARD_DELAY, rt.u32),
    "ageing_time": (rt.BR_AGEING_TIME, rt.u32),
    "multicast_snooping": (rt.BR_MCAST_SNOOPING, rt.u8),
}


class Refused(Exception):
    """An operation would touch a device that is not the one it was meant for."""


def perform(netlink: Netlink, operation: Operation) -> None:
    """Make one change. Raises KernelError, OSError or Refused.

    Then nothing was changed, but for addresses and routes, of which some may have been: the
    operation's undo takes those back.
    """
    match operation:
        case MakeLink(kind="tap"):
            _make_tap(netlink, operation)
        case MakeLink():
            _make_link(netlink, operation)
        case RemoveLink():
            _remove_links(netlink, [operation])
        case RemoveLinks(these=these):
            _remove_links(netlink, these)
        case RemoveLeaked():
            _remove_leaked(netlink, operation)
        case SetVf():
            _set_vf(netlink, operation)
        case SetLink(attribute=name) if name in _SYSCTLS:
            _write_sysctl(operation)
        case SetLink():
            netlink.request(_setting_of(netlink, operation))
        case SetLinks(these=these):
            netlink.request(*(_setting_of(netlink, one) for one in these))
        case AddAltname(device=device, altname=altname):
            _add_altname(netlink, device, altname)
        case RemoveAltname(device=device, altname=altname):
            _remove_altname(netlink, device, altname)
        case CopyAddresses():
            _copy_addresses(netlink, operation)
        case RemoveAddresses():
            _remove_addresses(netlink, operation)
        case CopyRoutes():
            _copy_routes(netlink, operation)
        case RemoveRoutes():
            _remove_routes(netlink, operation)
        case _:
            raise Refused(f"{operation!r} is no operation on devices")


def _make_link(netlink: Netlink, operation: MakeLink) -> None:
    index, lower = _free_index(), b""
    address = operation.address
    peer = _free_index() if operation.peer else 0
    if operation.lower:
        lower = rt.attribute(rt.LINK, rt.u32(_must(netlink, operation.lower).index))
    else:
        address = address or _random_address()
    body = rt.link_body(
        rt.attribute(rt.IFNAME, rt.text(operation.device)),
        lower,
        rt.attribute(rt.ADDRESS, _mac(address)) if address else b"",
        rt.attribute(rt.MTU, rt.u32(operation.mtu)) if operation.mtu else b"",
        rt.nest(
            rt.LINKINFO,
            rt.attribute(rt.INFO_KIND, rt.text(operation.kind)),
            *_data(operation, peer),
        ),
        index=index,
    )
    make = (rt.NEWLINK, rt.ACK | rt.CREATE_NEW, body)
    marks = [(index, operation.mark)]
    if operation.peer_mark:
        marks.append((peer, operation.peer_mark))
    # A mark goes by the index that we chose, in the same send: never by name, which a stranger's
    # device may have.
    (_, refused), *marked = netlink.exchange([make, *(_prop(True, i, m) for i, m in marks)])
    if refused is not None:
        for (taken, mark), (_, unmarked) in zip(marks, marked, strict=True):
            if unmarked is None:  # a stranger took the index meanwhile and got our mark
                netlink.request(_prop(False, taken, mark))
        raise refused
    for _, unmarked in marked:
        if unmarked is not None:
            netlink.request((rt.DELLINK, rt.ACK, rt.link_body(index=index)))
            raise unmarked


def _data(operation: MakeLink, peer: int) -> list[bytes]:
    """Return what is asked of a device of this kind, if anything; ``peer`` is the peer's index."""
    settings = {name: getattr(operation, name) for name in _BRIDGE}
    data = [_setting(name, value) for name, value in settings.items() if value is not None]
    if operation.vlan is not None:
        data.append(rt.attribute(rt.VLAN_ID, rt.u16(operation.vlan)))
    if operation.peer:
        other = rt.link_body(
            rt.attribute(rt.IFNAME, rt.text(operation.peer)),
            rt.attribute(rt.ADDRESS, _mac(_random_address())),
            rt.attribute(rt.MTU, rt.u32(operation.mtu)) if operation.mtu else b"",
            index=peer,
        )
        data.append(rt.attribute(rt.VETH_PEER | rt.NESTED, other))
    return [rt.nest(rt.INFO_DATA, *data)] if data else []


def _make_tap(netlink: Netlink, operation: MakeLink) -> None:
    flags = rt.TAP | _NO_PI | _VNET_HDR | _TUN_EXCL
    flags |= _MULTI_QUEUE if operation.multi_queue else 0
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        # Until it is made persistent, at the very end, the tap goes away with the descriptor.
        fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", operation.device.encode(), flags))
        index = socket.if_nametoindex(operation.device)
        address, mtu = operation.address, operation.mtu
        wanted = (
            rt.attribute(rt.ADDRESS, _mac(address)) if address else b"",
            rt.attribute(rt.MTU, rt.u32(mtu)) if mtu else b"",
        )
        shape = (rt.SETLINK, rt.ACK, rt.link_body(*wanted, index=index))
        netlink.request(_prop(True, index, operation.mark), shape)
        fcntl.ioctl(fd, _TUNSETPERSIST, 1)
    except BaseException:
        os.close(fd)
        raise
    netlink.hold(fd)


def _remove_links(netlink: Netlink, operations: Sequence[RemoveLink]) -> None:
    """Remove devices, in one go where they are several. Raises what kept one, after the rest."""
    indexes, kept = [], None
    for operation in operations:
        try:
            if index := _to_be_removed(netlink, operation):
                indexes.append(index)
        except (KernelError, Refused) as error:
            kept = error
    try:
        if len(indexes) == 1:
            netlink.request((rt.DELLINK, rt.ACK, rt.link_body(index=indexes[0])))
        elif indexes:
            # A group that is ours alone: one of 2 to the power of 31.
            group = rt.attribute(rt.GROUP, rt.u32(random.randrange(1 << 30, 1 << 31)))  # noqa: S311
            joins = [(rt.SETLINK, rt.ACK, rt.link_body(group, index=one)) for one in indexes]
            netlink.exchange(joins)
            netlink.request((rt.DELLINK, rt.ACK, rt.link_body(group)))
    except KernelError as error:
        if error.errno != errno.ENODEV:
            raise
    if kept:
        raise kept


def _remove_leaked(netlink: Netlink, operation: RemoveLeaked) -> None:
    """Remove a macvtap that nobody holds, now and a moment later: a guest may just be starting."""
    for pause in (_OPENED_WITHIN, 0.0):
        found = netlink.link(operation.device)
        if found is None:
            return
        name, link = found
        shape = (link.kind, link.lower, link.address)
        if shape != ("macvtap", operation.lower, operation.address):
            return  # another's, made in its place
        if holders.look().of(link.index) is not False:
            raise Refused(f"{name} is held by a process, or none can look who holds it")
        time.sleep(pause)
    netlink.request((rt.DELLINK, rt.ACK, rt.link_body(index=link.index)))


def _set_vf(netlink: Netlink, operation: SetVf) -> None:
    number, value = operation.vf, operation.value
    match operation.attribute:
        case "address":
            kind, payload = rt.VF_MAC, struct.pack("=I32s", number, _mac(value))
        case "vlan":
            kind, payload = rt.VF_VLAN, struct.pack("=III", number, *value)
        case "spoofchk":
            kind, payload = rt.VF_SPOOFCHK, struct.pack("=II", number, int(value))
        case "trust":
            kind, payload = rt.VF_TRUST, struct.pack("=II", number, int(value))
        case other:
            raise Refused(f"{other} of {operation.device} VF {number} can't be set")
    index = _must(netlink, operation.device).index
    netlink.request((rt.SETLINK, rt.ACK, rt.vf_body(index, kind, payload)))


def _to_be_removed(netlink: Netlink, operation: RemoveLink) -> int | None:
    """Return the index of a device that is to go; None for one that is gone or may stay."""
    found = netlink.link(operation.device)
    if found is None:
        return None
    name, link = found
    marks = [str(mark) for mark in link.marks]
    if operation.mark is not None and operation.mark not in marks:
        return None  # another's, made in our place
    if operation.mark is None and (marks or link.kind != operation.kind):
        raise Refused(f"{name} is not the {operation.kind} that was to be removed")
    if operation.unless_used and _used(netlink, name, link, operation.leaving):
        if operation.or_fail:
            raise Refused(f"{name} has come into use")
        return None
    return link.index


def _used(netlink: Netlink, name: str, link: Link, leaving: str | None) -> bool:
    """Whether a device has a claim or a port, other than those of the VIF that is leaving."""
    if any(mark.claim and mark.vif_id != leaving for mark in link.marks):
        return True
    own = {derived_name(prefix, leaving) for prefix in DERIVED} if leaving else set()
    return any(
        port not in own and all(mark.vif_id != leaving for mark in found.marks)
        for port, found in netlink.links(master=name).items()
    )


def _setting_of(netlink: Netlink, operation: SetLink) -> Request:
    """Return the request that sets an attribute which is no sysctl. Raises Refused, KernelError."""
    value = operation.value
    kind, wanted, up = rt.SETLINK, b"", None
    # The kernel finds the device by its name; to ask for its index first takes as long again.
    device = rt.attribute(rt.IFNAME, rt.text(operation.device))
    match operation.attribute:
        case "up":
            up = bool(value)
        case "mtu":
            wanted = rt.attribute(rt.MTU, rt.u32(value))
        case "address":
            wanted = rt.attribute(rt.ADDRESS, _mac(value))
        case "master":
            wanted = rt.attribute(rt.MASTER, rt.u32(_must(netlink, value).index if value else 0))
        case attribute if attribute in _BRIDGE:
            # Settings of a kind of device go by NEWLINK, without leave to create.
            kind = rt.NEWLINK
            data = rt.nest(rt.INFO_DATA, _setting(operation.attribute, value))
            bridge = rt.attribute(rt.INFO_KIND, rt.text("bridge"))
            wanted = rt.nest(rt.LINKINFO, bridge, data)
        case other:
            raise Refused(f"{other} of {operation.device} can't be set")
    return kind, rt.ACK, rt.link_body(device, wanted, up=up)


def _add_altname(netlink: Netlink, device: str, altname: str) -> None:
    try:
        netlink.request(_prop(True, _must(netlink, device).index, altname))
    except KernelError as error:
        found = netlink.link(altname) if error.errno == errno.EEXIST else None
        if found is None or found[0] != device:
            raise


def _remove_altname(netlink: Netlink, device: str, altname: str) -> None:
    found = netlink.link(altname)
    if found is not None and found[0] == device:
        netlink.request(_prop(False, found[1].index, altname))


# Addresses and routes. What is there already, or gone already, is as good as done.


def _copy_addresses(netlink: Netlink, operation: CopyAddresses) -> None:
    source, target = _must(netlink, operation.source).index, _must(netlink, operation.device).index
    there = {found.name for found in netlink.addresses(target)}
    addresses = netlink.addresses(source)
    # The kernel puts a new IPv6 address before the others, an IPv4 one behind them.
    newest_first = [one for one in addresses if one.family == socket.AF_INET6]
    for one in (*(a for a in addresses if a not in newest_first), *reversed(newest_first)):
        if one.name not in operation.these or one.name in there:
            continue
        label = one.label(operation.source, operation.device)
        flags = layer3.NODAD if one.trusted else 0
        make = rt.ACK | layer3.CREATE | layer3.EXCLUSIVE
        _unless(errno.EEXIST, netlink, (layer3.NEWADDR, make, one.body(target, label, flags=flags)))
        if flags and not one.flags & flags:
            # In use from the first moment, it need not be told apart from the others for ever.
            netlink.request((layer3.NEWADDR, rt.ACK | layer3.REPLACE, one.body(target)))


def _remove_addresses(netlink: Netlink, operation: RemoveAddresses) -> None:
    device = _must(netlink, operation.device).index
    kept = {found.name for found in netlink.addresses(_must(netlink, operation.kept_on).index)}
    _require_kept(operation, kept)
    addresses = netlink.addresses(device)
    # What came last goes first: with the first IPv4 address of a subnet the others would go too,
    # and given back, all stand in their order again.
    newest_first = [one for one in addresses if one.family == socket.AF_INET6]
    for found in (*newest_first, *reversed([a for a in addresses if a not in newest_first])):
        if found.name in operation.these:
            body = found.body(device)
            _unless(errno.EADDRNOTAVAIL, netlink, (layer3.DELADDR, rt.ACK, body))


def _copy_routes(netlink: Netlink, operation: CopyRoutes) -> None:
    source, target = _must(netlink, operation.source).index, _must(netlink, operation.device).index
    routes = [one for one in netlink.routes(source) if not one.by_link]
    places = Counter(one.place for one in routes)
    asked = {one.place for one in routes if one.name in operation.these}
    wanted = [one for one in routes if one.place in asked]
    there = {one.name: one for one in netlink.routes(target)}
    leading = _leading(asked, netlink, source, target)
    # A new IPv4 route comes before or behind all others of its place, so what leads comes last
    # one first. A route through a gateway needs the one to the gateway.
    ordered = [one for one in wanted if one.place not in leading]
    ordered += [one for one in reversed(wanted) if one.place in leading]
    for one in sorted(ordered, key=lambda route: not route.on_link):
        leads, made = one.place in leading, there.get(one.name)
        several = one.family == socket.AF_INET and places[one.place] > 1
        if made and (leads or several):  # it may stand in the wrong order: it comes anew
            _unless(errno.ESRCH, netlink, (layer3.DELROUTE, rt.ACK, made.body(target)))
        if leads or several or not made:
            flags = rt.ACK | layer3.CREATE | (0 if leads else layer3.APPEND)
            _unless(errno.EEXIST, netlink, (layer3.NEWROUTE, flags, one.body(target)))


def _leading(places: set[Place], netlink: Netlink, source: int, target: int) -> set[Place]:
    """Return the places of IPv4 routes where the source's stand before those of other devices."""
    standing: dict[Place, list[Route]] = {place: [] for place in places}
    for body in netlink.dump(layer3.GETROUTE, layer3.route_request(socket.AF_INET)):
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


def _remove_routes(netlink: Netlink, operation: RemoveRoutes) -> None:
    device = _must(netlink, operation.device).index
    kept = {one.name for one in netlink.routes(_must(netlink, operation.kept_on).index)}
    _require_kept(operation, kept)
    for one in reversed(netlink.routes(device)):
        if one.name in operation.these:
            _unless(errno.ESRCH, netlink, (layer3.DELROUTE, rt.ACK, one.body(device)))


def _require_kept(operation: RemoveAddresses | RemoveRoutes, kept: set[str]) -> None:
    lost = [one for one in operation.these if one not in kept]
    if lost:
        raise Refused(f"{operation.kept_on} has not got {', '.join(lost)}")


def _unless(as_good: int, netlink: Netlink, request: Request) -> None:
    """Make a request; that the kernel refuses it with this errno is as good."""
    try:
        netlink.request(request)
    except KernelError as error:
        if error.errno != as_good:
            raise


def _must(netlink: Netlink, device: str) -> Link:
    found = netlink.link(device)
    if found is None:
        raise KernelError(errno.ENODEV, f"{device}: {os.strerror(errno.ENODEV)}")
    return found[1]


def _free_index() -> int:
    while True:
        index = random.randrange(1 << 20, 1 << 30)  # noqa: S311 - not a secret
        try:
            socket.if_indextoname(index)
        except OSError:
            return index


def _setting(name: str, value: int) -> bytes:
    number, payload = _BRIDGE[name]
    return rt.attribute(number, payload(int(value)))


def _prop(add: bool, index: int, altname: str) -> Request:
    kind, flags = (rt.NEWLINKPROP, rt.CREATE_NEW) if add else (rt.DELLINKPROP, 0)
    return kind, rt.ACK | flags, rt.prop_body(index, altname)


def _write_sysctl(operation: SetLink) -> None:
    path = _SYSCTL_ROOT + _SYSCTLS[operation.attribute].format(operation.device)
    value = not operation.value if operation.attribute == "ipv6" else operation.value
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, b"%d\n" % int(value))
        finally:
            os.close(fd)
    except FileNotFoundError:
        # A kernel without IPv6, or a device whose MTU is too small for it, has it off already.
        if operation.attribute != "ipv6" or operation.value:
            raise


def _mac(address: str) -> bytes:
    return bytes.fromhex(address.replace(":", ""))


def _random_address() -> str:
    """Return a random MAC address: locally administered, unicast."""
    first, *rest = os.urandom(6)
    return bytes([(first & 0xFC) | 0x02, *rest]).hex(":")
