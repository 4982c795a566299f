# SPDX-License-Identifier: Apache-2.0
"""What every part is: a wish, and the changes that make it true on a given host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from vifplug import fields
from vifplug.errors import shown
from vifplug.model.host import Host
from vifplug.model.link import Link
from vifplug.model.mark import Owner
from vifplug.operations.altnames import AddAltname
from vifplug.operations.links import MakeLink, SetLink
from vifplug.operations.operation import Operation


@dataclass(frozen=True, kw_only=True)
class Part:
    """One thing that must exist on the host."""

    kind: ClassVar[str]

    @property
    def title(self) -> str:
        """How a plan names the part."""
        raise NotImplementedError

    @property
    def detail(self) -> str:
        """What a plan says of the part when it makes it."""
        return ""

    @property
    def devices(self) -> tuple[str, ...]:
        """The VIF's own devices that this part makes."""
        return ()

    def marks(self, owner: Owner) -> Mapping[str, str]:
        """Return the marks that these devices bear once the VIF's owner has made them."""
        return {}

    @property
    def shared(self) -> tuple[str, ...]:
        """The devices of others that this part uses or makes; locked while it is applied."""
        return ()

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        """Return the changes that make this part true on the host. Raises Conflict."""
        raise NotImplementedError

    def step(self, operations: tuple[Operation, ...], host: Host) -> tuple[str, str]:
        """Return the plan's word for these operations (make, change, move or keep) and a detail."""
        if not operations:
            return "keep", self.detail
        if isinstance(operations[0], MakeLink):
            return "make", self.detail
        return "change", ", ".join(_words(operation) for operation in operations)

    def unsure(self, owner: Owner, host: Host) -> bool:
        """Whether this host, as far as its reader may look, can't tell if something is to be done.

        Then plug asks the privileged side.
        """
        return False

    def to_dict(self) -> dict[str, Any]:
        """Return the part as plain data, with its kind, for the privileged side."""
        return {"kind": self.kind, **fields.dump(self)}


def build(data: Any, kinds: Iterable[type[Part]]) -> Part:
    """Return the part that :meth:`Part.to_dict` wrote, every field checked again.

    Raises ValueError for anything else: the privileged side trusts nobody.
    """
    known: Mapping[str, type[Part]] = {kind.kind: kind for kind in kinds}
    kind = data.get("kind") if isinstance(data, Mapping) else None
    if not isinstance(kind, str) or kind not in known:
        raise ValueError(f"not a part: {shown(data)}; known: {', '.join(known)}")
    rest = {name: value for name, value in data.items() if name != "kind"}

    def refuse(field: str, value: str, allowed: str) -> ValueError:
        return ValueError(f"part {kind}: {field} is {value}; allowed: {allowed}")

    return fields.load(known[kind], rest, refuse)


def _words(operation: Operation) -> str:
    if isinstance(operation, SetLink):
        return operation.words
    return "adopted" if isinstance(operation, AddAltname) else str(operation)


def drift(device: str, link: Link, **wanted: Any) -> list[Operation]:
    """Return what sets the attributes that differ; one that the device doesn't have is left out."""
    return [
        SetLink(device=device, attribute=name, value=value, before=getattr(link, name))
        for name, value in wanted.items()
        if getattr(link, name) is not None and getattr(link, name) != value
    ]


def fresh(device: str, **wanted: Any) -> list[Operation]:
    """Return what sets the attributes of a device that the same plan makes."""
    return [
        SetLink(device=device, attribute=name, value=value, fresh=True)
        for name, value in wanted.items()
    ]
