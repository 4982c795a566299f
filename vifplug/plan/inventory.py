# SPDX-License-Identifier: Apache-2.0
"""All that a host carries for VIFs, and which of it no guest and no list wants. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from vifplug.errors import NO_VIF, InvalidVIF, VifplugError
from vifplug.plan.compare import Plan
from vifplug.plan.plugged import Plugged
from vifplug.plan.removal import Removal
from vifplug.result import Result

UNUSED = "unused devices"
"""Stands for a VIF where shared devices of ours go that no VIF uses."""


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """What a host has plugged, and the shared devices of ours that no VIF uses.

    ``failures`` are the switches that can't be read. ``unasked`` says why libvirt tells no guests;
    it is empty where libvirt does. Then ``guests`` is how many it knows.
    """

    vifs: Sequence[Plugged]
    unused: Sequence[str] = ()
    failures: Sequence[VifplugError] = ()
    unasked: str = ""
    guests: int = 0

    @property
    def warnings(self) -> tuple[str, ...]:
        """What it lacks, for people."""
        found = [f"{failure}: what it has is missing here" for failure in self.failures]
        if self.unasked and self.vifs:
            found.append(f"libvirt tells no guests: orphans are not told: {self.unasked}")
        return tuple(found)


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A VIF that the host carries, compared with what carries it.

    ``plan`` is what differs from the VIF as it was plugged; None where no note tells the VIF.
    """

    plugged: Plugged
    plan: Plan | VifplugError | None = None

    @property
    def error(self) -> VifplugError | None:
        """Why the VIF could not be compared."""
        return self.plan if isinstance(self.plan, VifplugError) else None

    @property
    def drift(self) -> tuple[str, ...]:
        """How the host differs, as far as it shows by itself."""
        return self.plugged.drift

    def __bool__(self) -> bool:
        """Whether the VIF is not as it was plugged."""
        return bool(self.drift) or (isinstance(self.plan, Plan) and bool(self.plan))


@dataclass(frozen=True, kw_only=True)
class Collected:
    """A VIF that no list or guest has, or unused devices; what is removed, and what came of it.

    ``outcome`` is None where nothing was done, as in a dry run. ``removal`` is an error where
    nothing could be planned: then that is the outcome as well.
    """

    removal: Removal | VifplugError
    plugged: Plugged | None = None
    outcome: Result | VifplugError | None = None

    @property
    def id(self) -> str | None:
        """The VIF's id; None for unused devices."""
        return self.plugged.id if self.plugged else None

    @property
    def error(self) -> VifplugError | None:
        """Why it stays."""
        found = (self.removal, self.outcome)
        return next((each for each in found if isinstance(each, VifplugError)), None)


def unwanted(
    vifs: Iterable[Plugged], keep: Collection[str] | None, *, everything: bool = False
) -> list[Plugged]:
    """Return the VIFs that are not kept: by a list of ids, or with None by libvirt's guests.

    A list without any VIF of this host is an empty list, or another host's. It raises InvalidVIF,
    unless ``everything`` may go.
    """
    found = [*vifs]
    if keep is None:
        return [vif for vif in found if vif.wanted is False]
    going = [vif for vif in found if vif.id not in keep]
    strange = bool(going) and len(going) == len(found)
    if (strange or not keep) and not everything:
        value = f"a list of {len(keep)} VIFs, none of them here" if keep else "empty"
        allowed = f"VIFs of this host; or --all, which removes every VIF here ({len(found)})"
        raise InvalidVIF(NO_VIF, "keep", value, allowed)
    return going
