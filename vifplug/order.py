# SPDX-License-Identifier: Apache-2.0
"""In which order a plan's changes are made: the kernel's, and those of a switch's database. Pure.

A switch goes over all its ports for a new device, and again for a transaction. Where it hears of
the transaction first, and finds the device when it gets there, once is enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vifplug.operations import MakeLink, Operation


@dataclass(frozen=True, kw_only=True)
class Order:
    """A plan's changes: the kernel's ``before`` the transaction, what is ``inside``, what is after.

    With ``after``, the switch may look for a device before it is made.
    """

    before: tuple[Operation, ...] = ()
    inside: tuple[Operation, ...] = ()
    after: tuple[Operation, ...] = ()


def in_order(operations: Sequence[Operation], *, rows_first: bool) -> Order:
    """Return the order of a plan's changes: devices before the transaction that names them.

    ``rows_first``: after it, where they are made for it.
    """
    inside = tuple(one for one in operations if one.in_database)
    kernel = tuple(one for one in operations if not one.in_database)
    named = {one.device for one in inside}
    made = tuple(
        one for one in kernel if isinstance(one, MakeLink) and named & {one.device, one.peer}
    )
    if not rows_first or not made:
        return Order(before=kernel, inside=inside)
    # The switch is on its way to them: the rest of the VIF's devices can wait.
    return Order(inside=inside, after=(*made, *(one for one in kernel if one not in made)))
