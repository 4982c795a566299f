# SPDX-License-Identifier: Apache-2.0
"""Operations that are done together: all of them, or nothing."""

from __future__ import annotations

import time

from vifplug.apply.means import Means
from vifplug.apply.outcome import undo, words
from vifplug.operations.operation import Operation, Unit


def require_time(means: Means) -> None:
    """Raise TimeoutError where the deadline has passed."""
    if time.monotonic() > means.deadline:
        raise TimeoutError("the deadline passed")


def all_or_none(unit: Unit, means: Means, vif_id: str) -> list[str]:
    """Do all of a unit or nothing; return what failed, and what could not be undone."""
    performed: list[Operation] = []
    for operation in unit:
        try:
            require_time(means)
            performed.append(operation)
            means.perform(operation, vif_id=vif_id)
        except Exception as error:
            return [f"{operation}: {words(error)}", *undo(performed, means.take_back)]
    return []
