# SPDX-License-Identifier: Apache-2.0
"""What a caller asks of a privileged daemon, and what it answers: one definition for both ends.

msgpack carries plain types only, so a request and a reply travel as dicts. The daemon checks each
field again: it trusts no caller.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import msgpack

from vifplug import fields
from vifplug.errors import NO_VIF, PlugFailed, VifplugError
from vifplug.fields import (
    BOOLEAN,
    DEVICE,
    LINE,
    UUID,
    WORD,
    Integer,
    Kind,
    Many,
    NotAllowed,
    Number,
    Table,
    Text,
    declared,
)
from vifplug.model.mark import Owner
from vifplug.wiring import PROCESS

MOST_VIFS = 4096
"""VIFs of a request. A caller with more of them sends several."""

LARGEST = 4 << 20
"""Bytes of a request as it is sent: some thousand VIFs. It takes a multiple when unpacked."""

_AROUND = 1 << 16
"""Bytes that are left for what is sent around the VIFs."""

MOST_PARTS = 64
"""Parts of a VIF, and so its claims. Those that come with vifplug need a dozen at most."""

_MOST_NAMES = 1024
_ALTNAME = Text(r"[^\s\x00-\x1f\x7f-\x9f]{1,127}", "a device's name of 1 to 127 characters")
_WORDS = Text(r"(?s).{0,4096}", "text")
_NOTE = Text(r"\{[\x20-\x7e]{0,4094}\}", "a VIF as JSON, of at most 4096 characters")


@dataclass(frozen=True, kw_only=True)
class PlugVIF:
    """One VIF to plug.

    ``parts`` are plain data: the daemon builds them with the kinds that its plugin allows.
    ``elsewhere`` are names of devices by which the VIF may be found where another vif_type left
    it: they are looked at, never changed. ``move``: bring it over from there. ``guest`` is for the
    log. ``note`` tells the VIF as it was asked for, to who lists it later.
    """

    vif_id: str = declared(UUID)
    vif_type: str = declared(WORD)
    process: str = declared(PROCESS, default="")
    parts: tuple[dict[str, Any], ...] = declared(Many(Table(most=MOST_PARTS), most=MOST_PARTS))
    interface_id: str | None = declared(UUID, default=None)
    elsewhere: tuple[str, ...] = declared(Many(_ALTNAME, most=_MOST_NAMES), default=())
    guest: str | None = declared(LINE, default=None)
    move: bool = declared(BOOLEAN, default=False)
    note: str | None = declared(_NOTE, default=None)

    @property
    def owner(self) -> Owner:
        """The VIF as the owner of its parts."""
        return Owner(vif_id=self.vif_id, vif_type=self.vif_type, process=self.process)


@dataclass(frozen=True, kw_only=True)
class UnplugVIF:
    """One VIF to unplug; ``interface_id`` where the caller knows it; ``guest`` is for the log.

    ``force``: unplug it although a guest holds it. ``unused``: remove also the shared devices of
    ours that no VIF uses.
    """

    vif_id: str = declared(UUID)
    interface_id: str | None = declared(UUID, default=None)
    guest: str | None = declared(LINE, default=None)
    force: bool = declared(BOOLEAN, default=False)
    unused: bool = declared(BOOLEAN, default=False)


V = TypeVar("V", bound=PlugVIF | UnplugVIF)


def pieces(vifs: Sequence[V]) -> Iterator[Sequence[V]]:
    """Yield VIFs a request at a time: as many as a daemon takes at once, and each id once."""
    piece: list[V] = []
    ids: set[str] = set()
    size = 0
    for vif in vifs:
        packed = len(msgpack.packb(fields.dump(vif))) if len(vifs) > 1 else 0
        full = len(piece) == MOST_VIFS or size + packed > LARGEST - _AROUND
        if piece and (full or vif.vif_id in ids):
            yield piece
            piece, ids, size = [], set(), 0
        piece.append(vif)
        ids.add(vif.vif_id)
        size += packed
    yield piece


@dataclass(frozen=True, kw_only=True)
class Request:
    """A call: the caller's network namespace, its deadline (CLOCK_MONOTONIC), and its VIFs.

    Each VIF is plain data until it is read by itself: a malformed VIF fails alone.
    """

    namespace: int = declared(Integer(0, (1 << 64) - 1))
    deadline: float = declared(Number())
    vifs: Sequence[Any] = declared(Many(Kind(), most=MOST_VIFS))

    @classmethod
    def of(cls, namespace: int, deadline: float, vifs: Sequence[PlugVIF | UnplugVIF]) -> Request:
        """Return the request for some VIFs."""
        return cls(namespace=namespace, deadline=deadline, vifs=[fields.dump(v) for v in vifs])

    def to_dict(self) -> dict[str, Any]:
        """Return the request as plain data."""
        return {
            "namespace": self.namespace,
            "deadline": self.deadline,
            "vifs": list(self.vifs),
        }

    @classmethod
    def from_dict(cls, data: Any) -> Request:
        """Return the request that plain data is. Raises ValueError for anything else."""
        return fields.load(cls, data, _refuse)

    def plug(self, position: int) -> PlugVIF:
        """Return the VIF at a position, which is to be plugged. Raises ValueError."""
        return fields.load(PlugVIF, self.vifs[position], _refuse)

    def unplug(self, position: int) -> UnplugVIF:
        """Return the VIF at a position, which is to be unplugged. Raises ValueError."""
        return fields.load(UnplugVIF, self.vifs[position], _refuse)

    def vif_id(self, position: int) -> str:
        """Return the id that the VIF at a position says it has; that of no VIF for any other."""
        vif = self.vifs[position]
        try:
            return UUID.check(vif.get("vif_id"), lenient=False)
        except (AttributeError, NotAllowed):
            return NO_VIF


def _refuse(field: str, value: str, allowed: str) -> ValueError:
    return ValueError(f"{field} is {value}; allowed: {allowed}")


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What became of one VIF: whether the host changed, and its own devices; or the error.

    ``made`` and ``removed`` are names of devices, bridges and ports.
    ``dropping`` are firewall chains that drop what crosses the VIF's bridge.
    """

    changed: bool = declared(BOOLEAN, default=False)
    devices: tuple[str, ...] = declared(Many(DEVICE), default=())
    made: tuple[str, ...] = declared(Many(_WORDS), default=())
    removed: tuple[str, ...] = declared(Many(_WORDS), default=())
    dropping: tuple[str, ...] = declared(Many(_WORDS), default=())
    error: VifplugError | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the reply as plain data."""
        if self.error is not None:
            return {"error": self.error.to_dict()}
        return {"changed": self.changed, "devices": list(self.devices),
                "made": list(self.made), "removed": list(self.removed),
                "dropping": list(self.dropping)}  # fmt: skip

    @classmethod
    def from_dict(cls, data: Any) -> Reply:
        """Return the reply that plain data is; what is none becomes an error."""
        try:
            if error := data.get("error"):
                return cls(error=VifplugError.from_dict(error))
            return fields.load(cls, data, _refuse)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            strange = PlugFailed(NO_VIF, "reading the daemon's reply", str(error))
            return cls(error=strange)

    def about(self, vif_id: str) -> Reply:
        """Return the reply with an error that names this VIF."""
        return self if self.error is None else replace(self, error=self.error.about(vif_id))
