# SPDX-License-Identifier: Apache-2.0
"""What every part is: a wish, and the changes that make it true on a given host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from vifplug import fields
from vifplug.errors import shown
from vifplug.model.host import Host
from vifplug.model.link import Link
from vifplug.model.mark import Mark, Owner
from vifplug.operations.altnames import AddAltname, RemoveAltname
from vifplug.operations.links import MakeLink, SetLink
from vifplug.operations.operation import Operation, Unit
from vifplug.parts.roles import Role

LEAST_IPV6_MTU = 1280
"""A device with a smaller MTU has no IPv6."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One thing that must exist on the host, and how it is un-made.

    ``kind``            its name in a plan and in a request
    ``own_roles``       the roles of the marks on the VIF's own devices that may have any name
    ``claim_roles``     the roles of the claims that it leaves on shared devices
    ``joining_roles``   those of them by which the VIF joins that device, as a bridge
    ``derived``         the prefixes by which a device of this kind may be named after the VIF's id,
                        and the kernel's kind of that device: Nova, os-vif and libvirt use them too
    ``crosses_bridge``  the VIF's packets cross a Linux bridge here, where a firewall may see them
    """

    kind: ClassVar[str]
    own_roles: ClassVar[tuple[str, ...]] = ()
    claim_roles: ClassVar[tuple[str, ...]] = ()
    joining_roles: ClassVar[tuple[str, ...]] = ()
    derived: ClassVar[Mapping[str, str]] = {}
    crosses_bridge: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """How a plan names the part."""
        raise NotImplementedError

    @property
    def detail(self) -> str:
        """What a plan says of the part when it makes it."""
        return ""

    @property
    def devices(self) -> tuple[str, ...]:
        """The VIF's own devices that this part makes."""
        return ()

    def marks(self, owner: Owner) -> Mapping[str, str]:
        """Return the marks that these devices bear once the VIF's owner has made them."""
        return {}

    @property
    def shared(self) -> tuple[str, ...]:
        """The devices of others that this part uses, first the one that it makes or changes.

        They are locked while it is applied.
        """
        return ()

    @property
    def needs_user(self) -> tuple[str, ...]:
        """The shared devices that only stay while a VIF claims or joins them."""
        return self.shared[:1]

    @property
    def uses(self) -> tuple[str, ...]:
        """The shared devices that the VIF claims or joins by this part, whatever the host has."""
        return self.shared if self.claim_roles else self.places

    @property
    def places(self) -> tuple[str, ...]:
        """The bridges, or other devices of the host, that the VIF itself joins by this part."""
        return ()

    @property
    def roles_claimed(self) -> tuple[str, ...]:
        """Those of ``claim_roles`` that this very part has the VIF's claims of."""
        return self.claim_roles

    @property
    def ports(self) -> tuple[str, ...]:
        """The VIF's own devices that this part makes ports of a bridge."""
        return ()

    def roles(self, owner: Owner, host: Host) -> Mapping[str, Role]:
        """Return by name the things of others that the part may change, and as what each.

        Without a role, a part may only change what is its VIF's own: see ``vifplug.plan.rights``.
        """
        return {}

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        """Return the changes that make this part true on the host. Raises Conflict."""
        raise NotImplementedError

    def step(self, operations: tuple[Operation, ...], host: Host) -> tuple[str, str]:
        """Return the plan's word for these operations (make, change, move or keep) and a detail."""
        if not operations:
            return "keep", self.detail
        if isinstance(operations[0], MakeLink):
            return "make", self.detail
        return "change", ", ".join(_words(operation) for operation in operations)

    def stale(self, owner: Owner, host: Host) -> tuple[str, ...]:
        """Return what differs of this part under a guest that runs, and only its restart mends."""
        return ()

    def unsure(self, owner: Owner, host: Host) -> bool:
        """Whether this host, as far as its reader may look, can't tell if something is to be done.

        Then plug asks the privileged side.
        """
        return False

    @classmethod
    def given_back(cls, device: str, claim: Mark, host: Host) -> tuple[Unit, ...]:
        """Return what an unplug gives back for a claim of this kind on a device.

        The claim itself goes later, once a look has shown that this was done.
        """
        return ()

    @classmethod
    def unused(cls, device: str, host: Host, leaving: Leaving) -> tuple[Unit, ...]:
        """Return what un-makes a shared device of this kind that no other VIF uses.

        ``leaving`` is the VIF that is being unplugged.
        """
        return ()

    @classmethod
    def lost_marks(cls, host: Host) -> tuple[RemoveAltname, ...]:
        """Return what removes marks of this kind that lead nowhere, whichever VIF left them."""
        return ()

    @classmethod
    def stacked(cls, device: str, claim: Mark, host: Host) -> Mapping[str, Link]:
        """Return by name the devices that libvirt made for a VIF on a device that it claims."""
        return {}

    def to_dict(self) -> dict[str, Any]:
        """Return the part as plain data, with its kind, for the privileged side."""
        return {"kind": self.kind, **fields.dump(self)}


@dataclass(kw_only=True)
class Leaving:
    """A VIF that is being unplugged: its own devices, and the shared ones that go with it.

    ``owner`` is None where no mark tells the VIF's type.
    """

    vif_id: str
    owner: Owner | None = None
    own: frozenset[str] = frozenset()
    going: set[str] = field(default_factory=set)

    def uses_alone(self, device: str, host: Host) -> bool:
        """Whether no other VIF claims a device."""
        return host.claimants(device) <= {self.vif_id}


def build(data: Any, kinds: Iterable[type[Part]]) -> Part:
    """Return the part that :meth:`Part.to_dict` wrote, every field checked again.

    Raises ValueError for anything else: the privileged side trusts nobody.
    """
    known: Mapping[str, type[Part]] = {kind.kind: kind for kind in kinds}
    kind = data.get("kind") if isinstance(data, Mapping) else None
    if not isinstance(kind, str) or kind not in known:
        raise ValueError(f"not a part: {shown(data)}; known: {', '.join(known)}")
    rest = {name: value for name, value in data.items() if name != "kind"}

    def refuse(field: str, value: str, allowed: str) -> ValueError:
        return ValueError(f"part {kind}: {field} is {value}; allowed: {allowed}")

    return fields.load(known[kind], rest, refuse)


def _words(operation: Operation) -> str:
    if isinstance(operation, SetLink):
        return operation.words
    return "adopted" if isinstance(operation, AddAltname) else str(operation)


def drift(device: str, link: Link, **wanted: Any) -> list[Operation]:
    """Return what sets the attributes that differ; one that the device doesn't have is left out."""
    found: list[Operation] = [
        SetLink(device=device, attribute=name, value=value, before=getattr(link, name))
        for name, value in wanted.items()
        if getattr(link, name) is not None and getattr(link, name) != value
    ]
    if "ipv6" in wanted and link.mtu < LEAST_IPV6_MTU <= wanted.get("mtu", link.mtu):
        # Last, because the device has IPv6 from that MTU on, as the kernel has it by default.
        found += fresh(device, ipv6=wanted["ipv6"])
    return found


def fresh(device: str, **wanted: Any) -> list[Operation]:
    """Return what sets the attributes of a device that the same plan makes."""
    return [
        SetLink(device=device, attribute=name, value=value, fresh=True)
        for name, value in wanted.items()
    ]
