# SPDX-License-Identifier: Apache-2.0
"""The bridge of a VIF on Open vSwitch, and the port with its ids. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from vifplug.fields import MTU
from vifplug.model.host import Host
from vifplug.model.vif import VIF
from vifplug.parts import MOST_TAP_MTU
from vifplug.plugin import Check
from vifplug_ovs.names import AGENT, OVN, TRUNK_BRIDGE
from vifplug_ovs.parts import Bridge, FixedMtu, GuestPort, Port, used_by_host
from vifplug_ovs.snapshot import NOT_READ, Ovn, Ovs, OvsPort

_OWN = ("tap", "veth")
"""The kinds of device that are a VIF's own: a representor's MTU is its driver's."""

Options = Mapping[str, Any]
"""The plugin's own options by name."""


def bridge_of(vif: VIF, options: Options, *, datapath_type: str | None) -> Bridge:
    """Return the bridge that a VIF joins; ``datapath_type`` is that of one which is made."""
    assert vif.network.bridge is not None  # noqa: S101 - required
    return Bridge(
        name=vif.network.bridge,
        create=vif.network.should_create_bridge and not vif.network.multi_host,
        datapath_type=datapath_type or options["datapath_type"],
    )


def datapath_of(bridge: Bridge, host: Host) -> str:
    """Return the datapath that a bridge has, or will have where it is made."""
    ovs = host.switch(Ovs)
    current = ovs.bridge(bridge.name) if ovs else None
    return (current.datapath_type or "system") if current else bridge.datapath_type


def port_of(
    vif: VIF,
    host: Host,
    options: Options,
    name: str,
    bridge: Bridge,
    *,
    type: str = "",
    socket: str | None = None,
    guest: str | None = None,
) -> Port:
    """Return the port that bears the ids by which agents know a VIF."""
    current, named = _plugged(name, host), vif.network.mtu
    # Only these, because other datapaths, and sockets, have no queueing disciplines.
    queued = datapath_of(bridge, host) == "system" and not type
    return Port(
        name=name,
        bridge=bridge.name,
        interface_id=vif.interface_id or vif.id,
        address=vif.address,
        vm=vif.instance.uuid,
        mtu=mtu_of(vif, host, bridge, name) if named or not current else _requested(current),
        qos_type=options["qos_type"] if queued else "",
        type=type,
        socket=socket,
        isolated=bool(isolation(vif, bridge, host, options)),
        guest=guest,
    )


def mtu_of(vif: VIF, host: Host, bridge: Bridge, name: str) -> int:
    """Return the MTU of a VIF's device ``name``, its port.

    Where the network has none, a plugged VIF keeps its own. Another has that of a bridge of the
    host's, as libvirt does it: else the switch would lower the bridge's device, and the host's
    traffic.
    """
    if vif.network.mtu:
        return vif.network.mtu
    current, device = _plugged(name, host), host.link(name)
    if current and (requested := _requested(current)):
        return requested
    if device and device.kind in _OWN:
        return device.mtu
    link = used_by_host(bridge.name, host)
    return min(link.mtu, MOST_TAP_MTU) if link else host.mtu


def _plugged(name: str, host: Host) -> OvsPort | None:
    ovs = host.switch(Ovs)
    current = ovs.port(name) if ovs else None
    return current[1] if current else None


def _requested(port: OvsPort) -> int | None:
    """Return the MTU that a port has been given; None for one that no part could ask for."""
    requested = port.mtu_request
    return requested if requested and MTU.least <= requested <= MTU.most else None


def fixed_mtu(vif: VIF, host: Host, bridge: Bridge, port: str) -> tuple[FixedMtu, ...]:
    """Return the part by which a bridge of the host's keeps its MTU, where the VIF's is smaller."""
    mtu = mtu_of(vif, host, bridge, port)
    if used_by_host(bridge.name, host, above=mtu) is None:
        return ()
    return (FixedMtu(bridge=bridge.name, device=port, mtu=mtu),)


def bridge_notes(vif: VIF, host: Host) -> tuple[str, ...]:
    """Return notes on a bridge that is there and that differs from what a VIF asks for."""
    name, mtu, notes = str(vif.network.bridge), vif.network.mtu, []
    link = used_by_host(name, host) if mtu else None
    if link and mtu and link.mtu < mtu:
        notes.append(f"{name} has MTU {link.mtu}: it drops the network's larger frames ({mtu})")
    ovs, asked = host.switch(Ovs), vif.details.get("datapath_type")
    current = ovs.bridge(name) if ovs else None
    has = (current.datapath_type or "system") if current else asked
    if asked not in (None, has):
        notes.append(f"{name} has the datapath {has}: details.datapath_type {asked} left out")
    return tuple(notes)


def guest_port_of(vif: VIF, host: Host, name: str) -> tuple[GuestPort, ...]:
    """Return the port that libvirt makes for a guest; none before the guest runs."""
    link = host.link(name)
    # A tap that is down shows no carrier although a guest has it.
    if link is None or link.kind != "tap" or (link.up and not link.carrier):
        return ()
    assert vif.network.bridge is not None  # noqa: S101 - required
    port = GuestPort(
        name=name,
        bridge=vif.network.bridge,
        interface_id=vif.interface_id or vif.id,
        address=vif.address,
        vm=vif.instance.uuid,
        guest=name,
    )
    return (port,)


def isolation(vif: VIF, bridge: Bridge, host: Host, options: Options) -> str:
    """Return what has a VIF's new port isolated, a detail or an option; "" where nothing has.

    No agent wires the ports of a trunk's bridge, and OVN leaves a port in the dead VLAN.
    """
    if bridge.name.startswith(TRUNK_BRIDGE):
        return ""
    if AGENT in (drivers := _drivers(vif)) and OVN not in drivers:
        return "details.bound_drivers"
    return "option isolate" if options["isolate"] and not _of_ovn(vif, host) else ""


def isolation_notes(vif: VIF, host: Host, options: Options) -> tuple[str, ...]:
    """Return a note on the option that a VIF of OVN does not follow."""
    why = _of_ovn(vif, host)
    if not options["isolate"] or not why:
        return ()
    return (f"option isolate left out: {why} says that OVN wires the port",)


def _of_ovn(vif: VIF, host: Host) -> str:
    """Return what tells that OVN wires a VIF's port; "" where nothing does.

    The host's word counts where the VIF has none. An inactive binding of a live migration has none.
    """
    drivers, ovs = _drivers(vif), host.switch(Ovs)
    if OVN in drivers:
        return "details.bound_drivers"
    ovn = ovs.ovn if ovs and not drivers else None
    return "ovn-remote of the switch" if ovn and ovn.bridge == vif.network.bridge else ""


def _drivers(vif: VIF) -> Collection[str]:
    return (vif.details.get("bound_drivers") or {}).values()


def checks(host: Host, options: Options) -> Iterable[Check]:
    """Return what ``vifplug doctor`` says of the switch and its database."""
    ovs = host.switch(Ovs)
    endpoint = ovs.endpoint if ovs else options["ovsdb_connection"]
    why = ovs.error if ovs else NOT_READ
    version = f", Open vSwitch {ovs.version}" if ovs and ovs.version else ""
    # Well, because a host without Open vSwitch needs no mending.
    well = not why or (ovs is not None and ovs.absent)
    yield Check(
        check="OVSDB",
        ok=well,
        detail=f"{endpoint}: {why}" if why else f"{endpoint} answers{version}",
        mend="" if well or ovs is None else ovs.mend,
    )
    if ovs and ovs.ovn:
        yield _ovn(ovs.ovn)


def _ovn(ovn: Ovn) -> Check:
    """Return how OVN is. Without it, plugged VIFs have no network until it is back."""
    connected = ovn.connection == "connected"
    state = f" is {ovn.connection}" if ovn.connection else f": {ovn.error}"
    # Well, because without the right to ask it we know of nothing to mend.
    well = connected or (ovn.connection is None and not ovn.absent)
    return Check(
        check="OVN",
        ok=well,
        detail=f"ovn-controller{state}; its database is {ovn.remote}",
        mend="" if well else "start ovn-controller, or its database; VIFs plugged are wired then",
    )
