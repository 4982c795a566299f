# SPDX-License-Identifier: Apache-2.0
"""What lldpad knows of the switch at a device's other end: a plain value."""

from __future__ import annotations

from dataclasses import dataclass

from vifplug import fields
from vifplug.fields import BOOLEAN, declared


@dataclass(frozen=True, kw_only=True)
class Edge:
    """What lldpad says of the switch that a device is wired to (IEEE 802.1Qbg).

    ``evb``: it bridges virtual stations, with reflective relay. None: nobody here may ask, and
    ``why`` says so, or what is missing.
    """

    evb: bool | None = declared(BOOLEAN, default=None)
    why: str = declared(fields.LINE, default="nobody has asked lldpad")
