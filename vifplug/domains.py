# SPDX-License-Identifier: Apache-2.0
"""Guests' domains, read and changed through libvirt. Every call of libvirt's has a deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from vifplug.errors import LibvirtError, shown
from vifplug.sources import metadata
from vifplug.sources.domain import Domain, parse

T = TypeVar("T")

_POLL = 0.1


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One of a guest's two domains: the one that runs, or the one that it starts with."""

    live: bool

    @property
    def title(self) -> str:
        """Its name for people."""
        return "running" if self.live else "persistent"


LIVE, PERSISTENT = Kind(live=True), Kind(live=False)


class Guest:
    """A guest of a libvirt. Every method raises LibvirtError."""

    def __init__(self, domains: Domains, domain: Any, name: str) -> None:
        self._domains, self._domain, self.name = domains, domain, name

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The domains that the guest has."""
        runs = self._do("read", self._domain.isActive)
        kept = self._do("read", self._domain.isPersistent)
        return (*([PERSISTENT] if kept else []), *([LIVE] if runs else []))

    def read(self, kind: Kind) -> Domain:
        """Return one of the guest's domains."""
        binding = self._domains.binding
        flags = binding.VIR_DOMAIN_XML_SECURE
        if not kind.live:
            flags |= binding.VIR_DOMAIN_XML_INACTIVE
        return parse(self._do("read", lambda: self._domain.XMLDesc(flags)))

    def define(self, text: bytes) -> None:
        """Define the guest anew, checked by libvirt's schema."""
        flag = self._domains.binding.VIR_DOMAIN_DEFINE_VALIDATE
        connection = self._domains.connection
        self._do("define", lambda: connection.defineXMLFlags(text.decode(), flag))

    def attach(self, nic: str, kind: Kind) -> None:
        """Give the guest a NIC."""
        flags = self._flags(kind)
        self._do("attach to", lambda: self._domain.attachDeviceFlags(nic, flags))

    def detach(self, nic: str, kind: Kind) -> None:
        """Ask the guest to let go of a NIC; a guest that runs may take its time."""
        flags = self._flags(kind)
        self._do("detach from", lambda: self._domain.detachDeviceFlags(nic, flags))

    def write(self, entries: Sequence[metadata.Entry], kind: Kind) -> None:
        """Write the VIFs into the metadata of one of the guest's domains."""
        binding, flags = self._domains.binding, self._flags(kind)
        text = metadata.bare(entries) if entries else None
        self._do(
            "write the metadata of",
            lambda: self._domain.setMetadata(
                binding.VIR_DOMAIN_METADATA_ELEMENT,
                text,
                metadata.KEY,
                metadata.NAMESPACE,
                flags,
            ),
        )

    def _flags(self, kind: Kind) -> int:
        binding = self._domains.binding
        found = binding.VIR_DOMAIN_AFFECT_LIVE if kind.live else binding.VIR_DOMAIN_AFFECT_CONFIG
        return int(found)

    def _do(self, what: str, call: Callable[[], T]) -> T:
        return self._domains.within(f"{what} {self.name}", call)


class Domains:
    """The domains of a libvirt that a caller may change. Use :func:`opened`."""

    def __init__(self, uri: str, binding: Any, deadline: float) -> None:
        self.binding, self._uri, self._deadline = binding, uri, deadline
        self.connection: Any = None

    def connect(self) -> None:
        """Connect to libvirt. Raises LibvirtError."""
        # Otherwise libvirt prints every error on standard error by itself.
        self.binding.registerErrorHandler(lambda context, error: None, None)
        self.connection = self.within("connect", lambda: self.binding.open(self._uri))

    def close(self) -> None:
        """End the connection, unless libvirt does not answer."""
        if self.connection is not None:
            threading.Thread(target=self.connection.close, daemon=True).start()

    def guest(self, name: str) -> Guest:
        """Return the guest of a name, or of a UUID. Raises LibvirtError."""
        binding = self.binding

        def look() -> Any:
            try:
                return self.connection.lookupByName(name)
            except binding.libvirtError:
                return self.connection.lookupByUUIDString(name)

        try:
            domain = self.within("look for", look)
        except LibvirtError as error:
            if error.what == "look for":
                known = ", ".join(sorted(each.name for each in self.guests())) or "none"
                raise LibvirtError(f"no guest {shown(name)}", f"known: {known}") from None
            raise
        return Guest(self, domain, self.within("look for", domain.name))

    def guests(self) -> list[Guest]:
        """Return all guests, by name. Raises LibvirtError."""
        found = self.within("list", self.connection.listAllDomains)
        every = [Guest(self, domain, self.within("list", domain.name)) for domain in found]
        return sorted(every, key=lambda guest: guest.name)

    def left(self) -> float:
        """Return the seconds until the deadline."""
        return self._deadline - time.monotonic()

    def wait_for(self, met: Callable[[], bool]) -> bool:
        """Wait until a condition is met; return whether it was before the deadline."""
        while not met():
            if self.left() <= _POLL:
                return False
            time.sleep(_POLL)
        return True

    def within(self, what: str, call: Callable[[], T]) -> T:
        """Return what a call of libvirt's returns before the deadline. Raises LibvirtError."""
        answers: list[T] = []
        errors: list[Exception] = []

        def ask() -> None:
            try:
                answers.append(call())
            except Exception as error:
                errors.append(error)

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(max(self.left(), 0.5))
        if answers:
            return answers[0]
        if errors and not isinstance(errors[0], self.binding.libvirtError):
            raise errors[0]
        why = str(errors[0]) if errors else "no answer in time"
        raise LibvirtError(what, f"libvirt at {self._uri}: {why}")


@contextmanager
def opened(uri: str, deadline: float) -> Iterator[Domains]:
    """Connect to a libvirt for a with block, to change guests. Raises LibvirtError.

    ``deadline`` is when all must have ended, as CLOCK_MONOTONIC tells it.
    """
    try:
        import libvirt as binding
    except ImportError as error:
        mend = "pip install 'vifplug[libvirt]'"
        raise LibvirtError("libvirt-python is not installed", f"{error}; to mend: {mend}") from None
    domains = Domains(uri, binding, deadline)
    domains.connect()
    try:
        yield domains
    finally:
        domains.close()
