# SPDX-License-Identifier: Apache-2.0
"""The order of one VIF's changes: those of the kernel, and those of Open vSwitch's database. Pure.

vswitchd goes over all its ports for a new device, and again for a transaction. If it hears of the
transaction first, and finds the device when it gets there, it goes over them once.
"""

from __future__ import annotations

from collections.abc import Sequence

from vifplug.operations import MakeLink, Operation, SetLink, SetLinks, SwitchOperation
from vifplug.switch import Order, claims_apart
from vifplug_ovs.operations import DeviceOperation

_LAST = ("up", "master")
"""The attributes that come after all others of their devices, and so can come together."""


def in_order(operations: Sequence[Operation], *, racing: bool) -> Order:
    """Return the order of a VIF's changes: devices before the transaction that names them.

    ``racing``: these devices are made while the database works on the transaction. They come
    first then, because vswitchd looks for them as soon as the database has told it.
    """
    inside = tuple(each for each in operations if isinstance(each, SwitchOperation))
    others = (each for each in operations if not isinstance(each, SwitchOperation))
    kernel, claims = claims_apart(others)
    if not inside:
        return Order(before=kernel, after=claims)
    named = {each.device for each in inside if isinstance(each, DeviceOperation)}
    makes: list[Operation] = []
    rest: list[Operation] = []
    last: list[SetLink] = []
    for each in kernel:
        if isinstance(each, MakeLink) and named & {each.device, each.peer}:
            makes.append(each)
        elif isinstance(each, SetLink) and each.attribute in _LAST:
            # Last, because vswitchd looks at devices under a lock for which such a change waits.
            last.append(each)
        else:
            rest.append(each)
    rest += SetLinks.of(last)
    if racing:
        return Order(inside=inside, meanwhile=(*makes, *rest), after=claims)
    return Order(before=tuple(makes), inside=inside, meanwhile=tuple(rest), after=claims)
