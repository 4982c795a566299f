# SPDX-License-Identifier: Apache-2.0
"""A virtual function of a network card, set through its physical one, and given back. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from vifplug.errors import Conflict
from vifplug.fields import BOOLEAN, DEVICE, MAC, PCI, Integer, declared
from vifplug.model.host import Host
from vifplug.model.link import Vf
from vifplug.model.mark import Mark, Owner
from vifplug.model.thing import Thing
from vifplug.operations import AddClaim, Operation, RemoveClaim, SetVf, Unit, set_vf
from vifplug.parts import Part, Role

ROLE = "vf"
"""The role of the claim on the physical function's device."""

_SAVED = re.compile(r"([0-9]{1,5})\.([0-9a-f]{12})\.([0-9]{1,4})\.([0-7])\.([01-])\.([01-])")
_SWITCHES = {"0": False, "1": True, "-": None}


def _no_card(thing: Thing, owner: Owner, host: Host) -> str | None:
    functions = (function.pf for function in host.pci.values())
    return None if thing.name in functions else "is no card with virtual functions"


_CARD = Role(words="the physical function's device", refusal=_no_card)


@dataclass(frozen=True, kw_only=True)
class VirtualFunction(Part):
    """A virtual function with the guest's address, VLAN (0: none), spoof check and trust.

    None leaves a setting alone. The VIF's claim lies on the physical function's device, because the
    virtual function's own device may be gone at the unplug. The claim notes the settings that the
    function had before.
    """

    kind: ClassVar[str] = "vf"
    claim_roles: ClassVar[tuple[str, ...]] = (ROLE,)

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

    def roles(self, owner: Owner, host: Host) -> Mapping[str, Role]:
        claimed = (name for name, claim in host.claims_of(owner.vif_id) if claim.role == ROLE)
        return dict.fromkeys((self.device, *claimed), _CARD)

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        now = self._settings(owner, host)
        given_back: list[Operation] = []
        gone: list[Operation] = []
        claimed = False
        for device, claim in host.claims_of(owner.vif_id):
            if claim.role != ROLE:
                continue
            if device == self.device and self._is_mine(claim):
                claimed = True
                continue
            given_back += [o for unit in self.given_back(device, claim, host) for o in unit]
            gone.append(RemoveClaim(device=device, claim=str(claim)))
        for claim in host.claims(self.device):
            if claim.vif_id != owner.vif_id and claim.role == ROLE and self._is_mine(claim):
                user = f"is used by VIF {claim.vif_id}"
                raise Conflict(owner.vif_id, self.title, user, "a function of its own")
        saved = owner.claim(ROLE, str(self.number), *_saved(now))
        # The new claim comes first, so that an unplug finds the VIF at any time.
        added = () if claimed else (AddClaim(device=self.device, claim=saved),)
        wanted = Vf(
            address=self.address,
            vlan=self.vlan,
            # If the driver lacks the switch, "off" needs no change.
            spoofchk=self.spoofchk if self.spoofchk or now.spoofchk is not None else None,
            trust=self.trust if self.trust or now.trust is not None else None,
        )
        settings = set_vf(self.device, self.number, now, wanted)
        return (*given_back, *added, *gone, *settings)

    def step(self, operations: tuple[Operation, ...], host: Host) -> tuple[str, str]:
        if not operations:
            return "keep", self.detail
        if any(isinstance(operation, AddClaim) for operation in operations):
            return "make", self.detail
        settings = (operation for operation in operations if isinstance(operation, SetVf))
        return "change", ", ".join(setting.words for setting in settings)

    @classmethod
    def given_back(cls, device: str, claim: Mark, host: Host) -> tuple[Unit, ...]:
        """Give a virtual function the settings back that a claim on its physical one notes.

        A function that is gone needs nothing.
        """
        saved = _SAVED.fullmatch(".".join(claim.data)) if claim.role == ROLE else None
        now = host.vf(device, int(saved[1])) if saved else None
        if saved is None or now is None:
            return ()
        before = Vf(
            address=":".join(re.findall("..", saved[2])),
            vlan=int(saved[3]),
            qos=int(saved[4]),
            spoofchk=_SWITCHES[saved[5]],
            trust=_SWITCHES[saved[6]],
        )
        settings = set_vf(device, int(saved[1]), now, before)
        return (settings,) if settings else ()

    def _settings(self, owner: Owner, host: Host) -> Vf:
        """Return the function's settings as they are. Raises Conflict where it can't be set."""
        link, function = host.link(self.device), host.pci.get(self.pci)
        place = (function.pf, function.vf) if function else None
        if link is None or place != (self.device, self.number):
            needed = f"virtual function {self.number} of {self.device}"
            raise Conflict(owner.vif_id, self.pci, "is there no more, or another's", needed)
        now = host.vf(self.device, self.number)
        if now is None:
            needed = "a driver that lets its virtual functions be set"
            raise Conflict(owner.vif_id, self.title, "is not known to the kernel", needed)
        return now

    def _is_mine(self, claim: Mark) -> bool:
        """Whether a claim on the physical function's device is for this virtual function."""
        return claim.data[:1] == (str(self.number),)


def _saved(vf: Vf) -> tuple[str, ...]:
    """Return a function's settings as the words of a claim."""
    switches = ("-" if on is None else str(int(on)) for on in (vf.spoofchk, vf.trust))
    return (vf.address.replace(":", ""), str(vf.vlan), str(vf.qos), *switches)
