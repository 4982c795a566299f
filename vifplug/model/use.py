# SPDX-License-Identifier: Apache-2.0
"""Which fields of a VIF its type uses: what a VIF asks for besides is never ignored. Pure."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vifplug.model.mark import derived_name
from vifplug.model.vif import VIF

DESCRIBING = (
    "id",
    "vif_type",
    "address",
    "vnic_type",
    "filtered",
    "network.id",
    "network.label",
    "network.subnets",
    "instance.uuid",
    "instance.name",
)
"""Fields that say whose the VIF is and where, and ask for nothing: no type refuses them."""

_NO_FIELDS = ("network", "qos", "instance", "details", "foreign")
NOTED = ("network.mtu",)
"""Fields that describe the network and that a guest may heed by itself: they are never refused."""

_MEANING: Mapping[str, str] = {
    "network.vlan": "it is the VLAN of the physical network below a bridge or a macvtap, "
    "and not the VLAN of the guest's port",
    "network.interface": "it is the uplink of a bridge, or the device below a macvtap",
}
"""What a field means, for a person who has taken it for another."""


def _always(vif: VIF) -> bool:
    return True


@dataclass(frozen=True)
class Use:
    """A field that VIFs of a type use, by its path, as ``network.vlan``.

    ``when`` tells of which VIFs that is true, and ``where`` says it in words; without, of all.
    """

    path: str
    where: str = ""
    when: Callable[[VIF], bool] = _always


Uses = Sequence["str | Use"]
"""The fields that VIFs of a type, or of a type and vnic_type, use: a path stands for its Use."""


@dataclass(frozen=True)
class PassedOver:
    """A field that a VIF sets and that its type does not use; ``use`` says where it does."""

    path: str
    value: object
    use: Use | None

    def allowed(self, vif: VIF) -> str:
        """Return what the error of a VIF in our own format allows."""
        words = f"only {self.use.where}" if self.use else f"none: {_kind(vif)} does not use it"
        return words + self._meaning

    def note(self, vif: VIF) -> str:
        """Return what a plan notes of another system's VIF."""
        why = f"used only {self.use.where}" if self.use else f"{_kind(vif)} does not use it"
        value = str(self.value).lower() if isinstance(self.value, bool) else self.value
        return f"{self.path} {value} left out: {why}{self._meaning}"

    @property
    def _meaning(self) -> str:
        return f" ({_MEANING[self.path]})" if self.path in _MEANING else ""


def passed_over(vif: VIF, details: object, uses: Uses) -> Iterator[PassedOver]:
    """Yield the fields that a VIF sets and that its type does not use.

    ``details`` are the VIF's as its plugin's own dataclass.
    """
    known = _by_path(tuple(uses))
    for path, value in _asked(vif, details):
        use = known.get(path)
        if use is None or not use.when(vif):
            yield PassedOver(path, value, use)


@functools.cache
def _by_path(uses: tuple[str | Use, ...]) -> Mapping[str, Use]:
    every = (use if isinstance(use, Use) else Use(use) for use in uses)
    return {use.path: use for use in every}


def _kind(vif: VIF) -> str:
    vnic_type = "" if vif.vnic_type == "normal" else f" with vnic_type {vif.vnic_type}"
    return f"vif_type {vif.vif_type}{vnic_type}"


def _asked(vif: VIF, details: object) -> Iterator[tuple[str, object]]:
    """Yield the path and value of each field by which a VIF asks for something."""
    # What a VIF has anyway, it may also say.
    said = {"interface_id": vif.id, "devname": derived_name("tap", vif.id), "queues": 1}
    yield from (one for one in _set(vif, "") if said.get(one[0]) != one[1])
    yield from _set(vif.network, "network.")
    yield from (limit for limit in _set(vif.qos, "qos.") if limit[1])
    yield from _set(details, "details.")


def _set(record: Any, at: str) -> Iterator[tuple[str, object]]:
    """Yield the fields of a record that are not as they are by default."""
    kind: Any = type(record)
    for name, path, default in _fields(kind, at):
        value = getattr(record, name)
        if value != default:
            yield path, value


@functools.cache
def _fields(kind: Any, at: str) -> tuple[tuple[str, str, object], ...]:
    """Return name, path and default of a record's fields that may ask for something."""
    return tuple(
        (field.name, path, _default(field))
        for field in dataclasses.fields(kind)
        if (path := f"{at}{field.name}") not in (*DESCRIBING, *_NO_FIELDS)
    )


def _default(field: dataclasses.Field[Any]) -> object:
    if field.default is not dataclasses.MISSING:
        return field.default
    made = field.default_factory
    return made() if made is not dataclasses.MISSING else None
