# SPDX-License-Identifier: Apache-2.0
"""A guest's ``<interface>``, compared with the one that its VIF would get. Pure.

Source: https://libvirt.org/formatdomain.html#network-interfaces.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from vifplug.guest.interface import TRUST, Interface
from vifplug.sources.metadata import ALIAS

_CHOSEN: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("source", ("bridge", "dev", "mode", "type", "path")),
    ("mtu", ("size",)),
    ("target", ("dev", "managed")),
    ("virtualport", ("type",)),
    ("vlan/tag", ("id",)),
)
"""The elements that say where a NIC is attached, and their attributes."""

_SEEN: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("model", ("type",)),
    ("driver", ("name", "queues")),
)
"""The elements that say how the guest sees its NIC, and their attributes."""


@dataclass(frozen=True, kw_only=True)
class GuestInterface:
    """One ``<interface>`` of a guest, as libvirt describes it."""

    guest: str
    element: Any
    runs: bool = True
    uuid: str = ""

    @property
    def title(self) -> str:
        """The guest's name, and whether it is shut off."""
        return self.guest if self.runs else f"{self.guest} (shut off)"

    @property
    def mac(self) -> str | None:
        """The guest's MAC address, in lower case."""
        address = _value(self.element, "mac", "address")
        return address.lower() if address else None

    @property
    def vif_id(self) -> str | None:
        """The VIF's id or interface id: by alias, by virtual port, or by port of a network."""
        alias = _value(self.element, "alias", "name") or ""
        if alias.startswith(ALIAS):
            return alias.removeprefix(ALIAS).lower()
        port = _value(self.element, "virtualport/parameters", "interfaceid")
        port = port or _value(self.element, "source", "portid")
        return port.lower() if port else None

    @property
    def of_network(self) -> bool:
        """Whether a libvirt network connects it: then the domain alone says how it looks."""
        return _value(self.element, "source", "network") is not None

    @property
    def xml(self) -> str:
        """The interface as text."""
        from lxml import etree  # the element is of lxml, which is imported by then

        # Anew, because the domain's own indentation is in the element.
        element = etree.fromstring(etree.tostring(self.element, with_tail=False))
        etree.indent(element)
        return etree.tostring(element, encoding="unicode")

    @property
    def makes_device(self) -> bool:
        """Whether the guest has a device of the kernel for it while it runs."""
        return self.element.get("type") in ("bridge", "direct", "ethernet", "network")

    @property
    def is_up(self) -> bool:
        """Whether the guest sees a carrier."""
        return _value(self.element, "link", "state") != "down"

    @property
    def target(self) -> str | None:
        """The host's device."""
        return _value(self.element, "target", "dev")


@dataclass
class Guests:
    """The interfaces of all guests; ``error`` says why libvirt could not be asked.

    ``names`` are those of the guests, by uuid. ``declared`` are those of the guests whose metadata
    have a VIF, by the VIF's id. ``stored`` are interfaces that a guest will have
    once it starts anew or is restored, if that was asked for.
    """

    interfaces: list[GuestInterface] = field(default_factory=list)
    stored: list[GuestInterface] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    declared: dict[str, str] = field(default_factory=dict)
    error: str = ""


def of_vif(wanted: Interface, known: Sequence[GuestInterface]) -> GuestInterface | None:
    """Return the interface of a VIF among those of all guests, None where none is known.

    It has the VIF's address or the VIF's device. A guest that runs goes first, because a copy of
    it may be shut off. Of several with one address, the device decides.
    """
    running = _only(wanted, [each for each in known if each.runs])
    return running or _only(wanted, [each for each in known if not each.runs])


def _only(wanted: Interface, known: Iterable[GuestInterface]) -> GuestInterface | None:
    same_mac = []
    for each in known:
        if wanted.target and each.target == wanted.target:
            return each
        if each.mac == wanted.mac.lower():
            same_mac.append(each)
    return same_mac[0] if len(same_mac) == 1 else None


def differences(
    wanted: Interface, attached: GuestInterface, *, guests_side: bool = True
) -> Iterator[str]:
    """Yield each difference between a guest's interface and the one that its VIF would get.

    Without ``guests_side``, the guest may see its NIC in its own way, and have a filter of its own.
    """
    rendered = wanted.to_element()
    if attached.mac != wanted.mac.lower():
        yield f"{attached.title} has the address {attached.mac}, not {wanted.mac.lower()}"
    kind = attached.element.get("type")
    if kind == "network":
        return  # of a guest that is shut off: libvirt makes all else at its start
    if kind != wanted.type:
        yield f"{attached.title} has an interface of type {kind}, not {wanted.type}"
        return  # all else follows from the type
    # The guest's side is the domain's, the tap's name and MTU are libvirt's.
    passed_over = ("mtu", "target") if attached.of_network else ()
    guests_side = guests_side and not attached.of_network
    if wanted.trusted and attached.element.get(TRUST) != "yes":
        yield f"{attached.title} has no {TRUST}"
    for path, attributes in (*_CHOSEN, *(_SEEN if guests_side else ())):
        if path in passed_over:
            continue
        for attribute in attributes:
            needed = _value(rendered, path, attribute)
            current = _value(attached.element, path, attribute)
            # Without a name libvirt chooses the driver by itself.
            chosen = path == "driver" and attribute == "name" and current is None
            if needed is not None and current != needed and not chosen:
                name = path.partition("/")[0]
                yield f"{attached.title} has {name} {attribute} {current}, not {needed}"
    for needed, current in _parameters(rendered, attached.element):
        yield f"{attached.title} has {current}, not {needed}"
    filters = [_value(each, "filterref", "filter") for each in (attached.element, rendered)]
    if filters[0] != filters[1] and (guests_side or filters[1]):
        yield f"{attached.title} has the filter {filters[0]}, not {filters[1]}"


def _parameters(rendered: Any, live: Any) -> Iterator[tuple[str, str]]:
    """Yield the parameters of a virtual port that differ: as needed, and as they are."""
    wanted = rendered.find("virtualport/parameters")
    current = live.find("virtualport/parameters")
    for name, needed in wanted.attrib.items() if wanted is not None else ():
        value = current.get(name) if current is not None else None
        if (value or "").lower() != needed.lower():
            yield f"{name} {needed}", f"{name} {value}"


def _value(element: Any, path: str, attribute: str) -> str | None:
    child = element.find(path)
    value = child.get(attribute) if child is not None else None
    return str(value) if value is not None else None
