# SPDX-License-Identifier: Apache-2.0
"""The VIF: one virtual NIC as the orchestrator asks for it.

Frozen and checked: a VIF that exists is well-formed. Its JSON form is fixed (docs/vif.md); the
fields are those of the LibvirtVIFDrivers blueprint, and what plugins take besides is in
``details``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from vifplug import fields
from vifplug.errors import NO_VIF, InvalidVIF, shown
from vifplug.fields import (
    BOOLEAN,
    CIDR,
    DEVICE,
    IP,
    LINE,
    MAC,
    MTU,
    UUID,
    VLAN,
    WORD,
    Choice,
    Integer,
    Many,
    Record,
    Table,
    Text,
    declared,
)

VNIC_TYPES = (
    "normal",
    "direct",
    "direct-physical",
    "macvtap",
    "vdpa",
    "virtio-forwarder",
    "remote-managed",
)
ALIASES: Mapping[str, str] = {"80211.qbg": "802.1qbg", "80211.qbh": "802.1qbh"}
"""The blueprint's spellings of two vif_types."""

_RATE = Integer(0, 2**32 - 1)
_PROFILE = Text(
    LINE.pattern.pattern.replace("{1,255}", "{1,39}"),
    "a line of 1 to 39 characters without control characters",
)


@dataclass(frozen=True, kw_only=True)
class Subnet:
    """One subnet of the network and the VIF's addresses in it."""

    cidr: str = declared(CIDR)
    gateway: str | None = declared(IP, default=None)
    dhcp_server: str | None = declared(IP, default=None)
    ips: tuple[str, ...] = declared(Many(IP), default=())


@dataclass(frozen=True, kw_only=True)
class Network:
    """The network that the VIF joins, as far as this host must know it.

    ``bridge`` is the bridge's name, ``interface`` the uplink (or the lower device of 802.1Qbg and
    802.1Qbh), ``mtu`` in octets, ``vlan`` the 802.1Q id.
    """

    id: str | None = declared(UUID, default=None)
    label: str | None = declared(LINE, default=None)
    mtu: int | None = declared(MTU, default=None)
    bridge: str | None = declared(DEVICE, default=None)
    interface: str | None = declared(DEVICE, default=None)
    vlan: int | None = declared(VLAN, default=None)
    should_create_bridge: bool = declared(BOOLEAN, default=False)
    should_create_vlan: bool = declared(BOOLEAN, default=False)
    multi_host: bool = declared(BOOLEAN, default=False)
    subnets: tuple[Subnet, ...] = declared(Many(Record(Subnet)), default=())


@dataclass(frozen=True, kw_only=True)
class QoS:
    """Bandwidth limits in libvirt's units: averages and peaks in KiB/s, bursts in KiB."""

    inbound_average: int | None = declared(_RATE, default=None)
    inbound_peak: int | None = declared(_RATE, default=None)
    inbound_burst: int | None = declared(_RATE, default=None)
    outbound_average: int | None = declared(_RATE, default=None)
    outbound_peak: int | None = declared(_RATE, default=None)
    outbound_burst: int | None = declared(_RATE, default=None)


@dataclass(frozen=True, kw_only=True)
class Instance:
    """The VM that the VIF belongs to."""

    uuid: str | None = declared(UUID, default=None)
    name: str | None = declared(LINE, default=None)


@dataclass(frozen=True, kw_only=True)
class VIF:
    """One virtual NIC. Which fields a vif_type needs, its plugin says (``VIFPlugin.required``).

    ``foreign``, no part of the JSON, says that another system's model was read: its details that
    the plugin doesn't know are passed over, and options fill what it lacks.
    """

    id: str = declared(UUID)
    vif_type: str = declared(WORD)
    address: str = declared(MAC)
    devname: str | None = declared(DEVICE, default=None)
    vnic_type: str = declared(Choice(*VNIC_TYPES), default="normal")
    filtered: bool = declared(BOOLEAN, default=False)
    interface_id: str | None = declared(UUID, default=None)
    profile_id: str | None = declared(_PROFILE, default=None)
    manager_id: int | None = declared(Integer(0, 255), default=None)
    type_id: int | None = declared(Integer(0, 0xFFFFFF), default=None)
    type_id_version: int | None = declared(Integer(0, 255), default=None)
    instance_id: str | None = declared(UUID, default=None)
    network: Network = declared(Record(Network), default_factory=Network)
    model: str | None = declared(WORD, default=None)
    driver: str | None = declared(Choice("vhost", "qemu"), default=None)
    queues: int | None = declared(Integer(1, 256), default=None)
    qos: QoS = declared(Record(QoS), default_factory=QoS)
    details: Mapping[str, Any] = declared(Table(), default_factory=dict)
    instance: Instance = declared(Record(Instance), default_factory=Instance)
    foreign: bool = dataclasses.field(default=False, compare=False, repr=False)

    @classmethod
    def from_dict(cls, data: Any, *, lenient: bool = False) -> VIF:
        """Return the VIF that plain data (parsed JSON) describes.

        ``lenient`` passes over unknown fields, for data of another system's newer release, and
        makes the VIF ``foreign``.
        Raises InvalidVIF, which names the VIF, the field, its value and what is allowed.
        """
        vif = fields.load(cls, data, partial(InvalidVIF, _named(data)), lenient=lenient)
        vif_type = ALIASES.get(vif.vif_type, vif.vif_type)
        return dataclasses.replace(vif, vif_type=vif_type, foreign=lenient)

    def to_dict(self) -> dict[str, Any]:
        """Return the VIF as plain data that :meth:`from_dict` reads back."""
        return fields.dump(self)

    def refuse(self, field: str, value: object, allowed: str) -> InvalidVIF:
        """Return the error that says this VIF's field may not hold that value."""
        return InvalidVIF(self.id, field, "missing" if value is None else shown(value), allowed)


def _named(data: Any) -> str:
    """Return the id by which an error names a VIF that may be malformed."""
    vif_id = data.get("id") if isinstance(data, Mapping) else None
    if not isinstance(vif_id, str):
        return NO_VIF
    return vif_id if vif_id.isprintable() and len(vif_id) <= 64 else shown(vif_id)
