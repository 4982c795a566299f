# SPDX-License-Identifier: Apache-2.0
"""The interfaces of this host's guests, as libvirt describes them, asked within a short time."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from vifplug.guest.live import GuestInterface, Guests
from vifplug.query.libvirt import LIBVIRT_WAIT, answers, connected
from vifplug.sources.metadata import PREFIX


def known(uri: str, *, wait: float = LIBVIRT_WAIT, stored: bool = False) -> Guests:
    """Return the interfaces of the guests that the libvirt at a URI knows.

    Those of a guest that is shut off are as it will start with them. Never raises. A libvirtd that
    does not answer gives an ``error`` after ``wait`` seconds, or LIBVIRT_WAIT if that is less; and
    at once if it has not answered another question.
    """
    answer = Guests()
    if answers(uri, partial(_ask, uri, stored), answer, wait=wait):
        return answer
    return Guests(error=f"no answer from {uri}")


def _ask(uri: str, stored: bool, answer: Guests) -> None:
    try:
        import libvirt as binding
    except ImportError as error:
        answer.error = str(error)
        return
    try:
        with connected(binding, uri) as connection:
            for domain in connection.listAllDomains():
                try:
                    _ask_guest(binding, domain, stored, answer)
                except binding.libvirtError as error:
                    # The guest may be gone meanwhile; any other error leaves one out.
                    if error.get_error_code() != binding.VIR_ERR_NO_DOMAIN:
                        raise
    except binding.libvirtError as error:
        answer.error = str(error)


def _ask_guest(binding: Any, domain: Any, stored: bool, answer: Guests) -> None:
    from lxml import etree

    name, uuid, runs = domain.name(), domain.UUIDString(), bool(domain.isActive())
    now = etree.fromstring(domain.XMLDesc(0))
    answer.interfaces += _interfaces(now, name, uuid, runs=runs)
    answer.names[uuid] = name
    if not stored:
        return
    texts = []
    if runs and domain.isPersistent():
        texts.append(domain.XMLDesc(binding.VIR_DOMAIN_XML_INACTIVE))
    if domain.hasManagedSaveImage():
        texts.append(domain.managedSaveGetXMLDesc())
    later = [etree.fromstring(text) for text in texts]
    for root in later:
        answer.stored += _interfaces(root, name, uuid, runs=False)
    for root in (now, *later):
        answer.declared |= dict.fromkeys(_declared(root), name)


def _interfaces(root: Any, name: str, uuid: str, *, runs: bool) -> Iterator[GuestInterface]:
    for element in root.iterfind("devices/interface"):
        yield GuestInterface(guest=name, runs=runs, element=element, uuid=uuid)


def _declared(root: Any) -> Iterator[str]:
    """Yield the ids of the VIFs in a domain's metadata, whatever version wrote them."""
    for element in root.iterfind("metadata/*"):
        if str(element.tag).startswith(f"{{{PREFIX}"):
            yield from (vif_id.lower() for child in element if (vif_id := child.get("id")))
