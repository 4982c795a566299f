# SPDX-License-Identifier: Apache-2.0
"""The host's end of a virtual function, on a network card whose switch the host runs. Pure.

The card's driver makes it, and it stays when the VIF goes. Source: the kernel's
Documentation/networking/switchdev.rst and representors.rst.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from vifplug.errors import Conflict
from vifplug.fields import DEVICE, declared
from vifplug.model.host import Host
from vifplug.model.link import Link
from vifplug.model.mark import Mark, Owner
from vifplug.model.thing import Thing
from vifplug.operations import AddClaim, Operation, RemoveClaim, SetLink, Unit
from vifplug.parts import Part, Role

ROLE = "representor"
_DOWN = "down"
# vf3, pf0vf3 and c0pf0vf3; older drivers say just 3. Another controller's are not this host's.
_PORT_NAME = re.compile(r"(?:(?:c0)?pf(?P<pf>[0-9]+))?vf(?P<vf>[0-9]+)|(?P<bare>[0-9]+)")

_DATAPATH = "ovs-system"
"""The device of the kernel's datapath: it is the master of all ports of Open vSwitch."""


def _is_none(thing: Thing, owner: Owner, host: Host) -> str | None:
    link = host.link(thing.name)
    return None if link and _PORT_NAME.fullmatch(link.port_name or "") else "is no representor"


REPRESENTOR = Role(words="the representor of a virtual function", refusal=_is_none)


def _claimed(owner: Owner, host: Host) -> dict[str, Mark]:
    """Return the representors that a VIF claims, with its claims."""
    return {name: claim for name, claim in host.claims_of(owner.vif_id) if claim.role == ROLE}


def is_claimed(device: str, owner: Owner, host: Host) -> bool:
    """Whether a VIF has this representor."""
    return device in _claimed(owner, host)


@dataclass(frozen=True, kw_only=True)
class Representor(Part):
    """The representor of a virtual function, which is up, and this VIF's alone.

    The VIF's claim on it notes whether the representor was down.
    """

    kind: ClassVar[str] = "representor"
    claim_roles: ClassVar[tuple[str, ...]] = (ROLE,)

    device: str = declared(DEVICE)

    @property
    def title(self) -> str:
        return self.device

    @property
    def detail(self) -> str:
        return "of its virtual function"

    @property
    def shared(self) -> tuple[str, ...]:
        return (self.device,)

    def roles(self, owner: Owner, host: Host) -> Mapping[str, Role]:
        return dict.fromkeys((self.device, *_claimed(owner, host)), REPRESENTOR)

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        link = self._usable(owner, host)
        changes: list[Operation] = []
        claimed = _claimed(owner, host)
        for name, claim in claimed.items():
            if name != self.device:
                changes += [o for unit in self.given_back(name, claim, host) for o in unit]
                changes.append(RemoveClaim(device=name, claim=str(claim)))
        if self.device not in claimed:
            claim_text = owner.claim(ROLE, *(() if link.up else (_DOWN,)))
            changes.append(AddClaim(device=self.device, claim=claim_text))
        if not link.up:
            changes.append(SetLink(device=self.device, attribute="up", value=True, before=False))
        return tuple(changes)

    def _usable(self, owner: Owner, host: Host) -> Link:
        """Return the device where this VIF can have it. Raises Conflict."""
        link = host.link(self.device)
        needed = "the representor of a virtual function"
        if link is None or not _PORT_NAME.fullmatch(link.port_name or ""):
            state = "is no representor" if link else "is not there"
            raise Conflict(owner.vif_id, self.device, state, needed)
        users = link.owners | host.claimants(self.device)
        if others := users - {owner.vif_id}:
            raise Conflict(owner.vif_id, self.device, f"is used by VIF {min(others)}", needed)
        if link.master and link.master != _DATAPATH:
            raise Conflict(owner.vif_id, self.device, f"is a port of {link.master}", needed)
        return link

    def step(self, operations: tuple[Operation, ...], host: Host) -> tuple[str, str]:
        if not operations:
            return "keep", self.detail
        left = [o.device for o in operations if isinstance(o, RemoveClaim)]
        if left:
            return "move", f"from {left[0]}"
        if isinstance(operations[0], AddClaim):
            return "make", self.detail
        return super().step(operations, host)

    @classmethod
    def given_back(cls, device: str, claim: Mark, host: Host) -> tuple[Unit, ...]:
        """Set a representor down again that the claim says was down."""
        link = host.link(device)
        if claim.data != (_DOWN,) or link is None or not link.up:
            return ()
        if not _PORT_NAME.fullmatch(link.port_name or ""):
            return ()
        return ((SetLink(device=device, attribute="up", value=False, before=True),),)


def representor_of(pf: Link, number: int, host: Host) -> str | None:
    """Return the device that represents a physical function's virtual one, by the card's switch."""
    for name, link in host.links.items():
        words = _PORT_NAME.fullmatch(link.port_name or "") if pf.switch_id else None
        if words is None or link.switch_id != pf.switch_id:
            continue
        # A switch may be that of several physical functions: the name says of which.
        of_another = words["pf"] and pf.pci and int(words["pf"]) != int(pf.pci[-1])
        if int(words["vf"] or words["bare"]) == number and not of_another:
            return name
    return None
