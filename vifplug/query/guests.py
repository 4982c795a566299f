# SPDX-License-Identifier: Apache-2.0
"""The interfaces of this host's guests, as libvirt describes them, asked within a short time."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from vifplug.guest.live import GuestInterface
from vifplug.query.libvirt import LIBVIRT_WAIT, answers, connected


@dataclass
class Guests:
    """The interfaces of all guests; ``error`` says why libvirt could not be asked."""

    interfaces: list[GuestInterface] = field(default_factory=list)
    error: str = ""


def known(uri: str, *, wait: float = LIBVIRT_WAIT) -> Guests:
    """Return the interfaces of the guests that the libvirt at a URI knows.

    Those of a guest that is shut off are as it will start with them. Never raises. A libvirtd that
    does not answer gives an ``error`` after ``wait`` seconds, or LIBVIRT_WAIT if that is less; and
    at once if it has not answered another question.
    """
    answer = Guests()
    if answers(uri, partial(_ask, uri), answer, wait=wait):
        return answer
    return Guests(error=f"no answer from {uri}")


def _ask(uri: str, answer: Guests) -> None:
    try:
        import libvirt as binding
    except ImportError as error:
        answer.error = str(error)
        return
    from lxml import etree

    try:
        with connected(binding, uri) as connection:
            for domain in connection.listAllDomains():
                try:
                    name, runs, text = domain.name(), domain.isActive(), domain.XMLDesc(0)
                except binding.libvirtError:
                    continue  # the guest is gone meanwhile
                for element in etree.fromstring(text).iterfind("devices/interface"):
                    one = GuestInterface(guest=name, runs=bool(runs), element=element)
                    answer.interfaces.append(one)
    except binding.libvirtError as error:
        answer.error = str(error)
