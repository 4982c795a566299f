# SPDX-License-Identifier: Apache-2.0
"""How a host reaches one IP address. A plain value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vifplug.model.link import Link


@dataclass(frozen=True, kw_only=True)
class Reached:
    """How a host reaches an IP address: through ``device``.

    ``own``: it is an address of the host's own, or of all hosts there, and no guest's. ``alone``:
    by a route to this address alone.
    """

    device: str
    own: bool = False
    alone: bool = False


def reached(to: str, links: Mapping[str, Link]) -> Reached | None:
    """Return how the host with these devices reaches an address, as far as that matters here."""
    whole = f"{to}/{128 if ':' in to else 32}"
    for name, link in links.items():
        if any(address.partition("/")[0] == to for address in link.addresses):
            return Reached(device=name, own=True)
        if any(route.split(" ", 1)[0] == whole for route in link.routes):
            return Reached(device=name, alone=True)
    return None
