# SPDX-License-Identifier: Apache-2.0
"""What plugs have made for VIFs to share, and no VIF uses any more. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from vifplug.model.host import Host
from vifplug.operations.operation import Unit
from vifplug.parts.part import Leaving
from vifplug.plan.derived import Kinds
from vifplug.plan.removal import unused

_NO_VIF = ""


def all_unused(host: Host, kinds: Kinds) -> tuple[Unit, ...]:
    """Return what un-makes the shared devices of ours that no VIF uses, kind by kind.

    An uplink gets its addresses back. A bridge that the host itself uses stays.
    """
    # The mark of an uplink names its bridge.
    ours = [n for n, link in host.links.items() if any(m.of == n for m in link.shared_marks)]
    return tuple(unused(ours, Leaving(vif_id=_NO_VIF), host, kinds))


def removed_by(units: Iterable[Unit]) -> tuple[str, ...]:
    """Return the names of the devices that some units remove."""
    every = (name for unit in units for each in unit for name in each.removed)
    return tuple(dict.fromkeys(every))


def changed_by(units: Iterable[Unit], host: Host) -> set[str]:
    """Return the devices that some units change: these are locked."""
    return {thing.name for unit in units for each in unit for thing in each.things(host)}
