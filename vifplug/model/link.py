# SPDX-License-Identifier: Apache-2.0
"""A network device, and the functions of a network card, as planning may know them. Pure."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vifplug import fields
from vifplug.fields import (
    BOOLEAN,
    CIDR,
    DEVICE,
    PCI,
    WORD,
    Integer,
    Many,
    Record,
    Table,
    Text,
    declared,
)
from vifplug.model.mark import Mark, SharedMark

TAKES_FRAMES = ("macvlan", "macvtap", "ipvlan", "ipvtap")
"""Kinds of device that take the frames of the one they lie on."""

KEEPS_BRIDGES_OFF = (*TAKES_FRAMES, "dsa", "macsec", "rmnet")
"""Kinds of device that take the frames of the one they lie on before a bridge could."""

DOT1Q = "802.1Q"
"""The protocol of the usual VLAN; 802.1ad is that of a provider's."""

_ALTNAME = Text(r"[^\s]{1,127}", "an alternative name of 1 to 127 characters")
_COUNT = Integer(0, 2**31 - 1)
_HUNDREDTHS = 100

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
class Link:
    """One network device. What a kind of device does not have, or nobody read, is None.

    ``kind`` is the kernel's (bridge, veth, vlan, macvtap ...), with tap and tun told apart, and
    physical or loopback where the kernel has none. ``lower`` is the device that this one lies on,
    for a veth its other end; ``stacked``: the kernel tells of such a device, wherever that may be.
    ``ethernet``: it carries Ethernet frames. ``vlan`` is the id of a VLAN device, ``protocol`` its
    protocol. ``mode`` is a macvlan's or macvtap's, ``pci`` the address of the function whose device
    this is.
    ``switch_id`` and ``port_name`` are those of a port of a network card's own switch (switchdev).
    ``forward_delay`` and ``ageing_time`` are in hundredths of a second. With ``vlan_filtering`` a
    bridge gives a new port the VLAN ``default_pvid``, or with 0 none.
    ``naming`` is what else of the host names the device, ``sysctls`` are those on the host's own
    traffic.
    A running host reads ``addresses``, ``routes``, ``neighbours``, ``naming``, ``sysctls``,
    ``manager``, ``driver``, ``vfs`` (by number), ``held`` and ``station`` (of a wireless network,
    without 4-address frames) only when they are asked for, by the Host's methods of these names; so
    also ``claims``, each as the text of a Mark.
    """

    kind: str = declared(WORD)
    index: int = declared(_COUNT, default=0)
    mtu: int = declared(_COUNT, default=1500)
    up: bool = declared(BOOLEAN, default=False)
    carrier: bool = declared(BOOLEAN, default=False)
    address: str | None = declared(fields.LINE, default=None)
    master: str | None = declared(DEVICE, default=None)
    altnames: tuple[str, ...] = declared(Many(_ALTNAME), default=())
    claims: tuple[str, ...] = declared(Many(_ALTNAME, most=1 << 16), default=())
    addresses: tuple[str, ...] = declared(Many(CIDR), default=())
    routes: tuple[str, ...] = declared(Many(fields.LINE), default=())
    neighbours: tuple[str, ...] = declared(Many(fields.LINE), default=())
    naming: tuple[str, ...] = declared(Many(fields.LINE), default=())
    sysctls: Mapping[str, int] = declared(Table(Integer(-(2**31), 2**31 - 1)), default_factory=dict)
    manager: str | None = declared(fields.LINE, default=None)
    lower: str | None = declared(DEVICE, default=None)
    stacked: bool = declared(BOOLEAN, default=False)
    ethernet: bool = declared(BOOLEAN, default=True)
    vlan: int | None = declared(_COUNT, default=None)
    protocol: str = declared(WORD, default=DOT1Q)
    mode: str | None = declared(WORD, default=None)
    pci: str | None = declared(PCI, default=None)
    driver: str | None = declared(fields.LINE, default=None)
    switch_id: str | None = declared(fields.LINE, default=None)
    port_name: str | None = declared(fields.LINE, default=None)
    vfs: Mapping[str, Vf] = declared(Table(Record(Vf)), default_factory=dict)
    held: bool | None = declared(BOOLEAN, default=None)
    station: bool = declared(BOOLEAN, default=False)
    ipv6: bool | None = declared(BOOLEAN, default=None)
    arp_ignore: int | None = declared(_COUNT, default=None)
    arp_announce: int | None = declared(_COUNT, default=None)
    accept_ra: int | None = declared(_COUNT, default=None)
    forward_delay: int | None = declared(_COUNT, default=None)
    stp: bool | None = declared(BOOLEAN, default=None)
    ageing_time: int | None = declared(_COUNT, default=None)
    multicast_snooping: bool | None = declared(BOOLEAN, default=None)
    multi_queue: bool | None = declared(BOOLEAN, default=None)
    vlan_filtering: bool | None = declared(BOOLEAN, default=None)
    default_pvid: int | None = declared(_COUNT, default=None)

    @property
    def marks(self) -> tuple[Mark, ...]:
        """The VIFs' marks among the alternative names: of a device that is a VIF's own."""
        return _marks_in(self.altnames)

    @property
    def silence(self) -> float:
        """Seconds for which STP, where a bridge has it on, lets a new port pass nothing."""
        return 2 * (self.forward_delay or 0) / _HUNDREDTHS if self.stp else 0

    @property
    def owners(self) -> frozenset[str]:
        """The ids of the VIFs whose marks the device bears."""
        return frozenset(mark.vif_id for mark in self.marks)

    @property
    def shared_marks(self) -> tuple[SharedMark, ...]:
        """The marks of a shared device among the alternative names."""
        return tuple(mark for name in self.altnames if (mark := SharedMark.parse(name)))

    def but(self, changes: Mapping[str, Any]) -> Link:
        """Return it with some attributes changed: dataclasses.replace() in a tenth of its time."""
        changed = object.__new__(Link)
        changed.__dict__.update(self.__dict__)
        changed.__dict__.update(changes)
        return changed


@functools.lru_cache(maxsize=1 << 10)
def _marks_in(altnames: tuple[str, ...]) -> tuple[Mark, ...]:
    """Return the VIFs' marks among names. A plan asks for those of a device time and again."""
    return tuple(mark for name in altnames if (mark := Mark.parse(name)))


def is_bridge(link: Link | None) -> bool:
    """Whether a device is there and is a Linux bridge."""
    return link is not None and link.kind == "bridge"


def joins_no_bridge(link: Link) -> str | None:
    """Return why the kernel lets no bridge have a device as its port; None where it may."""
    if link.kind in ("bridge", "macvtap"):
        return f"is a {link.kind} device"
    return carries_no_vlan(link)


def carries_no_vlan(link: Link) -> str | None:
    """Return why no VLAN device of use can lie on a device; None where one can."""
    if link.kind in ("ipvlan", "ipvtap", "loopback", "vrf"):
        return f"is a {link.kind} device"
    if not link.ethernet:
        return f"is a {link.kind} device, which has no Ethernet frames"
    # An address of all zeros, and one of a group of hosts, are no device's.
    if link.address and (link.address == NO_ADDRESS or int(link.address[:2], 16) & 1):
        return f"has the MAC address {link.address}"
    return None


def carries_no_macvtap(link: Link) -> str | None:
    """Return why the kernel puts no macvtap on a device; None where it does."""
    # On a macvlan or a macvtap it means the device that this one lies on.
    if link.kind in (*TAKES_FRAMES, "loopback", "vrf"):
        return f"is a {link.kind} device"
    return None if link.ethernet else f"is a {link.kind} device, which has no Ethernet frames"


def is_vlan(link: Link | None, lower: str, vlan: int) -> bool:
    """Whether a device is there and is the 802.1Q device of an id on another device."""
    return link is not None and (link.kind, link.lower, link.vlan, link.protocol) == (
        "vlan",
        lower,
        vlan,
        DOT1Q,
    )
