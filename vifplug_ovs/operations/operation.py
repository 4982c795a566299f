# SPDX-License-Identifier: Apache-2.0
"""What every change of Open vSwitch's database is."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from vifplug.model.link import Link
from vifplug.operations.operation import Operation
from vifplug_ovs.ovsdb.requests import Request

Pairs = Mapping[str, str | None]
"""Keys of a map column with their values; None is a key that isn't there."""


def _row() -> str:
    return str(uuid.uuid4())


def new_row() -> Any:
    return field(default_factory=_row, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class OvsOperation(Operation):
    """One change of the database; ``device`` is the port or bridge."""

    in_database: ClassVar[bool] = True

    def on(self, link: Link | None) -> Link | None:
        return link

    def requests(self) -> list[Request]:
        """Return what this comes to in a transaction."""
        raise NotImplementedError
