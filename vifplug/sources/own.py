# SPDX-License-Identifier: Apache-2.0
"""What another system's model has no field for: it travels as fields of our own beside the rest.

An object ``vifplug`` with fields of the VIF (docs/vif.md): in binding:profile, which Neutron hands
to Nova as it is, or beside an os-vif object. They go before what the model says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vifplug.model.vif import VIF
from vifplug.sources.given import Given

OWN = "vifplug"


def vif_of(fields: Mapping[str, Any], own: Given) -> VIF:
    """Return the VIF of some fields and of those that stand beside. Raises InvalidVIF."""
    beside = {name: value for name, value in own.data.items() if name != "id"}
    return VIF.from_dict(_merged(fields, beside), lenient=True)


def beside(vif: VIF, found: VIF) -> dict[str, Any]:
    """Return the fields that make the VIF of one that was found; None takes a field away."""
    return _difference(vif.to_dict(), found.to_dict())


def _merged(fields: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(fields)
    for name, value in more.items():
        old = merged.get(name)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[name] = _merged(old, value) if both else value  # type: ignore[arg-type]
    return merged


def _difference(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    more: dict[str, Any] = {}
    for name in (*wanted, *(name for name in found if name not in wanted)):
        new, old = wanted.get(name), found.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping | None):
            below = _difference(new or {}, old)
            more |= {name: below} if below else {}
        elif new != old:
            more[name] = new
    return more
