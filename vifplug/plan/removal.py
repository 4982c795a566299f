# SPDX-License-Identifier: Apache-2.0
"""What an unplug removes: a VIF's marked devices, its claims, devices named after it. Pure."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from vifplug.errors import PLUGIN_ERRORS
from vifplug.model.host import Host
from vifplug.model.link import Link
from vifplug.model.mark import Mark, Owner
from vifplug.operations.altnames import RemoveAltname
from vifplug.operations.claims import AddClaim, RemoveClaim
from vifplug.operations.links import RemoveLink
from vifplug.operations.operation import Operation, Unit
from vifplug.parts.part import Leaving, Part
from vifplug.plan.derived import Kinds, named_after, with_core

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Removal:
    """What an unplug of a VIF would do. False in a condition where the host has nothing of it."""

    vif_id: str
    vif_type: str
    operations: tuple[Operation, ...]

    def __bool__(self) -> bool:
        return bool(self.operations)

    @property
    def removed(self) -> tuple[str, ...]:
        """The names of the devices, bridges and ports that would go."""
        return tuple(dict.fromkeys(name for each in self.operations for name in each.removed))

    def __str__(self) -> str:
        """Return the plan as text, one line for each change."""
        title = "  ".join(word for word in (self.vif_id, self.vif_type) if word)
        if not self.operations:
            return f"{title}  nothing to remove"
        return "\n".join((title, *(f"  {operation}" for operation in self.operations)))


def removal(vif_id: str, host: Host, kinds: Kinds, *, remove_unused: bool) -> tuple[Unit, ...]:
    """Return what unplugs a VIF, as far as these kinds of part know how.

    A claim of another kind stays: only its own plugin can give back what it notes. A shared device
    that we made goes with its last user only when ``remove_unused`` says so. The VIF's claims go
    last, so that an unplug that failed or was killed can be repeated.
    """
    marked, unmarked = host.marked(vif_id), named_after(vif_id, host, kinds)
    own: list[Unit] = []
    for name, link in marked.items():
        mark = next(mark for mark in link.marks if mark.vif_id == vif_id)
        own.append((RemoveLink(device=name, mark=str(mark)),))
    own += [(RemoveLink(device=name, kind=link.kind),) for name, link in unmarked.items()]
    units: list[Unit] = []
    claims: list[Unit] = []
    for device, claim in host.claims_of(vif_id):
        if kind := kind_of(claim, kinds):
            units += kind.given_back(device, claim, host)
            claims.append((RemoveClaim(device=device, claim=str(claim)),))
    if remove_unused:
        for unit in _unused(vif_id, host, kinds, marked | unmarked):
            claimed = (each for each in unit if isinstance(each, AddClaim))
            claims += [(RemoveClaim(device=each.device, claim=each.claim),) for each in claimed]
            units.append(unit)
    return tuple(unit for unit in (*units, *own, *claims) if unit)


def _unused(vif_id: str, host: Host, kinds: Kinds, own: dict[str, Link]) -> list[Unit]:
    """Return what un-makes the shared devices that only this VIF uses, kind by kind."""
    marks = [m for link in own.values() for m in link.marks if m.vif_id == vif_id]
    marks += [claim for _, claim in host.claims_of(vif_id)]
    owner = marks and Owner(vif_id=vif_id, vif_type=marks[0].vif_type, process=marks[0].process)
    leaving = Leaving(vif_id=vif_id, owner=owner or None, own=frozenset(own))
    return unused(used(vif_id, host, kinds), leaving, host, kinds)


def unused(names: Iterable[str], leaving: Leaving, host: Host, kinds: Kinds) -> list[Unit]:
    """Return what un-makes those of some shared devices that no other VIF uses, kind by kind."""
    shared = tuple(names)
    units: list[Unit] = []
    for kind in kinds:
        for name in shared:
            for unit in kind.unused(name, host, leaving):
                units.append(unit)
                leaving.going |= {e.device for e in unit if isinstance(e, RemoveLink)}
    return units


def lost_marks(host: Host, kinds: Kinds) -> list[RemoveAltname]:
    """Return what removes marks that lead nowhere, whichever VIF left them."""
    found: list[RemoveAltname] = []
    for kind in kinds:
        try:
            found += kind.lost_marks(host)
        except PLUGIN_ERRORS as error:
            # Of no VIF, so that it fails none.
            LOG.warning("%s.%s.lost_marks: %s: %s", kind.__module__, kind.__name__,
                        type(error).__name__, error)  # fmt: skip
    return found


def used(vif_id: str, host: Host, kinds: Kinds) -> tuple[str, ...]:
    """Return the shared devices that a VIF uses: it claims them, or its devices are their ports."""
    own = host.marked(vif_id) | named_after(vif_id, host, with_core(kinds))
    shared = {device for device, _ in host.claims_of(vif_id)}
    shared |= {link.master for link in own.values() if link.master}
    return tuple(sorted(shared - set(own)))


def kind_of(claim: Mark, kinds: Kinds) -> type[Part] | None:
    """Return the kind of part that gives back what a claim notes; None where these kinds can't."""
    return next((kind for kind in kinds if claim.role in kind.claim_roles), None)
