# SPDX-License-Identifier: Apache-2.0
"""The host's end of a virtual function, on a network card whose switch the host runs. Pure.

Its driver has made it, and it stays when the VIF goes. Source: the kernel's
Documentation/networking/switchdev.rst and representors.rst.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from vifplug.errors import Conflict
from vifplug.fields import DEVICE, declared
from vifplug.model.host import Host
from vifplug.model.link import Link
from vifplug.model.mark import Mark, Owner
from vifplug.operations.altnames import AddAltname, RemoveAltname
from vifplug.operations.links import SetLink
from vifplug.operations.operation import Operation
from vifplug.parts.part import Part

ROLE = "representor"
_DOWN = "down"
# vf3, pf0vf3 and c0pf0vf3; older drivers say just 3. Another controller's are not this host's.
_PORT_NAME = re.compile(r"(?:(?:c0)?pf(?P<pf>[0-9]+))?vf(?P<vf>[0-9]+)|(?P<bare>[0-9]+)")


@dataclass(frozen=True, kw_only=True)
class Representor(Part):
    """The representor of a virtual function, which is up, and this VIF's alone.

    The VIF's claim on it notes whether it was down.
    """

    kind: ClassVar[str] = "representor"

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

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        link = host.link(self.device)
        needed = "the representor of a virtual function"
        if link is None or not _PORT_NAME.fullmatch(link.port_name or ""):
            found = "is no representor" if link else "is not there"
            raise Conflict(owner.vif_id, self.device, found, needed)
        others = {mark.vif_id for mark in link.marks} - {owner.vif_id}
        if others:
            raise Conflict(owner.vif_id, self.device, f"is used by VIF {others.pop()}", needed)
        if link.master and link.master != _OF_OVS:
            raise Conflict(owner.vif_id, self.device, f"is a port of {link.master}", needed)
        claim = owner.claim(ROLE, *(() if link.up else (_DOWN,)))
        done: list[Operation] = []
        for name, other in host.marked(owner.vif_id).items():
            for mark in (m for m in other.marks if m.vif_id == owner.vif_id and m.role == ROLE):
                if name != self.device:
                    done += [*let_down(name, mark, host), _unclaimed(name, mark)]
        if not any(mark.role == ROLE for mark in link.marks):
            done.append(AddAltname(device=self.device, altname=claim))
        if not link.up:
            done.append(SetLink(device=self.device, attribute="up", value=True, before=False))
        return tuple(done)

    def step(self, operations: tuple[Operation, ...], host: Host) -> tuple[str, str]:
        if not operations:
            return "keep", self.detail
        moved = [one.device for one in operations if isinstance(one, RemoveAltname)]
        if moved:
            return "move", f"from {moved[0]}"
        if isinstance(operations[0], AddAltname):
            return "make", self.detail
        return super().step(operations, host)


_OF_OVS = "ovs-system"
"""The kernel's datapath is the master of its ports."""


def _unclaimed(name: str, mark: Mark) -> Operation:
    return RemoveAltname(device=name, altname=str(mark))


def let_down(device: str, claim: Mark, host: Host) -> tuple[Operation, ...]:
    """Return what sets a representor down again that a VIF's claim on it says was down."""
    link = host.link(device)
    if not (claim.claim and claim.role == ROLE and claim.data == (_DOWN,) and link and link.up):
        return ()
    return (SetLink(device=device, attribute="up", value=False, before=True),)


def representor_of(pf: Link, number: int, host: Host) -> str | None:
    """Return the device that represents a physical function's virtual one, by the card's switch."""
    for name, link in host.links.items():
        found = _PORT_NAME.fullmatch(link.port_name or "") if pf.switch_id else None
        if found is None or link.switch_id != pf.switch_id:
            continue
        # A switch may be that of several physical functions, told apart by their own number.
        of_another = found["pf"] and pf.pci and int(found["pf"]) != int(pf.pci[-1])
        if int(found["vf"] or found["bare"]) == number and not of_another:
            return name
    return None
