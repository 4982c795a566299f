# SPDX-License-Identifier: Apache-2.0
"""What the plugins of the direct family share. Pure: see VIFPlugin.wire.

libvirt makes and removes the guest's macvtap, and speaks with lldpad. Before that, plug prepares
the devices that libvirt needs; unplug removes them or restores their settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from vifplug.errors import Conflict
from vifplug.fields import Choice
from vifplug.guest.interface import GuestSide, Interface, VirtualPort, left_out
from vifplug.model.host import Host
from vifplug.model.link import PciFunction
from vifplug.model.vif import VIF, QoS
from vifplug.parts import Part, Vlan, vlan_device
from vifplug.plugin import VIFPlugin
from vifplug.wiring import Wiring
from vifplug_vepa import opts
from vifplug_vepa.parts import CARRIES_VLAN, KINDS, MODES, Lower

MODE = Choice(*MODES)


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
    notes: tuple[str, ...] = (),
) -> Wiring:
    """Return the wiring of a guest with a macvtap on a device.

    ``before`` are the parts that the device itself needs. libvirt tags the frames with ``vlan``.
    """
    guest = GuestSide.of(vif, host)
    lower = Lower(device=source, mode=mode, address=vif.address, mtu=vif.network.mtu)
    interface = Interface(
        type="direct",
        mac=vif.address,
        guest=guest,
        source=(("dev", source), ("mode", mode)),
        vlan=vlan,
        target=vif.devname,
        virtualport=port,
    )
    notes = (*left_out(vif, guest), *notes)
    return Wiring(parts=(*before, lower), interface=interface, notes=notes)


def whole_function(
    vif: VIF,
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
    return Wiring(parts=parts, interface=interface, notes=left_out_of_function(vif))


def left_out_of_function(vif: VIF) -> tuple[str, ...]:
    """Return notes on the VIF's wishes that a function given whole can't meet."""
    notes = []
    if vif.queues and vif.queues > 1:
        notes.append(f"queues {vif.queues} left out: they are the function's own")
    if vif.qos != QoS():
        notes.append("bandwidth limits left out: libvirt has none for a function given whole")
    return tuple(notes)


def source_of(vif: VIF, host: Host, uplink: str) -> tuple[str, tuple[Part, ...], tuple[str, ...]]:
    """Return the device below a macvtap of the network, the parts that make it, and notes."""
    network = vif.network
    if not network.should_create_vlan:
        notes: tuple[str, ...] = ()
        if network.vlan is not None:
            notes = (f"VLAN {network.vlan} is the care of {uplink}: should_create_vlan is not set",)
        return uplink, (), notes
    if network.vlan is None:
        raise vif.refuse("network.vlan", None, "1 to 4094 (should_create_vlan needs it)")
    name, below = vlan_on(vif, host, f"vlan{network.vlan}", uplink, network.vlan)
    return name, below, ()


def vlan_on(
    vif: VIF, host: Host, name: str, uplink: str, vlan: int
) -> tuple[str, tuple[Part, ...]]:
    """Return the name of a VLAN device on an uplink, and its parts.

    ``name`` is what it is called where it must be made. The uplink must be there and up first.
    """
    name, lower = vlan_device(uplink, vlan, host, name=name), host.link(uplink)
    mtu = vif.network.mtu or (min(host.mtu, lower.mtu) if lower else host.mtu)
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
