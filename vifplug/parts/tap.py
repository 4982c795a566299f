# SPDX-License-Identifier: Apache-2.0
"""A tap of a VIF's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from vifplug.errors import Conflict
from vifplug.fields import BOOLEAN, DEVICE, MAC, Integer, declared
from vifplug.model.host import Host
from vifplug.model.link import Link
from vifplug.model.mark import Owner, derived_name
from vifplug.operations.altnames import AddAltname
from vifplug.operations.links import MakeLink
from vifplug.operations.operation import Operation
from vifplug.parts.bridge import LEAST_MTU
from vifplug.parts.part import Part, drift, fresh

MOST_TAP_MTU = 65521
"""The kernel's limit for a tap: 65535 less the Ethernet header."""

_HOST_SIDE = ("fe:", "fa:")
"""How the address of a tap's host side starts, where it follows from the guest's."""


@dataclass(frozen=True, kw_only=True)
class Tap(Part):
    """A persistent tap of the VIF's own, made before the guest that will open it.

    ``address`` is the host's side: never the guest's, since a bridge takes what is addressed to
    its own ports' addresses for itself. Without one it is the guest's with another first octet.
    """

    kind: ClassVar[str] = "tap"
    own_roles: ClassVar[tuple[str, ...]] = ("tap",)
    derived: ClassVar[Mapping[str, str]] = {"tap": "tap"}

    name: str = declared(DEVICE)
    address: str = declared(MAC)
    mtu: int = declared(Integer(LEAST_MTU, MOST_TAP_MTU), default=1500)
    multi_queue: bool = declared(BOOLEAN, default=False)
    ipv6: bool = declared(BOOLEAN, default=False)

    @property
    def title(self) -> str:
        return self.name

    @property
    def detail(self) -> str:
        queues = "multi-queue, " if self.multi_queue else ""
        return f"{queues}MTU {self.mtu}, IPv6 {'on' if self.ipv6 else 'off'}"

    @property
    def devices(self) -> tuple[str, ...]:
        return (self.name,)

    def marks(self, owner: Owner) -> Mapping[str, str]:
        return {self.name: owner.mark("tap")}

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        mark = self.marks(owner)[self.name]
        marked = host.carrying(mark)
        if marked and marked[0] != self.name:
            needed = f"the name {self.name}: unplug and plug to rename"
            raise Conflict(owner.vif_id, marked[0], "is this VIF's tap", needed)
        link = host.link(self.name)
        if link is None:
            made = MakeLink(
                device=self.name,
                kind="tap",
                mark=mark,
                address=self.address,
                mtu=self.mtu,
                multi_queue=self.multi_queue,
            )
            return (made, *fresh(self.name, ipv6=self.ipv6, up=True))
        self._require_same_shape(owner, link, ours=marked is not None)
        # MTU, IPv6 and state are repaired; the address is not, lest a live guest's port flaps.
        repairs = drift(self.name, link, ipv6=self.ipv6, mtu=self.mtu, up=True)
        adopted = [] if marked else [AddAltname(device=self.name, altname=mark)]
        return (*adopted, *repairs)

    def stale(self, owner: Owner, host: Host) -> tuple[str, ...]:
        # Not of an adopted tap, because others give a tap any address.
        marked = host.carrying(self.marks(owner)[self.name])
        return stale_address(self.name, host, self.address) if marked else ()

    def _require_same_shape(self, owner: Owner, link: Link, *, ours: bool) -> None:
        if link.kind != "tap":
            raise Conflict(owner.vif_id, self.name, f"is a {link.kind} device", "a tap")
        others = link.owners - {owner.vif_id}
        if link.shared_marks:
            raise Conflict(owner.vif_id, self.name, "is a shared device", "a tap of this VIF's own")
        if others:
            needed = "a tap of this VIF's own"
            raise Conflict(owner.vif_id, self.name, f"belongs to VIF {min(others)}", needed)
        if not ours and self.name != derived_name("tap", owner.vif_id):
            raise Conflict(owner.vif_id, self.name, "is there and not ours", "a name that is free")
        if link.multi_queue is not None and link.multi_queue != self.multi_queue:
            words = {True: "multi-queue", False: "single-queue"}
            raise Conflict(
                owner.vif_id,
                self.name,
                f"is {words[link.multi_queue]}",
                f"{words[self.multi_queue]}: unplug and plug",
            )


def takes_address(bridge: Link, tap: Link) -> bool:
    """Whether a bridge would take a tap's MAC address for its own, in the place of a card's.

    A bridge that has taps only has an address of theirs, as they come and go.
    """
    if not bridge.address or not tap.address or tap.address >= bridge.address:
        return False
    return not tap.address.startswith("fe:") and not bridge.address.startswith(_HOST_SIDE)


def is_its_tap(device: str, owner: Owner, host: Host) -> bool:
    """Whether a tap is a VIF's, by its mark or by its name."""
    link = host.link(device)
    marked = link is not None and owner.vif_id in link.owners
    return marked or device == derived_name("tap", owner.vif_id)


def host_side_address(address: str) -> str:
    """Return the address of a tap's host side: the guest's with fe (or fa) as first octet.

    As libvirt does it: high, so that a bridge never takes it for its own.
    """
    return ("fa" if address.startswith("fe") else "fe") + address[2:]


def stale_address(device: str, host: Host, wanted: str) -> tuple[str, ...]:
    """Return what a running guest's tap tells of a guest with another address than its VIF's.

    ``wanted`` is the address that the tap's host side would have.
    """
    link = host.link(device)
    made = link.address if link and link.carrier else None
    if made is None or made[3:] == wanted[3:] or not made.startswith(_HOST_SIDE):
        return ()
    # A random address may start like this too, so the next octets must be the network's.
    if made[3:8] != wanted[3:8]:
        return ()
    return (f"{device} has a guest whose address ends in {made[3:]}, not in {wanted[3:]}",)
