# SPDX-License-Identifier: Apache-2.0
"""What a field may hold.

A record (VIF, Network, a plugin's details, a Part, a Link) is a frozen dataclass whose fields are
declared with :func:`declared` and a kind from here. That one declaration gives the check at every
boundary (a file, a plugin, the privileged side), the words of its error, and the JSON Schema.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from vifplug.errors import meant, shown

R = TypeVar("R")
Refuse = Callable[[str, str, str], Exception]
"""Makes the error for (field path, value, what is allowed)."""

_KIND = "kind"
_KINDS: dict[type[Any], Mapping[str, Kind]] = {}
_REQUIRED: dict[type[Any], tuple[str, ...]] = {}
_DECLARED: dict[type[Any], Sequence[dataclasses.Field[Any]]] = {}


class NotAllowed(Exception):
    """A value is not of its kind; carries the path below the field, and the value's text."""

    def __init__(self, value: object, path: str = "", allowed: str = "") -> None:
        super().__init__(shown(value), path, allowed)
        self.value, self.path, self.allowed = shown(value), path, allowed


class Kind:
    """One kind of value: ``check`` returns it in its normal form or raises NotAllowed."""

    allowed: str = "anything"

    def check(self, value: Any, *, lenient: bool) -> Any:
        return value

    def schema(self) -> dict[str, Any]:
        return {}


LONGEST = 4096
"""Characters of any text."""


class Text(Kind):
    """Text that matches a pattern as a whole; ``normal`` gives its normal form.

    Longer text than ``LONGEST`` matches no pattern.
    """

    def __init__(
        self,
        pattern: str,
        allowed: str,
        *,
        normal: Callable[[str], str] = str,
        but: tuple[str, ...] = (),
    ) -> None:
        self.pattern = re.compile(pattern, re.ASCII)
        self.allowed = allowed
        self._normal, self._but = normal, but

    def check(self, value: Any, *, lenient: bool) -> str:
        if not isinstance(value, str) or len(value) > LONGEST:
            raise NotAllowed(value)
        if not self.pattern.fullmatch(value) or value in self._but:
            raise NotAllowed(value)
        return self._normal(value)

    def schema(self) -> dict[str, Any]:
        found: dict[str, Any] = {"type": "string", "pattern": f"^(?:{self.pattern.pattern})$"}
        if self._but:
            found["not"] = {"enum": list(self._but)}
        return found


class Integer(Kind):
    """A whole number in a closed range; true and false are not numbers."""

    def __init__(self, least: int, most: int) -> None:
        self.least, self.most = least, most
        self.allowed = f"a whole number from {least} to {most}"

    def check(self, value: Any, *, lenient: bool) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise NotAllowed(value)
        if not self.least <= value <= self.most:
            raise NotAllowed(value)
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


class Number(Kind):
    """A finite number, with or without a fraction."""

    allowed = "a finite number"

    def check(self, value: Any, *, lenient: bool) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise NotAllowed(value)
        try:
            found = float(value)
        except OverflowError:
            raise NotAllowed(value) from None
        if not math.isfinite(found):
            raise NotAllowed(value)
        return found

    def schema(self) -> dict[str, Any]:
        return {"type": "number"}


class Boolean(Kind):
    """True or false, nothing that merely looks like it."""

    allowed = "true or false"

    def check(self, value: Any, *, lenient: bool) -> bool:
        if not isinstance(value, bool):
            raise NotAllowed(value)
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


class Choice(Kind):
    """One of a few words."""

    def __init__(self, *words: str) -> None:
        self.words = words
        self.allowed = " or ".join(words) if len(words) < 3 else ", ".join(words)

    def check(self, value: Any, *, lenient: bool) -> str:
        if not isinstance(value, str) or value not in self.words:
            raise NotAllowed(value)
        return value

    def schema(self) -> dict[str, Any]:
        return {"enum": list(self.words)}


_LONGEST_ADDRESS = 64
"""Characters of an address; one with a prefix length and all digits has 49."""


class Address(Kind):
    """An IP address, or with ``prefix`` an address or network with its prefix length.

    Host bits are kept as written; the text is normalised (RFC 5952 for IPv6).
    """

    def __init__(self, *, prefix: bool) -> None:
        self._prefix = prefix
        self.allowed = "an IP address" + (" with a prefix length, as 10.0.0.0/24" if prefix else "")

    def check(self, value: Any, *, lenient: bool) -> str:
        if not isinstance(value, str) or len(value) > _LONGEST_ADDRESS or "%" in value:
            raise NotAllowed(value)
        if self._prefix and "/" not in value:
            raise NotAllowed(value)
        try:
            if self._prefix:
                return str(ipaddress.ip_interface(value))
            return str(ipaddress.ip_address(value))
        except ValueError:
            raise NotAllowed(value) from None

    def schema(self) -> dict[str, Any]:
        return {"type": "string"} if self._prefix else {"type": "string", "format": "ip"}


class Many(Kind):
    """A list of one kind; becomes a tuple."""

    def __init__(self, of: Kind, *, most: int = 1024) -> None:
        self._of, self._most = of, most
        self.allowed = f"a list of at most {most}"

    def check(self, value: Any, *, lenient: bool) -> tuple[Any, ...]:
        if not isinstance(value, (list, tuple)) or len(value) > self._most:
            raise NotAllowed(value)
        found = []
        for position, item in enumerate(value):
            try:
                found.append(self._of.check(item, lenient=lenient))
            except NotAllowed as error:
                raise _further_out(error, f"[{position}]", self._of) from None
        return tuple(found)

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": self._of.schema(), "maxItems": self._most}


class Record(Kind):
    """Another declared dataclass."""

    def __init__(self, of: type[Any]) -> None:
        self.of = of
        self.allowed = f"an object with {', '.join(kinds(of))}"

    def check(self, value: Any, *, lenient: bool) -> Any:
        if isinstance(value, self.of):
            return value
        return _load(self.of, value, lenient=lenient)

    def schema(self) -> dict[str, Any]:
        return schema(self.of)


class Table(Kind):
    """An object with any names and values of one kind; without a kind, any plain JSON values."""

    allowed = "an object"

    def __init__(self, of: Kind | None = None, *, most: int = 1 << 20) -> None:
        self._of, self._most = of, most

    def check(self, value: Any, *, lenient: bool) -> dict[str, Any]:
        if not isinstance(value, Mapping) or len(value) > self._most:
            raise NotAllowed(value)
        if not all(isinstance(name, str) for name in value):
            raise NotAllowed(value)
        if self._of is None:
            return dict(value)
        found = {}
        for name, item in value.items():
            try:
                found[name] = self._of.check(item, lenient=lenient)
            except NotAllowed as error:
                raise _further_out(error, f".{_name(name)}", self._of) from None
        return found

    def schema(self) -> dict[str, Any]:
        more = {"additionalProperties": self._of.schema()} if self._of else {}
        return {"type": "object", **more}


def _name(text: object) -> str:
    """Return a field's name as an error may show it: it may hold anything, and be of any length."""
    plain = isinstance(text, str) and text.isidentifier() and shown(text) == f"'{text}'"
    return str(text) if plain else shown(text)


def _further_out(error: NotAllowed, below: str, kind: Kind) -> NotAllowed:
    """Return the error with the path one level further out."""
    outer = NotAllowed("", below + error.path, error.allowed or kind.allowed)
    outer.value = error.value
    return outer


def declared(kind: Kind, **default: Any) -> Any:
    """Declare a dataclass field of a kind; with no ``default=`` the field is required."""
    return dataclasses.field(metadata={_KIND: kind}, **default)


def kinds(record: type[Any]) -> Mapping[str, Kind]:
    """Return a record's declared fields and their kinds, in order."""
    if record not in _KINDS:
        _KINDS[record] = {f.name: f.metadata[_KIND] for f in _declared(record)}
    return _KINDS[record]


def _required(record: type[Any]) -> tuple[str, ...]:
    if record not in _REQUIRED:
        bare = (f for f in _declared(record) if f.default is f.default_factory)
        _REQUIRED[record] = tuple(f.name for f in bare)
    return _REQUIRED[record]


def _declared(record: type[Any]) -> Sequence[dataclasses.Field[Any]]:
    if record not in _DECLARED:
        _DECLARED[record] = [f for f in dataclasses.fields(record) if _KIND in f.metadata]
    return _DECLARED[record]


def _load(record: type[R], data: Any, *, lenient: bool) -> R:
    if not isinstance(data, Mapping):
        raise NotAllowed(data)
    known = kinds(record)
    found = {}
    for name, value in data.items():
        kind = known.get(name)
        if kind is None:
            if lenient:
                continue
            named = ", ".join(known) or "no field at all"
            also = meant(name, known) if isinstance(name, str) else ""
            words = f"nothing: there is no such field{also}; known: {named}"
            raise NotAllowed(value, f".{_name(name)}", words)
        if value is None:
            continue  # JSON's null is the same as nothing
        try:
            found[name] = kind.check(value, lenient=lenient)
        except NotAllowed as error:
            raise _further_out(error, f".{name}", kind) from None
    for name in _required(record):
        if name not in found:
            missing = NotAllowed(None, f".{name}", known[name].allowed)
            missing.value = "missing"
            raise missing
    return record(**found)


def load(record: type[R], data: Any, refuse: Refuse, *, at: str = "", lenient: bool = False) -> R:
    """Return a record built from plain data, every field checked.

    A field that is None counts as absent. ``at`` is the path of the data itself, ``lenient``
    passes over unknown fields. What ``refuse`` makes of the first bad field is raised.
    """
    try:
        return _load(record, data, lenient=lenient)
    except NotAllowed as error:
        path = (at + error.path).lstrip(".") or "it"
        raise refuse(path, error.value, error.allowed or "an object") from None


def dump(record: Any) -> dict[str, Any]:
    """Return a record as plain data that :func:`load` reads back; defaults are left out."""
    found = {}
    for f in _declared(type(record)):
        value = getattr(record, f.name)
        default = f.default_factory() if callable(f.default_factory) else f.default
        if value is not None and value != default:
            found[f.name] = _plain(value)
    return found


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return dump(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return value


def schema(record: type[Any]) -> dict[str, Any]:
    """Return a record's JSON Schema (2020-12), without the ``$schema`` line."""
    found: dict[str, Any] = {
        "type": "object",
        "properties": {name: kind.schema() for name, kind in kinds(record).items()},
        "additionalProperties": False,
    }
    if _required(record):
        found["required"] = list(_required(record))
    return found


# The kinds that more than one record uses.

UUID = Text(
    r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
    "a UUID, as 0b6a9d0e-7a3c-4a6e-9d55-3f1f0a3c2b11",
    normal=str.lower,
)
MAC = Text(
    r"(?!(?:00:){5}00)[0-9a-fA-F][02468aceACE](:[0-9a-fA-F]{2}){5}",
    "a unicast MAC address, as fa:16:3e:11:22:33",
    normal=str.lower,
)
PCI = Text(
    r"[0-9a-fA-F]{4}:[0-9a-fA-F]{2}:[01][0-9a-fA-F]\.[0-7]",
    "a PCI address, as 0000:81:00.3",
    normal=str.lower,
)
# Narrower than the kernel: what libvirt's schema takes too, and never a sysctl folder's own name
# (conf/all, conf/default), which would turn a change of one device into one of all.
DEVICE = Text(
    r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}",
    "a device name: 1 to 15 of A-Z a-z 0-9 _ . -, not starting with . or -, not all or default",
    but=("all", "default"),
)
WORD = Text(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}", "a word of 1 to 32 of A-Z a-z 0-9 . _ -")
UNPRINTABLE = r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\ufffe\uffff]"
"""A pattern of the characters that XML 1.0 or a terminal does not take."""

LINE = Text(
    UNPRINTABLE.replace("[", "[^") + "{1,255}",
    "a line of 1 to 255 characters without control characters",
)
MTU = Integer(68, 65535)
VLAN = Integer(1, 4094)
BOOLEAN = Boolean()
IP = Address(prefix=False)
CIDR = Address(prefix=True)
