# SPDX-License-Identifier: Apache-2.0
"""What a VIF on a Linux bridge needs, and what a bare tap needs. Pure: see VIFPlugin.wire."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from vifplug.fields import MAC, declared
from vifplug.guest import attach
from vifplug.guest.interface import NIC, FilterRef, GuestSide, left_out
from vifplug.guest.nwfilter import filter_of
from vifplug.model.host import Host
from vifplug.model.link import Link, is_bridge
from vifplug.model.mark import Owner, derived_name, shared_mark
from vifplug.model.use import Use, Uses
from vifplug.model.vif import VIF, Network
from vifplug.parts import (
    Bridge,
    BridgePort,
    Claim,
    FixedMtu,
    Part,
    Uplink,
    Vlan,
    changes_mtu,
    claimed_mtu,
    vlan_device,
)
from vifplug.plugin import Check, VIFPlugin
from vifplug.wiring import Wiring
from vifplug_bridge import opts
from vifplug_bridge.joining import left_behind

USES: Uses = (
    *NIC,
    "address",
    "devname",
    "filtered",
    Use("instance.name", "where a firewall is required"),
    "network.bridge",
    "network.mtu",
    "network.should_create_bridge",
    "network.should_create_vlan",
    "network.multi_host",
    Use(
        "network.interface",
        "with network.should_create_bridge or network.should_create_vlan",
        lambda vif: _is_joined(vif.network),
    ),
    Use(
        "network.vlan",
        "with network.should_create_vlan",
        lambda vif: vif.network.should_create_vlan or vif.network.multi_host,
    ),
    Use("network.subnets", "by the filter, with the option filter_parameters"),
)


def _is_joined(network: Network) -> bool:
    """Whether the bridge is joined to the physical network, by us or by another service."""
    flags = (network.should_create_bridge, network.should_create_vlan, network.multi_host)
    return any(flags)


class BridgePlugin(VIFPlugin):
    """vif_type ``bridge``: the guest on a shared Linux bridge.

    libvirt makes the tap. With the option create_tap, plug makes it before the guest starts. A
    plugged VIF keeps its way when the option changes.
    """

    api_version = 1
    required = ("network.bridge",)
    uses: ClassVar[Mapping[str, Uses]] = {"": USES}
    group = opts.GROUP
    opts = opts.OPTS
    by_libvirt: ClassVar[Mapping[str, Any]] = {"create_tap": False}
    modules: ClassVar[Mapping[str, str]] = {"8021q": "VLAN devices (network.should_create_vlan)"}

    def wire(self, vif: VIF, host: Host) -> Wiring:
        bridge = vif.network.bridge
        assert bridge is not None  # noqa: S101 - required
        tap_name = vif.devname or derived_name("tap", vif.id)
        guest = GuestSide.of(vif, host)
        filterref = self._filter(vif, host)
        physical, notes = _physical(vif, host, bridge)
        notes = (*left_out(vif, guest), *notes, *_bridge_notes(vif, host, bridge, tap_name))
        uplink = physical[-1].device if physical and isinstance(physical[-1], Uplink) else None
        makes_tap = self._makes_tap(vif, host, tap_name, bridge)
        plugged_mtu = _plugged_mtu(host, tap_name, bridge)
        claimed = _claimed_mtu(vif.id, bridge, physical, host)
        mtu = vif.network.mtu or (plugged_mtu if makes_tap else None)
        parts: list[Part] = [
            Bridge(
                name=bridge,
                create=vif.network.should_create_bridge and not vif.network.multi_host,
                mtu=mtu or plugged_mtu or claimed or host.mtu,
            ),
            *physical,
            *_fixed_mtu(mtu, host, bridge, tap_name, uplink),
        ]
        passed_over = _left_to_others(vif.network)
        if not makes_tap:
            parts += [Claim(on=bridge), *attach.guest_tap(vif, host, tap_name, bridge)]
            interface = attach.on_bridge(vif, guest, bridge, target=tap_name, filterref=filterref)
        else:
            guest, tap_notes = attach.as_its_tap(host, tap_name, guest)
            theirs = _of_others(host, bridge)
            default_mtu = plugged_mtu or (theirs.mtu if theirs else claimed)
            tap = attach.tap(vif, host, tap_name, guest, default_mtu=default_mtu)
            parts += [tap, BridgePort(device=tap.name, bridge=bridge)]
            interface = attach.made_beforehand(vif, host, tap, guest, filterref)
            notes = (*notes, *tap_notes)
        return Wiring(parts=tuple(parts), interface=interface, notes=notes, passed_over=passed_over)

    def doctor(self, host: Host) -> Iterable[Check]:
        return attach.checks(host)

    def _filter(self, vif: VIF, host: Host) -> FilterRef | None:
        if not host.firewall or vif.filtered:
            return None
        return filter_of(vif, self.options)

    def _makes_tap(self, vif: VIF, host: Host, tap_name: str, bridge: str) -> bool:
        """Whether plug makes the tap, rather than libvirt."""
        owner = Owner(vif_id=vif.id, vif_type=vif.vif_type)
        link = host.link(tap_name)
        if link and any(m.vif_id == vif.id and m.role == "tap" for m in link.marks):
            return True
        if not self.options["create_tap"]:
            return False
        claims = {str(claim) for _, claim in host.claims_of(vif.id)}
        # A VIF with a claim has a tap that libvirt makes.
        return not (host.link(bridge) and owner.claim("bridge") in claims)


@dataclass(frozen=True, kw_only=True)
class TapDetails:
    """The details of vif_type tap; ``mac_address`` is that of the tap's host side."""

    mac_address: str | None = declared(MAC, default=None)


class TapPlugin(VIFPlugin):
    """vif_type ``tap``: plug makes a tap before the guest starts; an agent on the host wires it."""

    api_version = 1
    details = TapDetails
    unbridged = True
    uses: ClassVar[Mapping[str, Uses]] = {
        "": (*NIC, "address", "devname", "network.mtu", "details.mac_address")
    }

    def wire(self, vif: VIF, host: Host) -> Wiring:
        made = attach.own_tap(vif, host, address=self.details_of(vif).mac_address)
        return Wiring(parts=(made.tap,), interface=made.interface, notes=made.notes)

    def doctor(self, host: Host) -> Iterable[Check]:
        return attach.checks(host)


def _claimed_mtu(vif_id: str, bridge: str, physical: Sequence[Part], host: Host) -> int | None:
    """Return the MTU of the bridge that a VIF has, else of its VLAN device.

    Another program may have deleted the bridge alone.
    """
    names = (bridge, *(part.name for part in physical if isinstance(part, Vlan)))
    return next((mtu for name in names if (mtu := claimed_mtu(vif_id, name, host))), None)


def _physical(vif: VIF, host: Host, bridge: str) -> tuple[tuple[Part, ...], tuple[str, ...]]:
    """Return the parts that join the bridge to the physical network, and notes on them.

    Without a should_create flag, or with multi_host, another program joins the bridge: no parts.
    """
    network = vif.network
    if network.multi_host or not (network.should_create_bridge or network.should_create_vlan):
        return (), ()
    uplink = network.interface
    if not network.should_create_vlan:
        if uplink is None:
            return (), ()
        if uplink == bridge:
            raise vif.refuse(
                "network.interface", uplink, f"another device than the bridge {bridge}"
            )
        return (Uplink(device=uplink, bridge=bridge),), _warnings(vif, host, uplink)
    if uplink is None:
        raise vif.refuse("network.interface", None, "the uplink (should_create_vlan needs it)")
    if network.vlan is None:
        raise vif.refuse("network.vlan", None, "1 to 4094 (should_create_vlan needs it)")
    name = vlan_device(uplink, network.vlan, host, name=f"vlan{network.vlan}")
    lower, default = host.link(uplink), claimed_mtu(vif.id, name, host) or host.mtu
    mtu = network.mtu or (min(default, lower.mtu) if lower else default)
    vlan = Vlan(name=name, lower=uplink, vlan=network.vlan, mtu=mtu)
    parts = (vlan, Claim(on=name, role="vlan"), Uplink(device=name, bridge=bridge))
    return parts, _warnings(vif, host, name)


def _left_to_others(network: Network) -> tuple[str, ...]:
    """Return a note on what multi_host leaves to another service."""
    joined = network.should_create_vlan or network.interface or network.vlan
    if not network.multi_host or not (network.should_create_bridge or joined):
        return ()
    work = "makes and joins" if joined else "makes"
    return (f"network.multi_host: another service {work} {network.bridge}",)


def _of_others(host: Host, bridge: str) -> Link | None:
    """Return a bridge that is there and that no plug has made."""
    link = host.link(bridge)
    ours = link is not None and shared_mark("bridge", bridge) in link.altnames
    return link if is_bridge(link) and not ours else None


def _plugged_mtu(host: Host, tap: str, bridge: str) -> int | None:
    """Return the MTU of a plugged VIF's tap, which a VIF without an MTU leaves alone.

    A bridge of ours has the largest MTU that its VIFs ask for. So a smaller tap was lowered by
    another program. It stays as it is while a guest holds it, because its VIF may have asked for
    it.
    """
    kept, link, on = attach.plugged_mtu(host, tap), host.link(tap), host.link(bridge)
    if kept is None or link is None or link.carrier or on is None or _of_others(host, bridge):
        return kept
    return max(kept, min(on.mtu, host.mtu))


def _fixed_mtu(
    mtu: int | None, host: Host, bridge: str, tap: str, uplink: str | None
) -> tuple[Part, ...]:
    """Return the part by which a bridge of others keeps the MTU that the VIF's would change."""
    link = _of_others(host, bridge)
    if link is None or mtu is None or not changes_mtu(bridge, link.mtu, tap, mtu, host):
        return ()
    other = host.link(uplink) if uplink else None
    joins = uplink if other and other.master != bridge else None
    return (FixedMtu(bridge=bridge, device=tap, mtu=mtu, at=link.mtu, uplink=joins),)


def _bridge_notes(vif: VIF, host: Host, bridge: str, tap: str) -> tuple[str, ...]:
    """Return notes on a bridge by which a guest's frames are lost, or come into another VLAN."""
    notes, network = [], vif.network
    for name in (bridge, network.interface):
        device = host.link(name) if name else None
        if device and device.address == vif.address:
            notes.append(f"{name} has the guest's address {vif.address}: frames for the guest "
                         "stay on this host")  # fmt: skip
    link = _of_others(host, bridge)
    if link and network.mtu and link.mtu < network.mtu:
        notes.append(f"{bridge} has MTU {link.mtu}: it drops the network's larger frames "
                     f"({network.mtu})")  # fmt: skip
    if link and not link.up:
        notes.append(f"{bridge} is down: it passes no frame: ip link set {bridge} up")
    joined = host.link(tap)
    if link and link.silence and not (joined and joined.master == bridge):
        notes.append(f"{bridge} has STP on: a new port passes nothing for {link.silence:g} s")
    link = host.link(bridge)
    if link is None or not link.vlan_filtering:
        return tuple(notes)
    if link.default_pvid == 0:
        mend = f"bridge vlan add dev {tap} vid ID pvid untagged"
        notes.append(f"{bridge} filters VLANs and gives a new port none (default PVID 0): "
                     f"no frame passes before: {mend}")  # fmt: skip
    elif network.vlan and not network.should_create_vlan and network.vlan != link.default_pvid:
        notes.append(f"{bridge} filters VLANs: its new ports, and the guest, are in VLAN "
                     f"{link.default_pvid}, not in {network.vlan}")  # fmt: skip
    return tuple(notes)


def _warnings(vif: VIF, host: Host, uplink: str) -> tuple[str, ...]:
    notes = list(left_behind(host, uplink, vif.network.bridge or ""))
    if manager := host.manager(uplink):
        mend = f"have it leave {uplink} alone"
        notes.append(f"{uplink} is managed by {manager}, which may undo this: {mend}")
    link, mtu = host.link(uplink), vif.network.mtu
    ours = link is not None and shared_mark("vlan", uplink) in link.altnames
    if link and mtu and link.mtu < mtu and not ours:
        notes.append(f"{uplink} has MTU {link.mtu}: it drops the network's larger frames ({mtu})")
    return tuple(notes)
