# SPDX-License-Identifier: Apache-2.0
"""The guest's side: what becomes libvirt's ``<interface>``.

Source: https://libvirt.org/formatdomain.html#network-interfaces; the order of elements is Nova's,
so that the two can be compared as text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lxml import etree

from vifplug.fields import PCI
from vifplug.model.host import Host
from vifplug.model.use import Use, Uses
from vifplug.model.vif import VIF

_MODELS: Mapping[str, tuple[str, ...]] = {
    "kvm": (
        "virtio",
        "e1000",
        "e1000e",
        "igb",
        "ne2k_pci",
        "pcnet",
        "rtl8139",
        "spapr-vlan",
        "vmxnet3",
    ),
    "parallels": ("virtio", "e1000", "rtl8139"),
    "lxc": (),
}
TRUST = "trustGuestRxFilters"
_BY_DEFAULT_VIRTIO = ("kvm", "qemu", "parallels")


def _may_be_virtio(vif: VIF) -> bool:
    return vif.model in (None, "virtio")


NIC: Uses = (
    "model",
    Use("driver", "with model virtio", _may_be_virtio),
    Use("queues", "with model virtio", _may_be_virtio),
    "qos.inbound_average",
    Use("qos.inbound_peak", "with qos.inbound_average", lambda v: bool(v.qos.inbound_average)),
    Use("qos.inbound_burst", "with qos.inbound_average", lambda v: bool(v.qos.inbound_average)),
    "qos.outbound_average",
    Use("qos.outbound_peak", "with qos.outbound_average", lambda v: bool(v.qos.outbound_average)),
    Use("qos.outbound_burst", "with qos.outbound_average", lambda v: bool(v.qos.outbound_average)),
)
"""The fields of the guest's side, as :meth:`GuestSide.of` uses them."""


TYPES = (
    "bridge",
    "direct",
    "ethernet",
    "hostdev",
    "network",
    "pci",
    "vdpa",
    "vhostuser",
)
"""The types of an interface: libvirt's, and ``pci`` for a ``<hostdev>`` of a whole function."""


@dataclass(frozen=True, kw_only=True)
class VirtualPort:
    """``<virtualport>``: all parameters in one element, since libvirt reads only the first."""

    type: str
    parameters: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class FilterRef:
    """``<filterref>``: the nwfilter's name and its parameters in order."""

    name: str
    parameters: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class GuestSide:
    """What the guest sees of its NIC: model, driver, rings, queues, bandwidth."""

    model: str | None = None
    driver: str | None = None
    queues: int | None = None
    rx_queue_size: str | None = None
    tx_queue_size: str | None = None
    packed: bool = False
    inbound: tuple[tuple[str, int], ...] = ()
    outbound: tuple[tuple[str, int], ...] = ()

    @classmethod
    def of(cls, vif: VIF, host: Host) -> GuestSide:
        """Return the guest's side of a paravirtual or emulated NIC.

        Queues, driver and ring sizes are virtio's only. Bandwidth needs an average in at least
        one direction. Raises InvalidVIF for a model that the hypervisor doesn't have.
        """
        model = vif.model or ("virtio" if host.virt_type in _BY_DEFAULT_VIRTIO else None)
        models = _models(host.virt_type)
        if model and model not in models:
            allowed = f"a model of {host.virt_type}: {', '.join(models) or 'none'}"
            raise vif.refuse("model", model, allowed)
        inbound, outbound = _bandwidth(vif)
        if model != "virtio":
            return cls(model=model, inbound=inbound, outbound=outbound)
        queues = vif.queues if vif.queues and vif.queues > 1 else None
        # libvirt takes vhost for qemu too where it may not be had, so plain qemu is said.
        driver = vif.driver or ("qemu" if host.virt_type == "qemu" else None)
        if driver is None and (queues or host.rx_queue_size):
            driver = "vhost"
        return cls(
            model=model,
            driver=driver,
            queues=queues,
            rx_queue_size=host.rx_queue_size if driver == "vhost" else None,
            inbound=inbound,
            outbound=outbound,
        )

    @classmethod
    def by_socket(cls, vif: VIF, host: Host) -> GuestSide:
        """Return the guest's side of a vhost-user socket: virtio, whose driver is the switch.

        libvirt has no bandwidth limits there. Raises InvalidVIF for another model.
        """
        if vif.model not in (None, "virtio"):
            raise vif.refuse("model", vif.model, "virtio, which is all that vhost-user knows")
        return cls(
            model="virtio",
            queues=vif.queues if vif.queues and vif.queues > 1 else None,
            rx_queue_size=host.rx_queue_size,
            tx_queue_size=host.tx_queue_size,
        )


def left_out(vif: VIF, guest: GuestSide) -> tuple[str, ...]:
    """Return notes on what the VIF asks for and a guest of this hypervisor will not get."""
    notes = []
    if vif.model is None and guest.model != "virtio":
        if vif.queues and vif.queues > 1:
            notes.append(f"queues {vif.queues} left out: only virtio has more than one")
        if vif.driver:
            notes.append(f"driver {vif.driver} left out: only virtio has one")
    return tuple(notes)


def _models(virt_type: str) -> tuple[str, ...]:
    return (*_MODELS["kvm"], "lan9118") if virt_type == "qemu" else _MODELS[virt_type]


def _bandwidth(vif: VIF) -> tuple[tuple[tuple[str, int], ...], tuple[tuple[str, int], ...]]:
    if not (vif.qos.inbound_average or vif.qos.outbound_average):
        return (), ()

    def limits(direction: str) -> tuple[tuple[str, int], ...]:
        values = {w: getattr(vif.qos, f"{direction}_{w}") for w in ("average", "peak", "burst")}
        # libvirt takes peak and burst only beside an average.
        return tuple((w, v) for w, v in values.items() if v) if values["average"] else ()

    return limits("inbound"), limits("outbound")


@dataclass(frozen=True, kw_only=True)
class Interface:
    """One ``<interface>``: how the guest is attached, and what it sees.

    ``source`` are the attributes of ``<source>``. ``managed`` False says that libvirt neither
    makes nor removes the target. ``trusted``: libvirt gives a macvtap the address and the groups
    that its guest chooses. ``pci`` is the address of a function that the guest gets whole; of type
    ``pci`` it gets it as any other device, in a ``<hostdev>``, and ``mac`` says nothing.
    """

    type: str
    mac: str
    guest: GuestSide
    source: tuple[tuple[str, str], ...] = ()
    mtu: int | None = None
    vlan: int | None = None
    target: str | None = None
    managed: bool | None = None
    virtualport: VirtualPort | None = None
    filterref: FilterRef | None = None
    pci: str | None = None
    trusted: bool = False

    def __post_init__(self) -> None:
        if self.type not in TYPES:
            raise ValueError(f"an interface of type {self.type!r}; allowed: {', '.join(TYPES)}")

    def to_element(self) -> Any:
        """Return the interface as an lxml element."""
        if self.type == "pci":
            root = etree.Element("hostdev", mode="subsystem", type="pci", managed="yes")
            _add_function(root, self.pci, type=None)
            return root
        root = etree.Element("interface", type=self.type)
        if self.pci:
            root.set("managed", "yes")
        if self.trusted:
            root.set(TRUST, "yes")
        _add(root, "mac", address=self.mac)
        if self.guest.model:
            _add(root, "model", type=self.guest.model)
        driver = {
            "name": self.guest.driver,
            "packed": "on" if self.guest.packed else None,
            "queues": self.guest.queues,
            "rx_queue_size": self.guest.rx_queue_size,
            "tx_queue_size": self.guest.tx_queue_size,
        }
        if any(driver.values()):
            _add(root, "driver", **driver)
        if self.pci:
            _add_function(root, self.pci)
        if self.source:
            _add(root, "source", **dict(self.source))
        if self.mtu:
            _add(root, "mtu", size=self.mtu)
        if self.vlan:
            _add(_add(root, "vlan"), "tag", id=self.vlan)
        if self.target:
            _add(root, "target", dev=self.target, managed=_YES_NO[self.managed])
        if self.virtualport:
            port = _add(root, "virtualport", type=self.virtualport.type)
            if self.virtualport.parameters:
                _add(port, "parameters", **dict(self.virtualport.parameters))
        if self.filterref:
            _add_filter(root, self.filterref)
        if self.guest.inbound or self.guest.outbound:
            bandwidth = _add(root, "bandwidth")
            for direction in ("inbound", "outbound"):
                if limits := getattr(self.guest, direction):
                    _add(bandwidth, direction, **dict(limits))
        return root

    def to_xml(self) -> str:
        """Return the interface as XML text, two spaces a level, without a final newline."""
        return etree.tostring(self.to_element(), pretty_print=True, encoding="unicode").rstrip()


_YES_NO = {None: None, True: "yes", False: "no"}


def _add(parent: Any, tag: str, **attributes: Any) -> Any:
    given = {name: str(value) for name, value in attributes.items() if value is not None}
    return etree.SubElement(parent, tag, given)


def _add_function(root: Any, address: str | None, type: str | None = "pci") -> None:
    domain, bus, slot, function = re.split("[:.]", PCI.check(address, lenient=False))
    source = _add(root, "source")
    where = {"domain": domain, "bus": bus, "slot": slot, "function": function}
    _add(source, "address", type=type, **{name: f"0x{word}" for name, word in where.items()})


def _add_filter(root: Any, filterref: FilterRef) -> None:
    element = _add(root, "filterref", filter=filterref.name)
    for name, value in filterref.parameters:
        _add(element, "parameter", name=name, value=value)
