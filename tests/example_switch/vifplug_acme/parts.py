# SPDX-License-Identifier: Apache-2.0
"""A VIF's port on the switch, and the trunk by which the switch reaches the network. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from vifplug import Conflict, Host
from vifplug.fields import DEVICE, WORD, declared
from vifplug.model.mark import Mark, Owner
from vifplug.operations import AddClaim, Operation, Unit
from vifplug.parts import CORE, HOST_DEVICE, Part, Role
from vifplug_acme.operations import AddPort, RemovePort, SetProxyArp
from vifplug_acme.snapshot import Acme, Row


@dataclass(frozen=True, kw_only=True)
class Port(Part):
    """A device that is a port of the switch, with the VIF's id."""

    kind: ClassVar[str] = "acme-port"
    device: str = declared(DEVICE)
    segment: str = declared(WORD)

    @property
    def title(self) -> str:
        return f"{self.device} -> {self.segment}"

    @property
    def places(self) -> tuple[str, ...]:
        return (self.segment,)

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        wanted = Row(vif_id=owner.vif_id, segment=self.segment, vif_type=owner.vif_type)
        row = (host.switch(Acme) or Acme()).ports.get(self.device)
        if row == wanted:
            return ()
        if row and row.vif_id != owner.vif_id:
            raise Conflict(owner.vif_id, self.device, f"is VIF {row.vif_id}'s port", "a free one")
        gone = (RemovePort(device=self.device, row=row),) if row else ()
        return (*gone, AddPort(device=self.device, row=wanted))


@dataclass(frozen=True, kw_only=True)
class Trunk(Part):
    """The host's device to the network, which answers ARP for the guests.

    A VIF's claim notes whether the device did so before. The last VIF's unplug gives that back.
    """

    kind: ClassVar[str] = "acme-trunk"
    claim_roles: ClassVar[tuple[str, ...]] = ("acme-trunk",)
    device: str = declared(DEVICE)

    @property
    def title(self) -> str:
        return self.device

    @property
    def shared(self) -> tuple[str, ...]:
        return (self.device,)

    def roles(self, owner: Owner, host: Host) -> Mapping[str, Role]:
        return {self.device: HOST_DEVICE}

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        if host.link(self.device) is None:
            raise Conflict(owner.vif_id, self.device, "is not there", "the device of option trunk")
        now, noted = _now(self.device, host), _noted(self.device, host)
        before = next(iter(noted.values()), (str(int(now)),))
        claim = AddClaim(device=self.device, claim=owner.claim("acme-trunk", *before))
        return (*(() if owner.vif_id in noted else (claim,)), *_set(self.device, now, True))

    @classmethod
    def given_back(cls, device: str, claim: Mark, host: Host) -> tuple[Unit, ...]:
        others = _noted(device, host).keys() - {claim.vif_id}
        return () if others else (_set(device, _now(device, host), claim.data == ("1",)),)


def _now(device: str, host: Host) -> bool:
    return (host.switch(Acme) or Acme()).proxy_arp.get(device, False)


def _noted(device: str, host: Host) -> dict[str, tuple[str, ...]]:
    return {claim.vif_id: claim.data for claim in host.claims(device) if claim.role == "acme-trunk"}


def _set(device: str, now: bool, wanted: bool) -> Unit:
    return () if now == wanted else (SetProxyArp(device=device, value=wanted),)


def removal(vif_id: str, acme: Acme | None) -> tuple[RemovePort, ...]:
    """Return what takes a VIF out of the switch, whoever made its ports."""
    rows = ((name, row) for name, row in (acme or Acme()).ports.items() if row.vif_id == vif_id)
    return tuple(RemovePort(device=name, row=row) for name, row in rows)


KINDS = (*CORE, Port, Trunk)
