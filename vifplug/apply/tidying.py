# SPDX-License-Identifier: Apache-2.0
"""Shared devices of ours that no VIF uses, un-made."""

from __future__ import annotations

from vifplug.apply.means import Means
from vifplug.apply.outcome import Applied, Outcome
from vifplug.apply.units import all_or_none
from vifplug.errors import UnplugFailed
from vifplug.plan.unused import all_unused, changed_by, removed_by


def unused_devices(means: Means) -> set[str]:
    """Return the devices that :func:`tidy` may change: these are locked."""
    host = means.look(batch=True)
    return changed_by(all_unused(host, means.kinds), host)


def tidy(vif_id: str, means: Means) -> Outcome:
    """Un-make what plugs have made to share and no VIF uses; go on past errors.

    ``vif_id`` is that of the request. A device that has come into use stays.
    """
    units = all_unused(means.look(batch=True), means.kinds)
    failures = [text for unit in units for text in all_or_none(unit, means, vif_id)]
    left = set(removed_by(all_unused(means.look(batch=True), means.kinds)))
    failures += [f"{name}: still to do" for name in sorted(left) if not failures]
    if failures:
        return UnplugFailed(vif_id, failures)
    performed = [operation for unit in units for operation in unit]
    return Applied.by(performed, changed=bool(performed), devices=())
