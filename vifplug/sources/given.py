# SPDX-License-Identifier: Apache-2.0
"""An object of another system's model: values are taken out by name, each checked, few needed.

What is absent, null or empty text is nothing: models of several releases are read, and each of
them kept other fields.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from vifplug.errors import NO_VIF, InvalidVIF, shown
from vifplug.fields import LINE, UNPRINTABLE, Boolean, Integer, Kind, NotAllowed

_NOTHING = (None, "")


class Number(Integer):
    """A whole number, also as text (decimal, or hexadecimal with 0x), as libvirt's XML has it."""

    def check(self, value: Any, *, lenient: bool) -> int:
        if isinstance(value, str) and re.fullmatch(r"0[xX][0-9a-fA-F]{1,16}", value):
            value = int(value, 16)
        elif isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}", value):
            value = int(value)
        return super().check(value, lenient=lenient)


class Flag(Boolean):
    """True or false, also as text: what came through a command line or a database is that."""

    def check(self, value: Any, *, lenient: bool) -> bool:
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        return super().check(value, lenient=lenient)


class Label(Kind):
    """Text for people, made a line: each character that a line can't have becomes a space.

    Text that has no other character is nothing.
    """

    allowed = "text"

    def check(self, value: Any, *, lenient: bool) -> str | None:
        if not isinstance(value, str):
            raise NotAllowed(value)
        line = re.sub(UNPRINTABLE, " ", value).strip()[:255]
        return LINE.check(line, lenient=lenient) if line else None


FLAG = Flag()
LABEL = Label()


class Given:
    """One object; ``vif_id`` and ``at``, its path, are what errors name."""

    def __init__(self, vif_id: str, data: Mapping[str, Any], at: str = "") -> None:
        self.vif_id, self.data, self.at = vif_id, data, at

    @classmethod
    def whole(cls, data: Any, *, allowed: str, id_at: tuple[str, ...] = ("id",)) -> Given:
        """Return a whole document; the VIF's id is taken from that path of it, if it is there.

        Raises InvalidVIF where the data is no object.
        """
        if not isinstance(data, Mapping):
            raise InvalidVIF(NO_VIF, "it", shown(data), allowed)
        vif_id: Any = data
        for name in id_at:
            vif_id = vif_id.get(name) if isinstance(vif_id, Mapping) else None
        named = isinstance(vif_id, str) and vif_id.isprintable() and 0 < len(vif_id) <= 64
        return cls(str(vif_id) if named else NO_VIF, data)

    def has(self, name: str) -> bool:
        """Whether there is anything under the name."""
        return self.data.get(name) not in _NOTHING

    def take(self, kind: Kind, *names: str) -> Any:
        """Return the value of the first of the names that is there, or None. Raises InvalidVIF."""
        for name in names:
            if not self.has(name):
                continue
            try:
                return kind.check(self.data[name], lenient=True)
            except NotAllowed as error:
                allowed = error.allowed or kind.allowed
                raise InvalidVIF(
                    self.vif_id, f"{self.path(name)}{error.path}", error.value, allowed
                ) from None
        return None

    def need(self, kind: Kind, name: str) -> Any:
        """Return the value under a name. Raises InvalidVIF where there is none."""
        if not self.has(name):
            raise self.refuse(name, kind.allowed)
        return self.take(kind, name)

    def below(self, *names: str) -> Given:
        """Return the object under the first of the names that is there; else an empty one.

        Raises InvalidVIF where there is something else than an object.
        """
        for name in names:
            if self.has(name):
                if not isinstance(self.data[name], Mapping):
                    raise self.refuse(name, "an object")
                return Given(self.vif_id, self.data[name], self.path(name))
        return Given(self.vif_id, {}, self.path(names[0]))

    def each(self, name: str) -> tuple[Given, ...]:
        """Return the objects of the list under a name. Raises InvalidVIF where it is none."""
        found = self.data.get(name)
        if found in _NOTHING:
            return ()
        if not isinstance(found, (list, tuple)):
            raise self.refuse(name, "a list")
        rows = Given(self.vif_id, {f"[{at}]": one for at, one in enumerate(found)}, self.path(name))
        return tuple(rows.below(at) for at in rows.data)

    def refuse(self, name: str, allowed: str) -> InvalidVIF:
        """Return the error that says what may stand under a name."""
        nothing = "empty" if name in self.data else "missing"
        value = shown(self.data[name]) if self.has(name) else nothing
        return InvalidVIF(self.vif_id, self.path(name), value, allowed)

    def path(self, name: str) -> str:
        """Return the path of a name below this object."""
        return f"{self.at}{'' if name.startswith('[') or not self.at else '.'}{name}"
