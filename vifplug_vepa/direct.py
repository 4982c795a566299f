# SPDX-License-Identifier: Apache-2.0
"""What the plugins of the direct family share. Pure: see VIFPlugin.wire.

libvirt makes and removes the guest's macvtap, and speaks with lldpad. Before that, plug prepares
the devices that libvirt needs; unplug removes them or restores their settings.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import ClassVar

from vifplug.errors import Conflict
from vifplug.fields import Choice
from vifplug.guest.interface import NIC, GuestSide, Interface, VirtualPort, left_out
from vifplug.model.host import Host
from vifplug.model.link import PciFunction
from vifplug.model.use import Use, Uses
from vifplug.model.vif import VIF
from vifplug.parts import Part, Vlan, claimed_mtu, vlan_device
from vifplug.plugin import VIFPlugin
from vifplug.wiring import Wiring
from vifplug_vepa import opts
from vifplug_vepa.parts import CARRIES_VLAN, KINDS, MODES, Lower

MODE = Choice(*MODES)
MACVTAP: Uses = (*NIC, "address", "devname", "network.mtu")
"""The fields that a VIF with a macvtap uses, wherever that lies."""
MADE_VLAN: Uses = (
    "network.should_create_vlan",
    Use(
        "network.vlan",
        "with network.should_create_vlan",
        lambda vif: vif.network.should_create_vlan,
    ),
)
"""The fields of a VLAN device that is made below a macvtap."""


class DirectPlugin(VIFPlugin):
    """What the plugins of this family have in common."""

    api_version = 1
    kinds = KINDS
    group = opts.GROUP
    opts = opts.OPTS
    modules: ClassVar[Mapping[str, str]] = {"8021q": "VLAN devices (details.vlan)"}


def macvtap(
    vif: VIF,
    host: Host,
    source: str,
    mode: str,
    before: tuple[Part, ...],
    *,
    port: VirtualPort | None = None,
    vlan: int | None = None,
    trusted: bool | None = None,
) -> Wiring:
    """Return the wiring of a guest with a macvtap on a device.

    ``before`` are the parts that the device itself needs. libvirt tags the frames with ``vlan``.
    With ``trusted`` the guest may change its address, and chooses the groups that it listens to.
    """
    guest = GuestSide.of(vif, host)
    notes: tuple[str, ...] = ()
    if trusted and guest.model != "virtio":
        trusted, notes = None, ("trusted left out: only model virtio has it",)
    lower = Lower(device=source, mode=mode, address=vif.address, mtu=vif.network.mtu)
    interface = Interface(
        type="direct",
        mac=vif.address,
        guest=guest,
        source=(("dev", source), ("mode", mode)),
        vlan=vlan,
        target=vif.devname,
        virtualport=port,
        trusted=bool(trusted),
    )
    notes = (*left_out(vif, guest), *notes, *(() if trusted else unsolicited(vif)))
    return Wiring(parts=(*before, lower), interface=interface, notes=notes)


def trusts(vif: VIF, trusted: bool | None) -> bool:
    """Return whether libvirt does what the guest says of its filters.

    Raises InvalidVIF for a model that does not tell libvirt. Another system's VIF has the word
    for other reasons too.
    """
    if trusted and not vif.foreign and vif.model not in (None, "virtio"):
        raise vif.refuse("details.trusted", True, f"only with model virtio, not {vif.model}")
    return bool(trusted)


def unsolicited(vif: VIF) -> tuple[str, ...]:
    """Return a note on IPv6 addresses whose neighbour solicitations a macvtap does not pass.

    It passes those of its own address alone. They go to a group named by the last 24 bits.
    """
    own = int(vif.address.replace(":", ""), 16)
    ips = (ipaddress.ip_address(ip) for subnet in vif.network.subnets for ip in subnet.ips)
    deaf = [str(ip) for ip in ips if ip.version == 6 and (int(ip) ^ own) & 0xFFFFFF]
    if not deaf:
        return ()
    where = f"{deaf[0]} and {len(deaf) - 1} more" if len(deaf) > 1 else deaf[0]
    cure = "details.trusted, or with allmulticast on for its macvtap (docs/vepa.md)"
    return (f"the guest hears neighbour solicitations for {where} only with {cure}",)


def whole_function(
    vif: VIF,
    host: Host,
    parts: tuple[Part, ...],
    pci: str,
    *,
    port: VirtualPort | None = None,
    vlan: int | None = None,
) -> Wiring:
    """Return the wiring of a guest that gets a virtual function whole."""
    interface = Interface(
        type="hostdev",
        mac=vif.address,
        guest=GuestSide(),
        vlan=vlan,
        virtualport=port,
        pci=pci,
    )
    function = host.pci.get(pci)
    card = host.link(function.pf) if function and function.pf else None
    notes: tuple[str, ...] = ()
    if function and card and vif.network.mtu and card.mtu < vif.network.mtu:
        larger = f"it drops the network's larger frames ({vif.network.mtu})"
        notes = (f"{function.pf} has MTU {card.mtu}: {larger}",)
    return Wiring(parts=parts, interface=interface, notes=notes)


def source_of(vif: VIF, host: Host, uplink: str) -> tuple[str, tuple[Part, ...]]:
    """Return the device below a macvtap of the network, and the parts that make it."""
    network = vif.network
    if not network.should_create_vlan:
        return uplink, ()
    if network.vlan is None:
        raise vif.refuse("network.vlan", None, "1 to 4094 (should_create_vlan needs it)")
    return vlan_on(vif, host, f"vlan{network.vlan}", uplink, network.vlan)


def vlan_on(
    vif: VIF, host: Host, name: str, uplink: str, vlan: int
) -> tuple[str, tuple[Part, ...]]:
    """Return the name of a VLAN device on an uplink, and its parts.

    ``name`` is what it is called where it must be made. The uplink must be there and up first.
    """
    name, lower = vlan_device(uplink, vlan, host, name=name), host.link(uplink)
    default = claimed_mtu(vif.id, name, host) or host.mtu
    mtu = vif.network.mtu or (min(default, lower.mtu) if lower else default)
    carrier = Lower(device=uplink, mode=CARRIES_VLAN, address=vif.address, mtu=mtu)
    return name, (carrier, Vlan(name=name, lower=uplink, vlan=vlan, mtu=mtu))


def function_of(vif: VIF, host: Host, pci: str, *, virtual: bool) -> PciFunction:
    """Return a network card's function by its PCI address. Raises Conflict."""
    function = host.pci.get(pci)
    wanted = "a virtual function of a network card" if virtual else "a network card's function"
    if function is None:
        raise Conflict(vif.id, f"PCI {pci}", "is not there", wanted)
    if virtual and not function.virtual:
        raise Conflict(vif.id, f"PCI {pci}", "is no virtual function", wanted)
    return function


def netdev_of(vif: VIF, pci: str, function: PciFunction) -> str:
    """Return the name of a function's network device. Raises Conflict."""
    if function.netdev is None:
        needed = "the host's driver on the function, or vnic_type direct"
        raise Conflict(vif.id, f"PCI {pci}", "has no network device on this host", needed)
    return function.netdev
