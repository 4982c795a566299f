# SPDX-License-Identifier: Apache-2.0
"""VIFs as a person writes them: an id and an address that are left out follow from a name. Pure."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vifplug.errors import NO_VIF, InvalidVIF
from vifplug.fields import LINE, UUID, NotAllowed
from vifplug.model.vif import VIF

NAME = "name"
"""The key that names a VIF in its file. It is no field of a VIF."""

_NAMESPACE = uuid.UUID("6b0c2b7c-3a55-5a0e-9d6b-0f0c8b6f7a52")
_LOCAL = "02"
"""The first octet of an address that we make: unicast, locally administered. libvirt keeps fe."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """One VIF as its file has it.

    ``place`` is where it stands, ``name`` the file's name without its ending and the VIF's own
    name, or else its number in the file.
    """

    data: Any
    place: str
    name: str

    def vif(self) -> VIF:
        """Return the VIF, with an id and an address. Raises InvalidVIF."""
        if not isinstance(self.data, dict):
            return VIF.from_dict(self.data)
        if NAME in self.data:
            self._check_name(self.data[NAME])
        found = {key: value for key, value in self.data.items() if key != NAME}
        made = found.get("id") is None
        if made:
            found["id"] = str(uuid.uuid5(_NAMESPACE, self.name))
        vif_id = found["id"]
        known = isinstance(vif_id, str) and UUID.pattern.fullmatch(vif_id)
        if known and found.get("address") is None:
            found["address"] = address_of(vif_id)
        try:
            return VIF.from_dict(found)
        except InvalidVIF as error:
            # By its place, because its author has never seen an id that is made here.
            vif_id = self.place if made else error.vif_id
            raise InvalidVIF(vif_id, error.field, error.value, error.allowed) from None

    def _check_name(self, name: Any) -> None:
        try:
            LINE.check(name, lenient=False)
        except NotAllowed as error:
            raise InvalidVIF(NO_VIF, NAME, error.value, LINE.allowed) from None


def parts(data: Any, stem: str, where: str) -> Iterator[Written]:
    """Yield the VIFs of one file, ``where``, whose name without its ending is ``stem``.

    A single VIF has the number of the first in a list, so that its file may grow.
    """
    for position, item in enumerate(data if isinstance(data, list) else [data]):
        own = item.get(NAME, position) if isinstance(item, dict) else position
        name = f"{stem}/{own if isinstance(own, str) else position}"
        place = f"{where}[{position}]" if isinstance(data, list) else where
        yield Written(data=item, place=place, name=name)


def address_of(vif_id: str) -> str:
    """Return the MAC address that follows from a VIF's id."""
    octets = uuid.uuid5(_NAMESPACE, f"address of {vif_id.lower()}").bytes[:5]
    return ":".join((_LOCAL, *(f"{octet:02x}" for octet in octets)))
