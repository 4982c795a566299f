# SPDX-License-Identifier: Apache-2.0
"""A virtual function of a network card, set through its physical one, and given back. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from vifplug.errors import Conflict
from vifplug.fields import BOOLEAN, DEVICE, MAC, PCI, Integer, declared
from vifplug.model.host import Host
from vifplug.model.link import Vf
from vifplug.model.mark import Mark, Owner
from vifplug.operations.altnames import AddAltname, RemoveAltname
from vifplug.operations.functions import SetVf, set_vf
from vifplug.operations.operation import Operation
from vifplug.parts.part import Part

ROLE = "vf"
_SAVED = re.compile(r"([0-9]{1,5})\.([0-9a-f]{12})\.([0-9]{1,4})\.([0-7])\.([01-])\.([01-])")
_SAID = {"0": False, "1": True, "-": None}


@dataclass(frozen=True, kw_only=True)
class VirtualFunction(Part):
    """A virtual function with the guest's address, VLAN (0: none), spoof check and trust.

    What is None stays as it is. The VIF's claim on the physical function's device notes what the
    function had before: its own device may be gone by the time of the unplug.
    """

    kind: ClassVar[str] = "vf"

    pci: str = declared(PCI)
    device: str = declared(DEVICE)
    number: int = declared(Integer(0, 65535))
    address: str = declared(MAC)
    vlan: int = declared(Integer(0, 4094), default=0)
    spoofchk: bool | None = declared(BOOLEAN, default=None)
    trust: bool | None = declared(BOOLEAN, default=None)

    @property
    def title(self) -> str:
        return f"{self.device} VF {self.number}"

    @property
    def detail(self) -> str:
        words = [self.address, f"VLAN {self.vlan or 'none'}"]
        for name, value in (("spoof check", self.spoofchk), ("trust", self.trust)):
            if value is not None:
                words.append(f"{name} {'on' if value else 'off'}")
        return ", ".join(words)

    @property
    def shared(self) -> tuple[str, ...]:
        return (self.device,)

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        link, function = host.link(self.device), host.pci.get(self.pci)
        if link is None or function is None or (function.pf, function.vf) != (
            self.device, self.number
        ):  # fmt: skip
            needed = f"virtual function {self.number} of {self.device}"
            raise Conflict(owner.vif_id, self.pci, "is there no more, or another's", needed)
        now = host.vf(self.device, self.number)
        if now is None:
            needed = "a driver that lets its virtual functions be set"
            raise Conflict(owner.vif_id, self.title, "is not known to the kernel", needed)
        done: list[Operation] = []
        kept = False
        for name, other in host.marked(owner.vif_id).items():
            for mark in (m for m in other.marks if m.vif_id == owner.vif_id and m.role == ROLE):
                if (name, mark.data[:1]) == (self.device, (str(self.number),)):
                    kept = True
                else:
                    done += released(name, mark, host)
                    done.append(RemoveAltname(device=name, altname=str(mark)))
        for mark in link.marks:
            mine = mark.vif_id == owner.vif_id or mark.role != ROLE
            if not mine and mark.data[:1] == (str(self.number),):
                found = f"is used by VIF {mark.vif_id}"
                raise Conflict(owner.vif_id, self.title, found, "a function of its own")
        if not kept:
            saved = owner.claim(ROLE, str(self.number), *_noted(now))
            done.append(AddAltname(device=self.device, altname=saved))
        wanted = Vf(
            address=self.address,
            vlan=self.vlan,
            # A switch off that the driver doesn't have is off.
            spoofchk=self.spoofchk if self.spoofchk or now.spoofchk is not None else None,
            trust=self.trust if self.trust or now.trust is not None else None,
        )
        return (*done, *set_vf(self.device, self.number, now, wanted))

    def step(self, operations: tuple[Operation, ...], host: Host) -> tuple[str, str]:
        if not operations:
            return "keep", self.detail
        if any(isinstance(one, AddAltname) for one in operations):
            return "make", self.detail
        return "change", ", ".join(one.words for one in operations if isinstance(one, SetVf))


def _noted(vf: Vf) -> tuple[str, ...]:
    """Return a function's settings as the words of a claim."""
    switches = ("-" if one is None else str(int(one)) for one in (vf.spoofchk, vf.trust))
    return (vf.address.replace(":", ""), str(vf.vlan), str(vf.qos), *switches)


def released(device: str, claim: Mark, host: Host) -> tuple[Operation, ...]:
    """Return what gives a virtual function back what a claim on its physical one notes.

    Nothing for another kind of claim, or for a function that is there no more.
    """
    noted = _SAVED.fullmatch(".".join(claim.data)) if claim.role == ROLE and claim.claim else None
    now = host.vf(device, int(noted[1])) if noted else None
    if noted is None or now is None:
        return ()
    before = Vf(
        address=":".join(re.findall("..", noted[2])),
        vlan=int(noted[3]),
        qos=int(noted[4]),
        spoofchk=_SAID[noted[5]],
        trust=_SAID[noted[6]],
    )
    return set_vf(device, int(noted[1]), now, before)
