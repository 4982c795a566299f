# SPDX-License-Identifier: Apache-2.0
"""What lldpad says of the switches that this host's devices are wired to: plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from vifplug import fields
from vifplug.fields import BOOLEAN, Record, Refuse, Table, declared
from vifplug.switch import Snapshot


@dataclass(frozen=True, kw_only=True)
class Edge:
    """What lldpad says of the switch that a device is wired to (IEEE 802.1Qbg).

    ``evb``: True where the switch bridges virtual stations, with reflective relay. None: unknown,
    because we may not ask lldpad. ``why`` gives the reason; for False, what is missing.
    """

    evb: bool | None = declared(BOOLEAN, default=None)
    why: str = declared(fields.LINE, default="lldpad was not asked")


@dataclass(frozen=True, kw_only=True)
class Lldpad(Snapshot):
    """What lldpad says, as an :class:`Edge` per device."""

    key: ClassVar[str] = "edges"

    edges: Mapping[str, Edge] = declared(Table(Record(Edge)), default_factory=dict)
    error: str | None = None
    absent: bool = False

    @classmethod
    def from_dict(cls, data: Any, refuse: Refuse) -> Self:
        """Return the snapshot of a host.json, whose key "edges" holds the edges themselves."""
        return fields.load(cls, {"edges": data}, refuse)
