# SPDX-License-Identifier: Apache-2.0
"""The device of the host that a guest's macvtap lies on. libvirt makes and removes the macvtap.

Plug finds the errors that libvirt reports only vaguely or handles badly. The device can't carry a
macvtap. Another guest has the device for itself: libvirt then loses the device's own address. An
earlier guest left a macvtap with this guest's address. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from vifplug.errors import Conflict
from vifplug.fields import DEVICE, MAC, MTU, Choice, declared
from vifplug.model.host import Host
from vifplug.model.link import TAKES_FRAMES, Link, carries_no_macvtap, carries_no_vlan
from vifplug.model.mark import Mark, Owner, shared_mark
from vifplug.model.thing import Thing
from vifplug.operations import (
    AddAltname,
    AddClaim,
    Operation,
    RemoveAltname,
    RemoveClaim,
    SetLink,
    Unit,
)
from vifplug.parts import HOST_DEVICE, Claim, Leaving, Part, Role
from vifplug_vepa.operations import RemoveLeaked

MODES = ("vepa", "private", "bridge", "passthrough")
PASSTHROUGH = "passthrough"
CARRIES_VLAN = "vlan"
"""Instead of a mode: a VLAN device lies on this device, and the macvtap lies on the VLAN device.

It is also the role of the claim on this device, which is then a core ``Claim``.
"""

_ALONE = ("ipvlan", "ipvtap", "macsec", "rmnet")
"""Kinds of device that leave no frames to a macvtap on the same device."""

LOWER = "lower"
"""The role of the claim on a device that the macvtap itself lies on."""

WOKEN = "woken"
"""The role in the shared mark of a device that a plug brought up."""


def _no_macvtap(thing: Thing, owner: Owner, host: Host) -> str | None:
    link = host.link(thing.name)
    if link is None or link.kind != "macvtap":
        return f"is a {thing.kind} device"
    other = _other_user(str(link.lower), str(link.address), owner.vif_id, host)
    return f"is that of VIF {other}" if other else None


_GUESTS = Role(words="the macvtap of this VIF's guest", refusal=_no_macvtap)


@dataclass(frozen=True, kw_only=True)
class Lower(Part):
    """A device that is there, up, free for a macvtap of this mode, and has room for ``mtu``.

    The VIF's claim notes the guest's address and the mode. An unplug that knows only the VIF's id
    finds by them the macvtap that the guest left behind.
    """

    kind: ClassVar[str] = "lower"
    claim_roles: ClassVar[tuple[str, ...]] = (LOWER,)
    joining_roles: ClassVar[tuple[str, ...]] = (LOWER,)

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

    @property
    def places(self) -> tuple[str, ...]:
        return () if self.mode == CARRIES_VLAN else (self.device,)

    def roles(self, owner: Owner, host: Host) -> Mapping[str, Role]:
        guests = _macvtaps(self.device, self.address, host)
        return {self.device: HOST_DEVICE} | dict.fromkeys(guests, _GUESTS)

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        link = self._usable(owner, host)
        self._require_room(owner, link, host)
        changes: list[Operation] = []
        if not link.up:
            woken = shared_mark(WOKEN, self.device)
            # First, because only the mark tells an unplug that the device was down.
            if woken not in link.altnames:
                changes.append(AddAltname(device=self.device, altname=woken))
            changes.append(SetLink(device=self.device, attribute="up", value=True, before=False))
        # Last, because the removal of a macvtap can't be undone.
        claimed = self._claimed(owner, host)
        leaked = _leaked(self.device, self.address, owner.vif_id, host)
        return (*changes, *claimed, *self._up(leaked, host), *leaked)

    def _up(self, leaked: Sequence[RemoveLeaked], host: Host) -> tuple[Operation, ...]:
        """Return what brings up the macvtap of a guest that runs, if another program set it down.

        In a mode that carries a VLAN device there is none.
        """
        if self.mode == CARRIES_VLAN:
            return ()
        gone = {operation.device for operation in leaked}
        return tuple(
            SetLink(device=name, attribute="up", value=True, before=False)
            for name, link in _macvtaps(self.device, self.address, host).items()
            if not link.up and not link.marks and name not in gone
        )

    def stale(self, owner: Owner, host: Host) -> tuple[str, ...]:
        if self.mode == CARRIES_VLAN:
            return ()
        mode = "passthru" if self.mode == PASSTHROUGH else self.mode
        return tuple(
            f"{name} has the mode {link.mode}, not {self.mode}"
            for name, link in _macvtaps(self.device, self.address, host).items()
            if link.mode not in (None, mode, self.mode)
        )

    def step(self, operations: tuple[Operation, ...], host: Host) -> tuple[str, str]:
        if not operations:
            return "keep", self.detail
        words = [self.detail]
        for operation in operations:
            if isinstance(operation, SetLink):
                guests = operation.device != self.device
                words.append(f"{operation.device} brought up" if guests else "brought up")
            elif isinstance(operation, RemoveLeaked):
                words.append(f"{operation.device} removed, which nobody holds")
            elif isinstance(operation, RemoveClaim) and operation.device != self.device:
                words.append(f"moved from {operation.device}")
        claimed = any(isinstance(operation, AddClaim) for operation in operations)
        return ("make" if claimed else "change"), ", ".join(words)

    def unsure(self, owner: Owner, host: Host) -> bool:
        macvtaps = _macvtaps(self.device, self.address, host)
        return any(host.held(name) is None for name in macvtaps)

    @classmethod
    def given_back(cls, device: str, claim: Mark, host: Host) -> tuple[Unit, ...]:
        """Remove the macvtaps that the VIF's guest left behind on a device."""
        address = _address_in(claim)
        leaked = _leaked(device, address, claim.vif_id, host) if address else ()
        return tuple((each,) for each in leaked)

    @classmethod
    def unused(cls, device: str, host: Host, leaving: Leaving) -> tuple[Unit, ...]:
        """Set a device down again that a plug brought up, and that only this VIF uses."""
        link, woken = host.link(device), shared_mark(WOKEN, device)
        if link is None or woken not in link.altnames or not leaving.uses_alone(device, host):
            return ()
        if link.master or host.addresses(device):
            return ()
        units = [u for claim in host.claims(device) for u in cls.given_back(device, claim, host)]
        leaked = {o.device for unit in units for o in unit if isinstance(o, RemoveLeaked)}
        for name, other in host.links.items():
            going = name in leaving.going or name in leaked
            if other.lower == device and other.kind != "veth" and not going:
                return ()
        down = SetLink(device=device, attribute="up", value=False, before=True)
        unmarked = RemoveAltname(device=device, altname=woken)
        return ((down,), (unmarked,)) if link.up else ((unmarked,),)

    @classmethod
    def stacked(cls, device: str, claim: Mark, host: Host) -> Mapping[str, Link]:
        """Return by name the VIF's macvtaps on a device that it claims."""
        address = _address_in(claim)
        return _macvtaps(device, address, host) if address else {}

    def _claimed(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        """Return the changes after which the VIF has one claim of this role, on this device."""
        if self.mode == CARRIES_VLAN:
            return Claim(on=self.device, role=CARRIES_VLAN).operations(owner, host)
        claim = owner.claim(LOWER, self.address.replace(":", ""), self.mode)
        held = [(on, str(c)) for on, c in host.claims_of(owner.vif_id) if c.role == LOWER]
        wanted = (self.device, claim)
        added = () if wanted in held else (AddClaim(device=self.device, claim=claim),)
        # The new claim comes first, so that an unplug finds the VIF at any time.
        gone = (RemoveClaim(device=on, claim=text) for on, text in held if (on, text) != wanted)
        return (*added, *gone)

    def _usable(self, owner: Owner, host: Host) -> Link:
        link = host.link(self.device)
        needed = "a device of the host for a macvtap, such as a network card or a VLAN device"
        if link is None:
            raise Conflict(owner.vif_id, self.device, "is not there", needed)
        carries_vlan = self.mode == CARRIES_VLAN
        if why := carries_no_vlan(link) if carries_vlan else carries_no_macvtap(link):
            raise Conflict(owner.vif_id, self.device, why, needed)
        if link.master and not carries_vlan and not self._keeps_frames(link.master, host):
            raise Conflict(owner.vif_id, self.device, f"is a port of {link.master}", needed)
        if link.marks:
            belongs = f"belongs to VIF {link.marks[0].vif_id}"
            raise Conflict(owner.vif_id, self.device, belongs, needed)
        if self.mtu is not None and link.mtu < self.mtu:
            room = f"the network's, {self.mtu}, or more"
            raise Conflict(owner.vif_id, self.device, f"has MTU {link.mtu}", room)
        return link

    def _keeps_frames(self, master: str, host: Host) -> bool:
        """Whether a device still gets its own frames below this master: a vrf has routes alone."""
        link = host.link(master)
        return link is not None and link.kind == "vrf"

    def _require_room(self, owner: Owner, link: Link, host: Host) -> None:
        """Raise Conflict where the device is not free for this mode.

        A macvtap in passthrough mode must be the only device, and the only use, of the device that
        it lies on.
        """
        alone = self.mode == PASSTHROUGH
        needed = "a device of its own for passthrough"
        others = host.claimants(self.device) - {owner.vif_id}
        # A device with several macvtaps has none in passthrough mode, so that nobody reads the
        # claims of thousands at each plug. A bridge has other claims besides.
        several = len(others) > 1 and link.kind != "bridge"
        for claim in () if several and not alone else host.claims(self.device):
            if claim.vif_id not in others or claim.role not in (LOWER, CARRIES_VLAN):
                continue
            mode = ".".join(claim.data[1:]) if claim.role == LOWER else CARRIES_VLAN
            if alone or mode == PASSTHROUGH:
                user = f"is used by VIF {claim.vif_id} ({mode})"
                raise Conflict(owner.vif_id, self.device, user, needed)
        if self.mode == CARRIES_VLAN:
            return
        own = _macvtaps(self.device, self.address, host)
        for name, other in host.lying_on(self.device, (*TAKES_FRAMES, *_ALONE)).items():
            if other.kind in _ALONE:
                user = f"has the {other.kind} {name} on it"
                raise Conflict(owner.vif_id, self.device, user, "one without")
            if name not in own and (alone or other.mode == PASSTHROUGH):
                user = f"has the {other.kind} {name} on it ({other.mode or 'ipvlan'})"
                raise Conflict(owner.vif_id, self.device, user, needed)


def _address_in(claim: Mark) -> str | None:
    """Return the guest's address, without colons, that a claim notes; None for another claim."""
    return claim.data[0] if claim.role == LOWER and len(claim.data) == 2 else None


def _macvtaps(device: str, address: str, host: Host) -> dict[str, Link]:
    """Return by name the macvtaps on a device that have a guest's address."""
    digits = address.replace(":", "")
    return {
        name: link
        for name, link in host.lying_on(device).items()
        if link.kind == "macvtap" and (link.address or "").replace(":", "") == digits
    }


def _leaked(device: str, address: str, vif_id: str, host: Host) -> tuple[RemoveLeaked, ...]:
    """Return the removal of each macvtap with a guest's address that no process holds.

    Its guest ended badly, and the macvtap keeps the next guest from starting. A macvtap stays where
    a process may hold it, and where another VIF claims that address.
    """
    found = {
        name: link
        for name, link in _macvtaps(device, address, host).items()
        if host.held(name) is False and not link.marks
    }
    if found and _other_user(device, address, vif_id, host):
        return ()
    return tuple(
        RemoveLeaked(device=name, lower=device, address=link.address or "")
        for name, link in found.items()
    )


def _other_user(device: str, address: str, vif_id: str, host: Host) -> str | None:
    """Return another VIF that claims a device for this guest's address."""
    digits = address.replace(":", "")
    users = (c.vif_id for c in host.claims(device) if _address_in(c) == digits)
    return next((user for user in users if user != vif_id), None)
