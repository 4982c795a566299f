# SPDX-License-Identifier: Apache-2.0
"""The three standard streams, whatever the caller closed, filled or left without a reader."""

from __future__ import annotations

import contextlib
import io
import os
import re
import select
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class OutputLost(BaseException):
    """Standard output took nothing more. No ``except Exception`` of a library may swallow that."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error.strerror))
        self.told = not isinstance(error, BrokenPipeError)


class _Patient(io.FileIO):
    def write(self, data: ReadableBuffer, /) -> int:
        # None is a pipe that a parent made non-blocking, and that is full.
        while (count := super().write(data)) is None:
            select.select((), (self,), ())
        return count


class _Output(_Patient):
    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise OutputLost(error) from None


class _Complaints(_Patient):
    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError:  # nobody can be told; the exit status still tells
            return len(memoryview(data))


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """Return a text with its control characters written out, but for tabs and ends of lines.

    The name of a file may hold them, and would rule the terminal.
    """
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], text)


class _Writer(io.TextIOWrapper):
    """A stream for people. ``plain``: no control character reaches it."""

    plain = False

    def write(self, text: str, /) -> int:
        super().write(printable(text) if self.plain else text)
        return len(text)


@contextlib.contextmanager
def drawing() -> Iterator[None]:
    """Let control characters pass to standard error for the length of a block."""
    stream = sys.stderr
    plain = getattr(stream, "plain", False)
    if isinstance(stream, _Writer):
        stream.plain = False
    try:
        yield
    finally:
        if isinstance(stream, _Writer):
            stream.plain = plain


def repair() -> None:
    """Have three standard streams that can be used.

    What takes the place of a closed one fails when it is used, but for standard error; and no
    socket gets its number.
    """
    for number, mode in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_RDWR)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # the lowest number that is free
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
    if sys.stdout is sys.__stdout__:
        sys.stdout = _writing(1, sys.stdout, _Output)
    if sys.stderr is sys.__stderr__:
        sys.stderr = complaints = _writing(2, sys.stderr, _Complaints)
        complaints.plain = True


def drop_output() -> None:
    """Forget what standard output did not take: Python would complain of it at the very end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _writing(number: int, before: TextIO | None, kind: Callable[..., _Patient]) -> _Writer:
    raw = kind(number, "w", closefd=False)
    return _Writer(
        io.BufferedWriter(raw),
        encoding=before.encoding if before else None,
        errors="backslashreplace",  # an ASCII terminal is no reason to fail
        line_buffering=number == 2 or raw.isatty(),
        write_through=getattr(before, "write_through", False),
    )
