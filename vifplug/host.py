# SPDX-License-Identifier: Apache-2.0
"""The host as planning may know it: a plain value, without any way to change or read the real one.

Tests build it from ``host.json``. In production ``vifplug.look`` fills it from the running host,
each link read when it is first asked for, and kept: planning sees one consistent snapshot.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vifplug import fields
from vifplug.errors import InvalidHost
from vifplug.fields import (
    BOOLEAN,
    CIDR,
    DEVICE,
    MTU,
    PCI,
    WORD,
    Choice,
    Integer,
    Many,
    Record,
    Table,
    Text,
    declared,
)
from vifplug.mark import Mark
from vifplug.ovs import Ovs, PlannedOvs

TAKES_FRAMES = ("macvlan", "macvtap", "ipvlan", "ipvtap")
"""Kinds of device that take the frames of the one they lie on."""

VIRT_TYPES = ("kvm", "qemu", "parallels", "lxc")
ASSUMED_LIBVIRT = "9.0.0"
"""The libvirt version that plans assume where none can be found; they say so."""

_VERSION = Text(r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}", "a version, as 9.0.0")
_ALTNAME = Text(r"[^\s]{1,127}", "an alternative name of 1 to 127 characters")
_QUEUE = Choice("256", "512", "1024")
_COUNT = Integer(0, 2**31 - 1)


NO_ADDRESS = "00:00:00:00:00:00"
"""The MAC address of a virtual function that nobody gave one."""

_VF_ADDRESS = Text(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", "a MAC address")


@dataclass(frozen=True, kw_only=True)
class Vf:
    """What a physical function lets one of its virtual functions do; None: it can't be set."""

    address: str = declared(_VF_ADDRESS, default=NO_ADDRESS)
    vlan: int = declared(Integer(0, 4095), default=0)
    qos: int = declared(Integer(0, 7), default=0)
    spoofchk: bool | None = declared(BOOLEAN, default=None)
    trust: bool | None = declared(BOOLEAN, default=None)


@dataclass(frozen=True, kw_only=True)
class PciFunction:
    """A PCI function: its device ``netdev`` where a driver of the host has made one.

    ``network``: it is a network card's.
    For a virtual function, ``pf`` is the physical function's device, ``vf`` its number there, and
    ``vdpa`` the file of the vhost-vdpa device that was made of it.
    """

    netdev: str | None = declared(DEVICE, default=None)
    network: bool = declared(BOOLEAN, default=True)
    virtual: bool = declared(BOOLEAN, default=False)
    pf: str | None = declared(DEVICE, default=None)
    vf: int | None = declared(_COUNT, default=None)
    vdpa: str | None = declared(fields.LINE, default=None)


@dataclass(frozen=True, kw_only=True)
class Edge:
    """What lldpad says of the switch that a device is wired to (IEEE 802.1Qbg).

    ``evb``: it bridges virtual stations, with reflective relay. None: nobody here may ask, and
    ``why`` says so, or what is missing.
    """

    evb: bool | None = declared(BOOLEAN, default=None)
    why: str = declared(fields.LINE, default="nobody has asked lldpad")


@dataclass(frozen=True, kw_only=True)
class Link:
    """One network device. What a kind of device does not have, or nobody read, is None.

    ``kind`` is the kernel's (bridge, veth, vlan, macvtap ...), with tap and tun told apart, and
    physical or loopback where the kernel has none. ``lower`` is the device that this one lies on,
    for a veth its other end; ``stacked``: the kernel tells of such a device, wherever that may be.
    ``mode`` is a macvlan's or macvtap's, ``pci`` the address of the function whose device this is.
    ``switch_id`` and ``port_name`` are those of a port of a network card's own switch (switchdev).
    ``forward_delay`` and ``ageing_time`` are in hundredths of a second.
    A running host reads ``addresses``, ``routes``, ``manager``, ``driver``, ``vfs`` (by number) and
    ``held`` only when they are asked for, by the Host's methods of these names.
    """

    kind: str = declared(WORD)
    index: int = declared(_COUNT, default=0)
    mtu: int = declared(_COUNT, default=1500)
    up: bool = declared(BOOLEAN, default=False)
    carrier: bool = declared(BOOLEAN, default=False)
    address: str | None = declared(fields.LINE, default=None)
    master: str | None = declared(DEVICE, default=None)
    altnames: tuple[str, ...] = declared(Many(_ALTNAME), default=())
    addresses: tuple[str, ...] = declared(Many(CIDR), default=())
    routes: tuple[str, ...] = declared(Many(fields.LINE), default=())
    manager: str | None = declared(fields.LINE, default=None)
    lower: str | None = declared(DEVICE, default=None)
    stacked: bool = declared(BOOLEAN, default=False)
    vlan: int | None = declared(_COUNT, default=None)
    mode: str | None = declared(WORD, default=None)
    pci: str | None = declared(PCI, default=None)
    driver: str | None = declared(fields.LINE, default=None)
    switch_id: str | None = declared(fields.LINE, default=None)
    port_name: str | None = declared(fields.LINE, default=None)
    vfs: Mapping[str, Vf] = declared(Table(Record(Vf)), default_factory=dict)
    held: bool | None = declared(BOOLEAN, default=None)
    ipv6: bool | None = declared(BOOLEAN, default=None)
    arp_ignore: int | None = declared(_COUNT, default=None)
    arp_announce: int | None = declared(_COUNT, default=None)
    accept_ra: int | None = declared(_COUNT, default=None)
    forward_delay: int | None = declared(_COUNT, default=None)
    stp: bool | None = declared(BOOLEAN, default=None)
    ageing_time: int | None = declared(_COUNT, default=None)
    multicast_snooping: bool | None = declared(BOOLEAN, default=None)
    multi_queue: bool | None = declared(BOOLEAN, default=None)

    @property
    def marks(self) -> tuple[Mark, ...]:
        """The marks and claims among the alternative names."""
        return tuple(mark for name in self.altnames if (mark := Mark.parse(name)))

    def but(self, changes: Mapping[str, Any]) -> Link:
        """Return it with some attributes changed: dataclasses.replace() in a tenth of its time."""
        changed = object.__new__(Link)
        changed.__dict__.update(self.__dict__)
        changed.__dict__.update(changes)
        return changed


class Links(Mapping[str, Link]):
    """The host's devices by name. This one holds them all; that of ``look`` reads on demand."""

    def __init__(self, links: Mapping[str, Link]) -> None:
        self._links = dict(links)

    def __getitem__(self, name: str) -> Link:
        return self._links[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._links)

    def __len__(self) -> int:
        return len(self._links)

    def expect(self, names: Iterable[str]) -> None:
        """Note names and alternative names that will be asked for, so that one look finds all."""

    def read_ahead(self) -> None:
        """Read what is expected now, rather than when it is first asked for."""

    def carrying(self, altname: str) -> tuple[str, Link] | None:
        """Return the device that has this alternative name."""
        return next(((n, k) for n, k in self.items() if altname in k.altnames), None)

    def marked(self, vif_id: str) -> dict[str, Link]:
        """Return the devices that carry a mark or claim of the VIF."""
        return {n: k for n, k in self.items() if any(m.vif_id == vif_id for m in k.marks)}

    def ports(self, bridge: str) -> dict[str, Link]:
        """Return the devices that are ports of this bridge (or have it as another master)."""
        return {name: link for name, link in self.items() if link.master == bridge}

    def addresses(self, name: str) -> tuple[str, ...]:
        """Return the device's IP addresses, with their prefix lengths."""
        return self[name].addresses if name in self else ()

    def routes(self, name: str) -> tuple[str, ...]:
        """Return the routes through the device."""
        return self[name].routes if name in self else ()

    def manager(self, name: str) -> str | None:
        """Return the network service that looks after the device, if one does."""
        return self[name].manager if name in self else None

    def driver(self, name: str) -> str | None:
        """Return the name of the driver that made the device, as the kernel has it."""
        return self[name].driver if name in self else None

    def held(self, name: str) -> bool | None:
        """Whether a process has the macvtap open; None where that can't be seen."""
        return self[name].held if name in self else None

    def vf(self, name: str, number: int) -> Vf | None:
        """Return what a physical function lets a virtual one do."""
        return self[name].vfs.get(str(number)) if name in self else None


class Planned(Links):
    """The devices as they will be: those of a base, with the changes that planning has noted.

    A scratch pad: unlike the rest of a Host it changes, so that a batch of thousands plans fast.
    """

    def __init__(self, base: Links) -> None:
        super().__init__({})
        self._base = base
        self._changed: dict[str, Link | None] = {}
        self._altnames: dict[str, str] = {}
        self._addresses: dict[str, tuple[str, ...]] = {}
        self._routes: dict[str, tuple[str, ...]] = {}
        self._vfs: dict[tuple[str, int], Vf] = {}

    def put_vf(self, name: str, number: int, vf: Vf) -> None:
        """Note what a virtual function may do as it will be."""
        self._vfs[name, number] = vf

    def put_addressing(
        self, name: str, addresses: tuple[str, ...], routes: tuple[str, ...]
    ) -> None:
        """Note a device's addresses and routes as they will be."""
        self._addresses[name], self._routes[name] = addresses, routes

    def put(self, name: str, after: Link | None) -> None:
        """Note a device as made or changed, or as gone."""
        before = self.get(name)
        old, new = before.altnames if before else (), after.altnames if after else ()
        if name not in self._changed:
            old = ()  # the base's, which are not noted here yet
        self._changed[name] = after
        # The usual change adds one name to thousands: only what differs is walked through.
        grown = new[: len(old)] == old
        for altname in () if grown else old:
            self._altnames.pop(altname, None)
        for altname in new[len(old) :] if grown else new:
            self._altnames[altname] = name

    def __getitem__(self, name: str) -> Link:
        if name not in self._changed:
            return self._base[name]
        link = self._changed[name]
        if link is None:
            raise KeyError(name)
        return link

    def __iter__(self) -> Iterator[str]:
        yield from (name for name in self._base if name not in self._changed)
        yield from (name for name, link in self._changed.items() if link)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def carrying(self, altname: str) -> tuple[str, Link] | None:
        """Return the device that has, or will have, this alternative name."""
        if altname in self._altnames:
            return self._altnames[altname], self[self._altnames[altname]]
        found = self._base.carrying(altname)
        return None if found and found[0] in self._changed else found

    def marked(self, vif_id: str) -> dict[str, Link]:
        """Return the devices that carry, or will carry, a mark or claim of the VIF."""
        base = self._base.marked(vif_id)
        kept = {name: link for name, link in base.items() if name not in self._changed}
        there = ((name, link) for name, link in self._changed.items() if link)
        return kept | {n: k for n, k in there if any(m.vif_id == vif_id for m in k.marks)}

    def addresses(self, name: str) -> tuple[str, ...]:
        """Return the IP addresses that the device has, or will have."""
        return self._addresses[name] if name in self._addresses else self._base.addresses(name)

    def routes(self, name: str) -> tuple[str, ...]:
        """Return the routes that go, or will go, through the device."""
        return self._routes[name] if name in self._routes else self._base.routes(name)

    def manager(self, name: str) -> str | None:
        """Return the network service that looks after the device."""
        return self._base.manager(name)

    def driver(self, name: str) -> str | None:
        """Return the name of the driver that made the device."""
        return self._base.driver(name)

    def held(self, name: str) -> bool | None:
        """Whether a process has the macvtap open."""
        return self._base.held(name)

    def vf(self, name: str, number: int) -> Vf | None:
        """Return what a physical function lets, or will let, a virtual one do."""
        return self._vfs.get((name, number)) or self._base.vf(name, number)


@dataclass(frozen=True, kw_only=True)
class Host:
    """What ``wire()`` and planning may ask.

    ``mtu`` is that of a network which names none; ``rx_queue_size`` and ``tx_queue_size`` are the
    guest's ring sizes where configured; ``tun``: taps can be made. ``ovs`` is None where nobody
    looked. ``pci`` are network cards' functions by address, ``edges`` what lldpad says by device,
    None where nobody looked. ``found`` says of each fact where it comes from.
    """

    libvirt_version: str = declared(_VERSION, default=ASSUMED_LIBVIRT)
    virt_type: str = declared(Choice(*VIRT_TYPES), default="kvm")
    firewall: bool = declared(BOOLEAN, default=False)
    mtu: int = declared(MTU, default=1500)
    rx_queue_size: str | None = declared(_QUEUE, default=None)
    tx_queue_size: str | None = declared(_QUEUE, default=None)
    kernel: str = declared(_VERSION, default="6.1.0")
    tun: bool = declared(BOOLEAN, default=True)
    ovs: Ovs | None = declared(Record(Ovs), default=None)
    links: Mapping[str, Link] = declared(Table(Record(Link)), default_factory=dict)
    pci: Mapping[str, PciFunction] = declared(Table(Record(PciFunction)), default_factory=dict)
    edges: Mapping[str, Edge] | None = declared(Table(Record(Edge)), default=None)
    found: Mapping[str, str] = declared(Table(fields.LINE), default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.links, Links):
            object.__setattr__(self, "links", Links(self.links))

    @classmethod
    def from_dict(cls, data: Any) -> Host:
        """Return the host that plain data (host.json) describes. Raises InvalidHost."""
        return fields.load(cls, data, InvalidHost)

    @property
    def _links(self) -> Links:
        assert isinstance(self.links, Links)  # noqa: S101 - made so in __post_init__
        return self.links

    def libvirt_at_least(self, *version: int) -> bool:
        """Whether the host's libvirt is of this version or newer."""
        return tuple(int(word) for word in self.libvirt_version.split(".")) >= version

    def expect(self, names: Iterable[str]) -> None:
        """Note names and alternative names that will be asked for, so that one look finds all."""
        self._links.expect(names)

    def read_ahead(self) -> None:
        """Read what is expected now, rather than when it is first asked for."""
        self._links.read_ahead()

    def link(self, name: str) -> Link | None:
        """Return the device of this name, or None."""
        return self.links.get(name)

    def carrying(self, altname: str) -> tuple[str, Link] | None:
        """Return the name and device that has this alternative name, or None."""
        return self._links.carrying(altname)

    def marked(self, vif_id: str) -> dict[str, Link]:
        """Return by name the devices that carry a mark or claim of the VIF."""
        return self._links.marked(vif_id)

    def ports(self, bridge: str) -> dict[str, Link]:
        """Return by name the ports of a bridge."""
        return self._links.ports(bridge)

    def addresses(self, name: str) -> tuple[str, ...]:
        """Return the device's IP addresses with their prefix lengths.

        Without the IPv6 link-local one that each link gives itself.
        """
        return self._links.addresses(name)

    def routes(self, name: str) -> tuple[str, ...]:
        """Return the routes through the device, in ip-route(8)'s words.

        Without those that the kernel makes for each link and address by itself (table local).
        """
        return self._links.routes(name)

    def manager(self, name: str) -> str | None:
        """Return the network service that looks after the device (NetworkManager ...), or None."""
        return self._links.manager(name)

    def driver(self, name: str) -> str | None:
        """Return the name of the driver that made the device, as the kernel itself has it."""
        return self._links.driver(name)

    def held(self, name: str) -> bool | None:
        """Whether a process, such as a guest, has this macvtap open; None if nobody here may look.

        Who may not look has to take it for held.
        """
        return self._links.held(name)

    def vf(self, name: str, number: int) -> Vf | None:
        """Return what the physical function of this name lets a virtual one do."""
        return self._links.vf(name, number)

    def lying_on(self, name: str) -> dict[str, Link]:
        """Return by name the macvlans, macvtaps and ipvlans that lie on a device."""
        return {n: k for n, k in self.links.items() if k.lower == name and k.kind in TAKES_FRAMES}

    def planning(self) -> Host:
        """Return this host with scratch pads, on which plans note what they will have made.

        A host that has them already is returned as it is: its plans build on one another.
        """
        if isinstance(self.links, Planned):
            return self
        ovs = None if self.ovs is None else PlannedOvs.on(self.ovs)
        return dataclasses.replace(self, links=Planned(self._links), ovs=ovs)

    @property
    def planned_links(self) -> Planned:
        """The scratch pad for devices, of a host that is being planned."""
        assert isinstance(self.links, Planned)  # noqa: S101 - planning() came first
        return self.links

    @property
    def planned_ovs(self) -> PlannedOvs:
        """The scratch pad for Open vSwitch, of a host that is being planned."""
        assert isinstance(self.ovs, PlannedOvs)  # noqa: S101 - planning() came first
        return self.ovs
