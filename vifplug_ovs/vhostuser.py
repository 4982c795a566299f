# SPDX-License-Identifier: Apache-2.0
"""The parts of a VIF whose guest is attached by a vhost-user socket. Pure: see VIFPlugin.wire.

Source: Nova's and os-vif's vhostuser; Open vSwitch's "DPDK vHost User Ports".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from posixpath import basename
from typing import ClassVar

from vifplug.errors import Conflict
from vifplug.fields import BOOLEAN, Choice, declared
from vifplug.guest.interface import GuestSide, Interface, left_out
from vifplug.model.host import Host
from vifplug.model.mark import derived_name
from vifplug.model.use import Use, Uses
from vifplug.model.vif import VIF
from vifplug.parts import Part
from vifplug.plugin import Check
from vifplug.wiring import Wiring
from vifplug_ovs import opts
from vifplug_ovs import ports as switch
from vifplug_ovs.names import DRIVERS, VHOST_USER, within
from vifplug_ovs.parts import DATAPATHS, KINDS, SOCKET
from vifplug_ovs.snapshot import VHOST_USER as PORT_TYPES
from vifplug_ovs.snapshot import Ovs
from vifplug_ovs.switched import Switched

_SERVER, _CLIENT = "server", "client"
_TYPES = dict(zip((_CLIENT, _SERVER), PORT_TYPES, strict=True))
"""The type of port by the guest's role; the switch has the other role."""


@dataclass(frozen=True, kw_only=True)
class VhostUserDetails:
    """The details of vif_type vhostuser, in the words of Neutron's binding:vif_details.

    ``vhostuser_mode`` is the guest's role: a server makes the socket, and the switch connects to
    it. ``vhostuser_ovs_plug``: Open vSwitch has the other end. By default, it has if the VIF names
    a bridge. ``bound_drivers`` tells who wires the port.
    """

    vhostuser_socket: str = declared(SOCKET)
    vhostuser_mode: str = declared(Choice(_SERVER, _CLIENT), default=_SERVER)
    vhostuser_ovs_plug: bool | None = declared(BOOLEAN, default=None)
    datapath_type: str | None = declared(DATAPATHS, default=None)
    bound_drivers: Mapping[str, str] | None = declared(DRIVERS, default=None)


_SWITCHED = "with network.bridge, unless details.vhostuser_ovs_plug is false"


def _switched(vif: VIF) -> bool:
    """Whether Open vSwitch has the other end of a VIF's socket."""
    plugged = vif.details.get("vhostuser_ovs_plug")
    return bool(vif.network.bridge) if plugged is None else bool(plugged)


class VhostUserPlugin(Switched):
    """vif_type ``vhostuser``: a socket and the guest's memory; the kernel has no device."""

    api_version = 1
    details = VhostUserDetails
    uses: ClassVar[Mapping[str, Uses]] = {
        "": (
            "address",
            "model",
            "queues",
            "devname",
            "filtered",
            "details.vhostuser_socket",
            "details.vhostuser_mode",
            "details.vhostuser_ovs_plug",
            Use("network.bridge", "where details.vhostuser_ovs_plug is not false", _switched),
            *(
                Use(path, _SWITCHED, _switched)
                for path in (
                    "interface_id",
                    "instance.uuid",
                    "network.mtu",
                    "network.should_create_bridge",
                    "network.multi_host",
                    "details.bound_drivers",
                )
            ),
            Use(
                "details.datapath_type",
                "if it is netdev, the only one with such ports",
                lambda vif: _switched(vif) and vif.details.get("datapath_type") == "netdev",
            ),
        )
    }
    group = opts.GROUP
    opts = opts.OPTS
    kinds = KINDS

    def wire(self, vif: VIF, host: Host) -> Wiring:
        details: VhostUserDetails = self.details_of(vif)
        folder = self.options["vhostuser_dir"]
        if not within(details.vhostuser_socket, folder):
            allowed = f"a path below {folder} (option vhostuser_dir)"
            raise vif.refuse("details.vhostuser_socket", details.vhostuser_socket, allowed)
        name = vif.devname or derived_name(VHOST_USER, vif.id)
        guest = GuestSide.by_socket(vif, host)
        source = {
            "type": "unix",
            "path": details.vhostuser_socket,
            "mode": details.vhostuser_mode,
        }
        interface = Interface(
            type="vhostuser",
            mac=vif.address,
            guest=guest,
            source=tuple(source.items()),
            target=name,
        )
        parts: tuple[Part, ...] = ()
        notes = left_out(vif, guest)
        if _switched(vif):
            on_bridge = self._on_a_bridge(vif)
            parts = self._parts(on_bridge, host, details, name)
            notes = (
                *notes,
                *switch.isolation_notes(vif, host, self.options),
                *switch.bridge_notes(on_bridge, host),
            )
        else:
            notes = ("the switch at the other end of the socket is not Open vSwitch", *notes)
        if host.firewall and not vif.filtered:
            notes = ("vhostuser leaves out the firewall that this host requires", *notes)
        return Wiring(parts=parts, interface=interface, notes=notes)

    def _on_a_bridge(self, vif: VIF) -> VIF:
        """Return the VIF with a bridge; that of another system may lack one. Raises InvalidVIF."""
        if vif.network.bridge is None and vif.foreign:
            bridge = self.options["integration_bridge"]
            return replace(vif, network=replace(vif.network, bridge=bridge))
        if vif.network.bridge is None:
            raise vif.refuse("network.bridge", None, "a bridge, with details.vhostuser_ovs_plug")
        return vif

    def _parts(
        self, vif: VIF, host: Host, details: VhostUserDetails, name: str
    ) -> tuple[Part, ...]:
        client = details.vhostuser_mode == _CLIENT
        if client and basename(details.vhostuser_socket) != name:
            allowed = f"one that ends in /{name}: the switch names its socket as its port"
            raise vif.refuse("details.vhostuser_socket", details.vhostuser_socket, allowed)
        bridge = switch.bridge_of(vif, self.options, datapath_type="netdev")
        if switch.datapath_of(bridge, host) != "netdev":
            needed = "the datapath netdev, with DPDK"
            raise Conflict(vif.id, f"OVS bridge {bridge.name}", "has the datapath system", needed)
        port = switch.port_of(
            vif,
            host,
            self.options,
            name,
            bridge,
            type=_TYPES[details.vhostuser_mode],
            socket=None if client else details.vhostuser_socket,
        )
        return bridge, *switch.fixed_mtu(vif, host, bridge, name), port

    def doctor(self, host: Host) -> Iterable[Check]:
        yield from switch.checks(host, self.options)
        ovs = host.switch(Ovs)
        if ovs and ovs.types:
            able = set(PORT_TYPES) <= set(ovs.types)
            can, cannot = "the switch has DPDK", "the switch runs without DPDK: no vhostuser VIFs"
            yield Check(check="vhost-user", ok=True, detail=can if able else cannot)
