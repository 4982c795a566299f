# SPDX-License-Identifier: Apache-2.0
"""A guest that gets a virtual function, whole or as vDPA: its representor is on the switch. Pure.

Source: Nova's and os-vif's vnic_types direct, vdpa and remote-managed of vif_type ovs.
"""

from __future__ import annotations

from vifplug.errors import Conflict
from vifplug.fields import PCI
from vifplug.guest.interface import GuestSide, Interface
from vifplug.model.host import Host
from vifplug.model.vif import VIF
from vifplug.wiring import Wiring
from vifplug_ovs import ports as switch
from vifplug_ovs.parts import Bridge, Representor, representor_of

DIRECT, VDPA, REMOTE = "direct", "vdpa", "remote-managed"
VNIC_TYPES = (DIRECT, VDPA, REMOTE)


def wire(
    vif: VIF, host: Host, options: switch.Options, *, pci_slot: str | None, bridge: Bridge
) -> Wiring:
    """Return the wiring of a guest with a virtual function. Raises InvalidVIF, Conflict."""
    if pci_slot is None:
        needed = f"{PCI.allowed} (vnic_type {vif.vnic_type} needs it)"
        raise vif.refuse("details.pci_slot", None, needed)
    whole = Interface(type="hostdev", mac=vif.address, guest=GuestSide(), pci=pci_slot)
    notes = _left_out(vif, host)
    if vif.vnic_type == REMOTE:
        notes = ("the network card plugs it by itself", *notes)
        return Wiring(parts=(), interface=whole, notes=notes)
    name, file = _representor(vif, host, pci_slot)
    if switch.datapath_of(bridge, host) != "system":
        notes = (f"{bridge.name} has the userspace datapath: nothing is offloaded", *notes)
    port = switch.port_of(vif, host, options, name, bridge)
    if vif.vnic_type == VDPA and file is None:
        needed = "a virtual function with a vhost-vdpa device (vdpa dev add)"
        raise Conflict(vif.id, f"PCI {pci_slot}", "has no vhost-vdpa device", needed)
    source = (("dev", str(file)),)
    vdpa = Interface(type="vdpa", mac=vif.address, guest=GuestSide(), source=source)
    fixed = switch.fixed_mtu(vif, host, bridge, name)
    return Wiring(
        parts=(bridge, Representor(device=name), *fixed, port),
        interface=vdpa if vif.vnic_type == VDPA else whole,
        notes=(
            *notes,
            *switch.isolation_notes(vif, host, options),
            *switch.bridge_notes(vif, host),
        ),
    )


def _representor(vif: VIF, host: Host, pci_slot: str) -> tuple[str, str | None]:
    """Return the representor of a virtual function, and its vhost-vdpa file if it has one.

    Raises Conflict.
    """
    title, needed = f"PCI {pci_slot}", "a virtual function of a network card in switchdev mode"
    function = host.pci.get(pci_slot)
    if function is None:
        raise Conflict(vif.id, title, "is not there", needed)
    if not function.virtual:
        raise Conflict(vif.id, title, "is no virtual function", needed)
    pf = host.link(function.pf) if function.pf else None
    if pf is None or function.vf is None:
        raise Conflict(vif.id, title, "belongs to no network card of the host's", needed)
    if pf.switch_id is None:
        raise Conflict(
            vif.id, title, f"is of {function.pf}, which is not in switchdev mode", needed
        )
    name = representor_of(pf, function.vf, host)
    if name is None:
        state = f"is virtual function {function.vf} of {function.pf}, which has no representor"
        raise Conflict(vif.id, title, state, needed)
    return name, function.vdpa


def ports(vif: VIF, host: Host, pci_slot: object) -> tuple[str, ...]:
    """Return the name of a VIF's port, as far as the host tells it."""
    function = host.pci.get(pci_slot) if isinstance(pci_slot, str) else None
    pf = host.link(function.pf) if function and function.pf else None
    if vif.vnic_type not in VNIC_TYPES or not pf or not function or function.vf is None:
        return ()
    name = representor_of(pf, function.vf, host)
    return (name,) if name else ()


def _left_out(vif: VIF, host: Host) -> tuple[str, ...]:
    """Return a note on the firewall that a guest with a virtual function will not have."""
    if not host.firewall or vif.filtered:
        return ()
    return (f"vnic_type {vif.vnic_type} leaves out the firewall that this host requires",)
