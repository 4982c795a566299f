# SPDX-License-Identifier: Apache-2.0
"""In which order a plan's changes are made: the kernel's, and those of a switch's database. Pure.

A switch goes over all its ports for a new device, and again for a transaction. Where it hears of
the transaction first, and finds the device when it gets there, once is enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vifplug.operations.links import MakeLink, SetLink, SetLinks
from vifplug.operations.operation import Operation

_LAST = ("up", "master")
"""The attributes that come after all others of their devices, and so can come together."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """A plan's changes: the kernel's ``before`` the transaction, what is ``inside``, and the rest.

    That is made ``meanwhile``, as soon as the database has been asked.
    """

    before: tuple[Operation, ...] = ()
    inside: tuple[Operation, ...] = ()
    meanwhile: tuple[Operation, ...] = ()


def in_order(operations: Sequence[Operation], *, racing: bool) -> Order:
    """Return the order of a plan's changes: devices before the transaction that names them.

    ``racing``: these come meanwhile as well, and first, since the switch will look for them once
    the database has told it.
    """
    inside = tuple(one for one in operations if one.in_database)
    kernel = [one for one in operations if not one.in_database]
    if not inside:
        return Order(before=tuple(kernel))
    named = {one.device for one in inside}
    made = tuple(
        one for one in kernel if isinstance(one, MakeLink) and named & {one.device, one.peer}
    )
    rest = [one for one in kernel if one not in made]
    # The switch looks at devices whenever one changes, under a lock that a change has to wait for.
    last = [one for one in rest if isinstance(one, SetLink) and one.attribute in _LAST]
    rest = [*(one for one in rest if one not in last), *SetLinks.of(last)]
    if racing:
        return Order(inside=inside, meanwhile=(*made, *rest))
    return Order(before=made, inside=inside, meanwhile=tuple(rest))
