# SPDX-License-Identifier: Apache-2.0
"""What libvirt says of itself, asked within a short time."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

LIBVIRT_WAIT = 3.0
"""Seconds after which a libvirtd that does not answer counts as not there."""


@dataclass
class Libvirt:
    """What a libvirt says of itself; ``error`` says why it could not be asked."""

    uri: str
    version: str | None = None
    virt_type: str | None = None
    error: str = ""
    filters: dict[str, bool] = field(default_factory=dict)


def libvirt(uri: str, *, filters: tuple[str, ...] = (), wait: float = LIBVIRT_WAIT) -> Libvirt:
    """Ask the libvirt at a URI for its version, and which of some nwfilters it knows.

    Never raises and never takes long: a hung libvirtd gives an ``error`` after ``wait`` seconds,
    or LIBVIRT_WAIT if that is less.
    """
    answer = Libvirt(uri)
    thread = threading.Thread(target=_ask_libvirt, args=(answer, filters), daemon=True)
    thread.start()
    wait = max(min(wait, LIBVIRT_WAIT), 0.0)
    thread.join(wait)
    if thread.is_alive():
        return Libvirt(uri, error=f"no answer from {uri} in {wait:.1f} s")
    return answer


def _ask_libvirt(answer: Libvirt, filters: tuple[str, ...]) -> None:
    try:
        import libvirt as binding
    except ImportError as error:
        answer.error = f"libvirt-python is not installed ({error}); pip install 'vifplug[libvirt]'"
        return
    # Otherwise libvirt prints every error on standard error by itself.
    binding.registerErrorHandler(lambda context, error: None, None)
    try:
        connection = binding.openReadOnly(answer.uri)
        try:
            number = connection.getLibVersion()
            major, minor, micro = number // 1_000_000, number // 1000 % 1000, number % 1000
            answer.version = f"{major}.{minor}.{micro}"
            kvm = "<domain type='kvm'" in connection.getCapabilities()
            answer.virt_type = "kvm" if kvm else "qemu"
            for name in filters:
                answer.filters[name] = _knows_filter(binding, connection, name)
        finally:
            connection.close()
    except binding.libvirtError as error:
        answer.error = str(error)


def _knows_filter(binding: object, connection: object, name: str) -> bool:
    try:
        connection.nwfilterLookupByName(name)  # type: ignore[attr-defined]
    except binding.libvirtError as error:  # type: ignore[attr-defined]
        if error.get_error_code() == binding.VIR_ERR_NO_NWFILTER:  # type: ignore[attr-defined]
            return False
        raise
    return True
