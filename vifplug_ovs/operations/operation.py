# SPDX-License-Identifier: Apache-2.0
"""What every change of Open vSwitch's database is. Pure."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vifplug.operations import SwitchOperation
from vifplug_ovs.ovsdb.requests import Request

Pairs = Mapping[str, str | None]
"""Keys of a map column with their values; None is a key that isn't there."""


def _row() -> str:
    return str(uuid.uuid4())


def new_row() -> Any:
    """Return the default of a field that holds a new row's UUID."""
    return field(default_factory=_row, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class OvsOperation(SwitchOperation):
    """One change of the database."""

    def requests(self) -> list[Request]:
        """Return the requests that this comes to in a transaction."""
        raise NotImplementedError

    def is_done(self, refused: int) -> bool:
        """Whether nothing is to be done where the server refuses the request at an index."""
        return False


@dataclass(frozen=True, kw_only=True)
class DeviceOperation(OvsOperation):
    """One change of a port or bridge; ``device`` is its name, which the kernel's device has too."""

    device: str
