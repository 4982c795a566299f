# SPDX-License-Identifier: Apache-2.0
"""The shared devices that a VIF has left behind in a move: those that no VIF uses are un-made."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from vifplug.apply.means import Means
from vifplug.apply.outcome import Applied, Outcome, words
from vifplug.apply.plugging import CLEARING, Plugging
from vifplug.apply.units import all_or_none
from vifplug.errors import PlugFailed
from vifplug.operations.operation import Operation, Unit
from vifplug.parts.part import Leaving
from vifplug.plan.derived import with_core
from vifplug.plan.removal import unused, used


def unmake_unused(
    vifs: Sequence[Plugging], outcomes: Sequence[Outcome], left: Collection[str], means: Means
) -> list[Outcome]:
    """Un-make what the moved ones of some VIFs have ``left`` and no VIF uses; return what became.

    A VIF of which such a device stays has failed to move, though it is in its new place.
    """
    return [
        _cleared(vif, outcome, left, means)
        if vif.wanted.move and isinstance(outcome, Applied) and outcome.changed
        else outcome
        for vif, outcome in zip(vifs, outcomes, strict=True)
    ]


def _cleared(vif: Plugging, outcome: Applied, left: Collection[str], means: Means) -> Outcome:
    failures: list[str] = []
    done: list[Operation] = []
    try:
        for unit in _units(vif.vif_id, left, means):
            failures += all_or_none(unit, means, vif.vif_id)
            done += unit
        failures += [f"{o}: still to do" for u in _units(vif.vif_id, left, means) for o in u]
    except Exception as error:
        failures.append(words(error))
    if failures:
        reason = "the VIF is moved, but a device of its old place, which no VIF uses, is left"
        return PlugFailed(vif.vif_id, CLEARING, reason, failures)
    removed = [name for each in done for name in each.removed]
    return replace(outcome, removed=tuple(dict.fromkeys([*outcome.removed, *removed])))


def _units(vif_id: str, left: Collection[str], means: Means) -> list[Unit]:
    host = means.look(batch=False)
    old = set(left) - set(used(vif_id, host, means.kinds))
    # The old place may be another plugin's: its Linux bridge is a part of the core.
    return unused(sorted(old), Leaving(vif_id=vif_id), host, with_core(means.kinds))
