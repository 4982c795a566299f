# SPDX-License-Identifier: Apache-2.0
"""Files of VIFs: one JSON object or a list, ``-`` for standard input; checked whole before use."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from vifplug.errors import NO_VIF, InvalidVIF, VifplugError, shown
from vifplug.fields import UUID
from vifplug.model.vif import VIF
from vifplug.sources import SOURCES

T = TypeVar("T")

STDIN = "-"
DOMAIN = "libvirt"
"""The source that is a libvirt domain."""

MOST = 64 << 20
"""Bytes of a file: 100,000 VIFs have room in that, and /dev/zero does not fill the memory."""


@dataclass(frozen=True, kw_only=True)
class Given(Generic[T]):
    """One VIF of the input: the file that holds it, and what a check returned for it."""

    vif: VIF
    file: str
    checked: T


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """One error of the input, and the file that holds it."""

    error: VifplugError
    file: str


class Invalid(Exception):
    """Some VIFs of the input are invalid; carries the error of each, and the valid VIFs."""

    def __init__(self, errors: Sequence[Rejected], vifs: Sequence[VIF]) -> None:
        super().__init__(f"{len(errors)} invalid")
        self.errors, self.vifs = tuple(errors), tuple(vifs)


class Input(Generic[T]):
    """The VIFs of an input, each with what ``check`` returned for it, and every error."""

    def __init__(self, check: Callable[[VIF], T]) -> None:
        self._check = check
        self._seen: set[str] = set()
        self.vifs: list[Given[T]] = []
        self.errors: list[Rejected] = []

    def add(self, file: str, place: str, read: Callable[[], VIF]) -> None:
        """Add the VIF that ``read`` returns, or its error; ``place`` is where its file has it."""
        try:
            vif = named(read, place)
            if vif.id in self._seen:
                raise vif.refuse("id", vif.id, "one VIF of an id in the input")
            self._seen.add(vif.id)
            self.vifs.append(Given(vif=vif, file=file, checked=self._check(vif)))
        except VifplugError as error:
            self.refuse(file, error)

    def refuse(self, file: str, error: VifplugError) -> None:
        """Add an error that concerns a whole file."""
        self.errors.append(Rejected(error=error, file=file))

    def whole(self) -> list[Given[T]]:
        """Return the VIFs. Raises Invalid with every error, so that one look mends them all."""
        if self.errors:
            raise Invalid(self.errors, [given.vif for given in self.vifs])
        return self.vifs


def read_vifs(
    files: Sequence[str], check: Callable[[VIF], T], *, source: str | None = None
) -> list[Given[T]]:
    """Return the VIFs of all files, each with what ``check`` returns for it.

    ``source`` names the system whose model the files hold, where that is not ours. Raises Invalid
    with every error in the input.
    """
    found = Input(check)
    for position, name in enumerate(files):
        try:
            if name == STDIN and STDIN in files[:position]:
                raise _unreadable("standard input", "given twice")
            documents = documents_in(name, source)
        except InvalidVIF as error:
            found.refuse(name, error)
            continue
        for place, document in documents:
            found.add(name, place, partial(vif_in, document, source))
    return found.whole()


def read_domain(text: bytes, name: str, check: Callable[[VIF], T]) -> list[Given[T]]:
    """Return the VIFs of a libvirt domain, as :func:`read_vifs` returns those of files."""
    found = Input(check)
    try:
        documents = SOURCES[DOMAIN].parts(text)
    except InvalidVIF as error:
        found.refuse(name, error)
        return found.whole()
    for place, document in documents:
        found.add(name, place, partial(vif_in, document, DOMAIN))
    return found.whole()


def named(read: Callable[[], VIF], place: str) -> VIF:
    """Return a VIF; an error that names no VIF names its place instead."""
    try:
        return read()
    except InvalidVIF as error:
        if error.vif_id != NO_VIF:
            raise
        raise InvalidVIF(place, error.field, error.value, error.allowed) from None


def vif_in(document: Any, source: str | None) -> VIF:
    """Return the VIF that a document of a source is. Raises InvalidVIF."""
    return SOURCES[source].vif_of(document) if source else VIF.from_dict(document)


def documents_in(name: str, source: str | None) -> list[tuple[str, Any]]:
    """Return the documents in a file, each with its place there. Raises InvalidVIF."""
    where = "standard input" if name == STDIN else name or "''"
    text = _text(name, where)
    if source and not SOURCES[source].json:
        return [*SOURCES[source].parts(text)]
    try:
        data = plain_json(text)
    except ValueError as error:
        raise _unreadable(where, str(error)) from None
    if source:
        return [(f"{where}{place}", part) for place, part in SOURCES[source].parts(data)]
    if isinstance(data, list):
        return [(f"{where}[{position}]", item) for position, item in enumerate(data)]
    return [(where, data)]


def _text(name: str, where: str) -> str:
    try:
        if not name:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        with contextlib.ExitStack() as stack:
            source = (
                sys.stdin.buffer if name == STDIN else stack.enter_context(Path(name).open("rb"))
            )
            raw = source.read(MOST + 1)
        return decoded(raw)
    except UnreadableText as error:
        raise _unreadable(where, str(error)) from None
    except (OSError, ValueError) as error:
        words = error.strerror if isinstance(error, OSError) else str(error)
        raise _unreadable(where, f"unreadable ({words})") from None


def read_raw(name: str) -> bytes:
    """Return the text of a file that is no list of VIFs. Raises InvalidVIF."""
    return _text(name, "standard input" if name == STDIN else name or "''").encode()


def _unreadable(where: str, found: str) -> InvalidVIF:
    allowed = "a readable file of JSON, one VIF or a list"
    if UUID.pattern.fullmatch(where):
        allowed += "; a VIF's id alone is enough for unplug --id"
    elif found == f"unreadable ({os.strerror(errno.EISDIR)})":
        allowed += f", as {Path(where) / '*.json'}"
    return InvalidVIF(NO_VIF, f"file {where}", found, allowed)


class UnreadableText(ValueError):
    """The octets of a file are no text, or too many."""


def decoded(raw: bytes) -> str:
    """Return the text of a file. Raises UnreadableText."""
    if len(raw) > MOST:
        raise UnreadableText(f"larger than {MOST >> 20} MiB")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableText(f"not UTF-8 at byte {error.start}") from None


def plain_json(text: str) -> Any:
    """Return the data of a JSON text. Raises ValueError, which says where the text is broken."""
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        found = f"broken at line {error.lineno}, column {error.colno}: {error.msg}"
        raise ValueError(found) from None
    except RecursionError:
        raise ValueError("nested too deep") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the name {shown(name)} stands twice in one object")
        found[name] = value
    return found


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")
