# SPDX-License-Identifier: Apache-2.0
"""What libvirt says of itself, asked within a short time.

A libvirtd that hangs, or that is slow to tell its capabilities, costs a process LIBVIRT_WAIT once.
Later callers take what it has told by then.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

T = TypeVar("T")

LIBVIRT_WAIT = 3.0
"""Seconds that a process waits for libvirt."""

KEPT = 10.0
"""Seconds after which an answer is asked for anew."""

_LIBRARY = re.compile(r"libvirt\.so\.0\.(\d{1,6})\.(\d{1,3})")
_LIBRARIES = tuple(
    Path(name)
    for name in ("/usr/local/lib", "/usr/local/lib64", "/usr/lib64", "/usr/lib",
                 f"/usr/lib/{getattr(sys.implementation, '_multiarch', '')}")
)  # fmt: skip
"""Where a host has libvirt's library; one of several is found by the linker only."""

NOT_INSTALLED, DENIED, SILENT, AWAY = "not installed", "denied", "silent", "away"
"""Why libvirt has not told everything: no libvirt-python, no permission, no answer, no libvirt."""

_NO_PERMISSION = "Permission denied"


@dataclass
class Libvirt:
    """What a libvirt says of itself; ``error`` says why it could not be asked, ``cause`` in a word.

    ``connected``: the version is the daemon's own; else it is that of libvirt's library here.
    """

    uri: str
    version: str | None = None
    virt_type: str | None = None
    connected: bool = False
    error: str = ""
    cause: str = ""


class _Question(Generic[T]):
    """Something that a thread asks libvirt. The thread may wait for ever, a caller does not."""

    def __init__(self, ask: Callable[[T], object], answer: T) -> None:
        """``ask`` fills in the answer, as far as libvirt tells."""
        self._ask, self.answer = ask, answer
        self.ended: float | None = None
        self._until = time.monotonic() + LIBVIRT_WAIT
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self._ask(self.answer)
        finally:
            self.ended = time.monotonic()

    def wait(self, seconds: float) -> bool:
        """Wait for the whole answer, but not beyond the question's own time."""
        self.thread.join(max(min(seconds, self._until - time.monotonic()), 0.0))
        return self.ended is not None


_Where = tuple[int, str]
"""A process, as a fork has no thread of its parent's, and a URI."""

_answers: dict[_Where, _Question[Libvirt]] = {}
_hung: dict[_Where, threading.Thread] = {}
_lock = threading.Lock()


def libvirt(uri: str, *, wait: float = LIBVIRT_WAIT) -> Libvirt:
    """Return what the libvirt at a URI says of itself; asked once, and again after KEPT seconds.

    Never raises. ``wait`` are the seconds that the caller has; LIBVIRT_WAIT at most are used.
    """
    where = os.getpid(), uri
    with _lock:
        question = _answers.get(where)
        if question is None or (question.ended and time.monotonic() > question.ended + KEPT):
            question = _Question(_ask_libvirt, Libvirt(uri))
            _answers[where] = question
    if question.wait(wait):
        return question.answer
    _hung[where] = question.thread
    error = f"no answer from {uri} in {max(min(wait, LIBVIRT_WAIT), 0.0):.1f} s"
    return dataclasses.replace(question.answer, error=error, cause=SILENT)


def library_version(folders: Sequence[Path] = _LIBRARIES) -> str | None:
    """Return the version of libvirt's library here; libvirt itself is not asked."""
    # By the library's name, as libvirt.so.0.9000.0: to load it takes as long as a whole plug.
    links = (folder / "libvirt.so.0" for folder in folders)
    found = {link.resolve().name for link in links if link.is_symlink()}
    if len(found) == 1 and (said := _LIBRARY.fullmatch(found.pop())):
        return _version(int(said[1]) * 1000 + int(said[2]))
    try:
        import libvirt as binding
    except ImportError:
        return None
    return _version(binding.getVersion())


def missing_filters(
    uri: str, names: tuple[str, ...], *, wait: float = LIBVIRT_WAIT
) -> tuple[str, ...]:
    """Return which of some nwfilters the libvirt at a URI does not know; none if it is silent."""
    missing: list[str] = []
    whole = answers(uri, partial(_ask_filters, uri, names), missing, wait=wait)
    return tuple(missing) if whole else ()


def answers(uri: str, ask: Callable[[T], object], answer: T, *, wait: float = LIBVIRT_WAIT) -> bool:
    """Have a thread ask libvirt and fill in an answer; return whether that is whole.

    A libvirt that was silent is not asked again before it has answered, or has ended.
    """
    where = os.getpid(), uri
    if where in _hung and _hung[where].is_alive():
        return False
    question = _Question(ask, answer)
    if not question.wait(wait):
        _hung[where] = question.thread
        return False
    return True


def _ask_libvirt(answer: Libvirt) -> None:
    try:
        import libvirt as binding
    except ImportError as error:
        answer.cause = NOT_INSTALLED
        answer.error = f"libvirt-python is not installed ({error})"
        return
    if "://" not in answer.uri or ":///" in answer.uri:
        # Not of another host's libvirt: the library here says nothing of that.
        answer.version = _version(binding.getVersion())
    try:
        with connected(binding, answer.uri) as connection:
            answer.version = _version(connection.getLibVersion())
            answer.connected = True
            # Last, because a libvirtd that has just started looks at each QEMU first.
            kvm = "<domain type='kvm'" in connection.getCapabilities()
            answer.virt_type = "kvm" if kvm else "qemu"
    except binding.libvirtError as error:
        refused = error.get_error_code() in (
            binding.VIR_ERR_AUTH_FAILED,
            binding.VIR_ERR_AUTH_CANCELLED,
            binding.VIR_ERR_AUTH_UNAVAILABLE,
            binding.VIR_ERR_ACCESS_DENIED,
        )
        answer.cause = DENIED if refused or _NO_PERMISSION in str(error) else AWAY
        answer.error = str(error)


def _ask_filters(uri: str, names: tuple[str, ...], missing: list[str]) -> None:
    try:
        import libvirt as binding
    except ImportError:
        return
    with contextlib.suppress(binding.libvirtError), connected(binding, uri) as connection:
        for name in names:
            try:
                connection.nwfilterLookupByName(name)
            except binding.libvirtError as error:
                if error.get_error_code() != binding.VIR_ERR_NO_NWFILTER:
                    raise
                missing.append(name)


@contextlib.contextmanager
def connected(binding: Any, uri: str) -> Iterator[Any]:
    """Connect to a libvirt for a with block, to read. Raises libvirtError."""
    # Otherwise libvirt prints every error on standard error by itself.
    binding.registerErrorHandler(lambda context, error: None, None)
    connection = binding.openReadOnly(uri)
    try:
        yield connection
    finally:
        connection.close()


def _version(number: int) -> str:
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"
