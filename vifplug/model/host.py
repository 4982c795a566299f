# SPDX-License-Identifier: Apache-2.0
"""The host as planning may know it: a plain value, without any way to change or read the real one.

Tests build it from ``host.json``. In production ``vifplug.query`` fills it from the running host.
It reads each device when planning first asks for it, and keeps it: one consistent snapshot.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from vifplug import fields
from vifplug.errors import InvalidHost
from vifplug.fields import BOOLEAN, MTU, Choice, Integer, Many, Record, Table, Text, declared
from vifplug.model.claims import ClaimFiles
from vifplug.model.link import TAKES_FRAMES, Link, PciFunction, Vf
from vifplug.model.links import Links, Planned
from vifplug.model.mark import Mark
from vifplug.model.reached import Reached
from vifplug.model.snapshot import Snapshot, Trace, traces_of

S = TypeVar("S", bound=Snapshot)

VIRT_TYPES = ("kvm", "qemu", "parallels", "lxc")
BATCH = 8
"""From so many VIFs on, the host is read in one dump instead of device by device."""

ASSUMED_LIBVIRT = "9.0.0"
"""The libvirt version that plans assume where none can be found; they say so."""

_VERSION = Text(r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}", "a version, as 9.0.0")
_QUEUE = Choice("256", "512", "1024")
_SETTING = Integer(-(2**31), 2**31 - 1)


@dataclass(frozen=True, kw_only=True)
class Host:
    """What ``wire()`` and planning may ask.

    ``mtu`` is that of a network which names none; ``rx_queue_size`` and ``tx_queue_size`` are the
    guest's ring sizes where configured; ``tun``: taps can be made. ``fixed`` is None where sysctls
    can be written, else what each is on a new device. ``pci`` are network cards' functions by
    address. ``switches`` are the snapshots of the switches that were read, by their keys. ``found``
    says of each fact where it comes from. ``allowed`` are patterns of names, by the option that
    lists them; without it all are allowed. ``asked`` are the ids of the VIFs for which the host is
    read, where the caller knows no more of these.
    """

    libvirt_version: str = declared(_VERSION, default=ASSUMED_LIBVIRT)
    virt_type: str = declared(Choice(*VIRT_TYPES), default="kvm")
    firewall: bool = declared(BOOLEAN, default=False)
    mtu: int = declared(MTU, default=1500)
    rx_queue_size: str | None = declared(_QUEUE, default=None)
    tx_queue_size: str | None = declared(_QUEUE, default=None)
    kernel: str = declared(_VERSION, default="6.1.0")
    tun: bool = declared(BOOLEAN, default=True)
    fixed: Mapping[str, int] | None = declared(Table(_SETTING), default=None)
    links: Mapping[str, Link] = declared(Table(Record(Link)), default_factory=dict)
    pci: Mapping[str, PciFunction] = declared(Table(Record(PciFunction)), default_factory=dict)
    found: Mapping[str, str] = declared(Table(fields.LINE), default_factory=dict)
    switches: Mapping[str, Snapshot] = dataclasses.field(default_factory=dict)
    allowed: Mapping[str, tuple[str, ...]] = declared(
        Table(Many(fields.LINE)), default_factory=dict
    )
    asked: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.links, Links):
            object.__setattr__(self, "links", Links(self.links))

    @classmethod
    def from_dict(cls, data: Any, snapshots: Iterable[type[Snapshot]] = ()) -> Host:
        """Return the host that plain data (host.json) describes. Raises InvalidHost.

        ``snapshots`` are the kinds of switch that the data may hold, each under its own key.
        """
        known = {kind.key: kind for kind in snapshots}
        own = {k: v for k, v in data.items() if k not in known} if known else data
        switches = {
            key: kind.from_dict(data[key], InvalidHost)
            for key, kind in known.items()
            if data.get(key) is not None
        }
        return dataclasses.replace(fields.load(cls, own, InvalidHost), switches=switches)

    @property
    def _links(self) -> Links:
        # Made so in __post_init__. A plan asks often, and isinstance() of a Mapping takes long.
        return cast("Links", self.links)

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
        """Return by name the devices that carry a mark of the VIF: its own devices."""
        return self._links.marked(vif_id)

    def claims(self, name: str) -> tuple[Mark, ...]:
        """Return the claims on a device: who uses it, and the values that unplug gives back."""
        return self._links.claims(name)

    def claimants(self, name: str) -> set[str]:
        """Return the ids of the VIFs that claim a device."""
        return self._links.claimants(name)

    def claims_of(self, vif_id: str) -> tuple[tuple[str, Mark], ...]:
        """Return a VIF's claims, each with the name of the device that it is on."""
        return self._links.claims_of(vif_id)

    def namesakes(self, vif_id: str) -> frozenset[str]:
        """Return the ids of other VIFs here whose devices would have the same names."""
        return self._links.namesakes(vif_id)

    @property
    def claim_files(self) -> ClaimFiles:
        """The claims on the bridges of switches, for the readers of these."""
        return self._links.claim_files

    def switch(self, kind: type[S]) -> S | None:
        """Return the snapshot of a switch of this kind, or None where no reader has read it."""
        found = self.switches.get(kind.key)
        return found if isinstance(found, kind) else None

    def traces(self, vif_id: str, interface_id: str | None = None) -> tuple[Trace, ...]:
        """Return what all switches have of a VIF, whoever made it."""
        every = self.switches.values()
        return tuple(trace for one in every for trace in traces_of(one, vif_id, interface_id))

    def other_holder(self, interface_id: str, vif_id: str) -> str | None:
        """Return the id of another VIF to which a switch gives an interface id.

        None: the VIF that asks, ``vif_id``, has the interface id or may have it.
        """
        every = (each.other_holder(interface_id, vif_id) for each in self.switches.values())
        return next((holder for holder in every if holder), None)

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

    def neighbours(self, name: str) -> tuple[str, ...]:
        """Return the device's permanent neighbours: IP address and MAC address of each."""
        return self._links.neighbours(name)

    def naming(self, name: str) -> tuple[str, ...]:
        """Return what else of the host names the device: rules, and addresses it stands for."""
        return self._links.naming(name)

    def sysctls(self, name: str) -> Mapping[str, int]:
        """Return the device's sysctls on the host's IP traffic, or those of a new device."""
        return self._links.sysctls(name)

    def sysctl(self, name: str, setting: str) -> int | None:
        """Return one of ``vifplug.operations.sysctls.ALLOWED``: of the device, or of a new one.

        None: the kernel has none of this name, or the plan makes the device and has not set it.
        """
        return self._links.sysctl(name, setting)

    def reached(self, to: str) -> Reached | None:
        """Return how the host reaches an IP address; None where it does not."""
        return self._links.reached(to)

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

    def station(self, name: str) -> bool:
        """Whether the device is a station of a wireless network, without 4-address frames."""
        return self._links.station(name)

    def makes(self, kind: str) -> bool:
        """Whether a device of this kind can be made."""
        return self.tun if kind == "tap" else self._links.makes(kind)

    def uplinks(self) -> dict[str, Link]:
        """Return by name the devices that bear the mark of an uplink."""
        return self._links.uplinks()

    def vf(self, name: str, number: int) -> Vf | None:
        """Return what the physical function of this name lets a virtual one do."""
        return self._links.vf(name, number)

    def lying_on(self, name: str, kinds: Sequence[str] = TAKES_FRAMES) -> dict[str, Link]:
        """Return by name the devices of some kinds, such as macvtaps, that lie on a device."""
        return {n: k for n, k in self._links.above(name).items() if k.kind in kinds}

    def planning(self) -> Host:
        """Return this host with scratch pads, on which plans note what they will have made.

        A host that has them already is returned as it is: its plans build on one another.
        """
        return self if isinstance(self.links, Planned) else self.trial()

    def trial(self) -> Host:
        """Return this host with scratch pads of its own, on top of those that it may have."""
        switches = {key: snapshot.planning() for key, snapshot in self.switches.items()}
        return dataclasses.replace(self, links=Planned(self._links), switches=switches)

    @property
    def planned_links(self) -> Planned:
        """The scratch pad for devices, of a host that is being planned."""
        assert isinstance(self.links, Planned)  # noqa: S101 - planning() came first
        return self.links
