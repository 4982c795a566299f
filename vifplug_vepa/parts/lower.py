# SPDX-License-Identifier: Apache-2.0
"""The device of the host that a guest's macvtap lies on. libvirt makes and removes the macvtap.

What libvirt would only say vaguely, or does badly, is found out before: a device that can't carry
a macvtap, one that another has for itself (libvirt then loses the device's own address), a
macvtap with the guest's address that an earlier guest left behind. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from vifplug.errors import Conflict
from vifplug.fields import DEVICE, MAC, MTU, Choice, declared
from vifplug.model.host import Host
from vifplug.model.link import TAKES_FRAMES, Link
from vifplug.model.mark import Mark, Owner, shared_mark
from vifplug.operations.altnames import AddAltname, RemoveAltname
from vifplug.operations.links import RemoveLeaked, SetLink
from vifplug.operations.operation import Operation
from vifplug.parts.part import Part

MODES = ("vepa", "private", "bridge", "passthrough")
PASSTHROUGH = "passthrough"
CARRIES_VLAN = "vlan"
"""Stands for a macvtap's mode where a VLAN device lies on this one, and the macvtap on that."""

ROLE = "lower"
WOKEN = "woken"
"""The role in the mark on a device that a plug brought up."""


@dataclass(frozen=True, kw_only=True)
class Lower(Part):
    """A device that is there, up, free for a macvtap of this mode, and has room for ``mtu``.

    The VIF's claim on it notes the guest's address and the mode, so that an unplug which knows
    nothing but the VIF's id finds what the guest left.
    """

    kind: ClassVar[str] = "lower"

    device: str = declared(DEVICE)
    mode: str = declared(Choice(*MODES, CARRIES_VLAN))
    address: str = declared(MAC)
    mtu: int | None = declared(MTU, default=None)

    @property
    def title(self) -> str:
        return self.device

    @property
    def detail(self) -> str:
        return "carries a VLAN device" if self.mode == CARRIES_VLAN else f"{self.mode} macvtap"

    @property
    def shared(self) -> tuple[str, ...]:
        return (self.device,)

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        link = self._usable(owner, host)
        self._require_room(owner, link, host)
        done: list[Operation] = []
        if not link.up:
            done.append(SetLink(device=self.device, attribute="up", value=True, before=False))
            woken = shared_mark(WOKEN, self.device)
            # Only the mark tells, after an unplug, that the device was down. It comes first.
            if woken not in link.altnames:
                done.insert(0, AddAltname(device=self.device, altname=woken))
        claim = owner.claim(ROLE, *self._noted)
        for name, other in host.marked(owner.vif_id).items():
            for mark in other.marks:
                if self._is_older(mark, owner) and (name, str(mark)) != (self.device, claim):
                    done.append(RemoveAltname(device=name, altname=str(mark)))
        if claim not in link.altnames:
            done.append(AddAltname(device=self.device, altname=claim))
        # Last, since nothing gives it back.
        return (*done, *leaked(self.device, self._mark(owner), host))

    def step(self, operations: tuple[Operation, ...], host: Host) -> tuple[str, str]:
        if not operations:
            return "keep", self.detail
        words = [self.detail]
        for one in operations:
            if isinstance(one, SetLink):
                words.append("brought up")
            elif isinstance(one, RemoveLeaked):
                words.append(f"{one.device} removed, which nobody holds")
            elif isinstance(one, RemoveAltname) and one.device != self.device:
                words.append(f"moved from {one.device}")
        claimed = any(isinstance(one, AddAltname) and ":uses-" in one.altname for one in operations)
        return ("make" if claimed else "change"), ", ".join(words)

    def unsure(self, owner: Owner, host: Host) -> bool:
        found = stacked_on(self.device, self._mark(owner), host)
        return any(host.held(name) is None for name in found)

    @property
    def _noted(self) -> tuple[str, str]:
        return self.address.replace(":", ""), self.mode

    def _mark(self, owner: Owner) -> Mark:
        found = Mark.parse(owner.claim(ROLE, *self._noted))
        assert found is not None  # noqa: S101 - what claim() is for
        return found

    def _is_older(self, mark: Mark, owner: Owner) -> bool:
        """Whether this is the VIF's claim for the same purpose."""
        if mark.vif_id != owner.vif_id or not mark.claim or mark.role != ROLE:
            return False
        return (mark.data[1:] == (CARRIES_VLAN,)) == (self.mode == CARRIES_VLAN)

    def _usable(self, owner: Owner, host: Host) -> Link:
        link = host.link(self.device)
        needed = "a device of the host for a macvtap, such as a network card or a VLAN device"
        if link is None:
            raise Conflict(owner.vif_id, self.device, "is not there", needed)
        if link.kind in ("loopback", *TAKES_FRAMES):
            raise Conflict(owner.vif_id, self.device, f"is a {link.kind} device", needed)
        if link.master and self.mode != CARRIES_VLAN:
            raise Conflict(owner.vif_id, self.device, f"is a port of {link.master}", needed)
        made = {mark.vif_id for mark in link.marks if not mark.shared and not mark.claim}
        if made:
            raise Conflict(owner.vif_id, self.device, f"belongs to VIF {made.pop()}", needed)
        if self.mtu is not None and link.mtu < self.mtu:
            room = f"the network's, {self.mtu}, or more"
            raise Conflict(owner.vif_id, self.device, f"has MTU {link.mtu}", room)
        return link

    def _require_room(self, owner: Owner, link: Link, host: Host) -> None:
        """Passthrough has a device for itself: nothing else may lie on it, and it on nothing."""
        claims = [m for m in link.marks if m.claim and m.vif_id != owner.vif_id]
        alone = self.mode == PASSTHROUGH
        needed = "a device of its own for passthrough"
        for mark in claims:
            if mark.role == ROLE and (alone or mark.data[1:] == (PASSTHROUGH,)):
                found = f"is used by VIF {mark.vif_id} ({'.'.join(mark.data[1:])})"
                raise Conflict(owner.vif_id, self.device, found, needed)
        if self.mode == CARRIES_VLAN:
            return
        own = stacked_on(self.device, self._mark(owner), host)
        for name, other in host.lying_on(self.device).items():
            if name not in own and (alone or other.mode == PASSTHROUGH):
                found = f"has the {other.kind} {name} on it ({other.mode or 'ipvlan'})"
                raise Conflict(owner.vif_id, self.device, found, needed)
            if other.kind in ("ipvlan", "ipvtap"):
                found = f"has the {other.kind} {name} on it"
                raise Conflict(owner.vif_id, self.device, found, "one without")


def stacked_on(device: str, claim: Mark, host: Host) -> dict[str, Link]:
    """Return the macvtaps on a device with the address that a VIF's claim on it notes."""
    if not claim.claim or claim.role != ROLE or len(claim.data) != 2:
        return {}
    return {
        name: link
        for name, link in host.lying_on(device).items()
        if link.kind == "macvtap" and (link.address or "").replace(":", "") == claim.data[0]
    }


def leaked(device: str, claim: Mark, host: Host) -> tuple[Operation, ...]:
    """Return what removes the macvtaps of a VIF that nobody holds: its guest ended badly.

    They keep the next guest from starting. One that may be held stays.
    """
    return tuple(
        RemoveLeaked(device=name, lower=device, address=link.address or "")
        for name, link in stacked_on(device, claim, host).items()
        if host.held(name) is False and not link.marks
    )
