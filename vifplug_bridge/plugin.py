# SPDX-License-Identifier: Apache-2.0
"""What a VIF on a Linux bridge needs, and what a bare tap needs. Pure: see VIFPlugin.wire."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from vifplug.fields import MAC, declared
from vifplug.guest import attach
from vifplug.guest.interface import FilterRef, GuestSide, left_out
from vifplug.guest.nwfilter import filter_of
from vifplug.model.host import Host
from vifplug.model.mark import Owner, derived_name, shared_mark
from vifplug.model.vif import VIF
from vifplug.parts import Bridge, BridgePort, Claim, Part, Uplink, Vlan, vlan_device
from vifplug.plugin import Check, VIFPlugin
from vifplug.wiring import Wiring
from vifplug_bridge import opts


class BridgePlugin(VIFPlugin):
    """vif_type ``bridge``: the guest on a shared Linux bridge.

    libvirt makes the tap. With the option create_tap, plug makes it before the guest starts. A
    plugged VIF keeps its way when the option changes.
    """

    api_version = 1
    required = ("network.bridge",)
    group = opts.GROUP
    opts = opts.OPTS
    modules: ClassVar[Mapping[str, str]] = {"8021q": "VLAN devices (network.should_create_vlan)"}

    def wire(self, vif: VIF, host: Host) -> Wiring:
        bridge = vif.network.bridge
        assert bridge is not None  # noqa: S101 - required
        tap_name = vif.devname or derived_name("tap", vif.id)
        mtu = vif.network.mtu or host.mtu
        guest = GuestSide.of(vif, host)
        filterref = self._filter(vif, host)
        physical, notes = _physical(vif, host, bridge)
        notes = (*left_out(vif, guest), *notes)
        uplink = physical[-1].device if physical and isinstance(physical[-1], Uplink) else None
        parts: list[Part] = [
            Bridge(
                name=bridge,
                create=vif.network.should_create_bridge and not vif.network.multi_host,
                mtu=mtu,
                # The host itself uses IPv6 here, or will use it once the uplink has joined.
                ipv6=_uses_ipv6(host, bridge) or _uses_ipv6(host, uplink),
            ),
            *physical,
        ]
        if not self._makes_tap(vif, host, tap_name, bridge):
            parts += [Claim(on=bridge), *attach.guest_tap(vif, host, tap_name, bridge)]
            interface = attach.on_bridge(vif, guest, bridge, target=tap_name, filterref=filterref)
            return Wiring(parts=tuple(parts), interface=interface, notes=notes)
        guest, tap_notes = attach.as_its_tap(host, tap_name, guest)
        tap = attach.tap(vif, host, tap_name, guest)
        parts += [tap, BridgePort(device=tap.name, bridge=bridge)]
        interface = attach.made_beforehand(vif, host, tap, guest, filterref)
        return Wiring(parts=tuple(parts), interface=interface, notes=(*notes, *tap_notes))

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

    def wire(self, vif: VIF, host: Host) -> Wiring:
        name = vif.devname or derived_name("tap", vif.id)
        asked = GuestSide.of(vif, host)
        guest, tap_notes = attach.as_its_tap(host, name, asked)
        tap = attach.tap(vif, host, name, guest, address=self.details_of(vif).mac_address)
        interface = attach.made_beforehand(vif, host, tap, guest, None)
        return Wiring(parts=(tap,), interface=interface, notes=(*left_out(vif, asked), *tap_notes))

    def doctor(self, host: Host) -> Iterable[Check]:
        return attach.checks(host)


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
    lower = host.link(uplink)
    least = min(host.mtu, lower.mtu) if lower else host.mtu
    vlan = Vlan(name=name, lower=uplink, vlan=network.vlan, mtu=network.mtu or least)
    parts = (vlan, Claim(on=name, role="vlan"), Uplink(device=name, bridge=bridge))
    return parts, _warnings(vif, host, name)


def _warnings(vif: VIF, host: Host, uplink: str) -> tuple[str, ...]:
    notes = []
    if manager := host.manager(uplink):
        mend = f"have it leave {uplink} alone"
        notes.append(f"{uplink} is managed by {manager}, which may undo this: {mend}")
    link, mtu = host.link(uplink), vif.network.mtu
    ours = link is not None and shared_mark("vlan", uplink) in link.altnames
    if link and mtu and link.mtu < mtu and not ours:
        notes.append(f"{uplink} has MTU {link.mtu}: it drops the network's larger frames ({mtu})")
    return tuple(notes)


def _uses_ipv6(host: Host, device: str | None) -> bool:
    """Whether the device has an IPv6 address of the host's, beyond the link-local ones."""
    link = host.link(device) if device else None
    # First, because a device whose IPv6 is off needs no query for its addresses.
    if device is None or link is None or link.ipv6 is False:
        return False
    return any(":" in address for address in host.addresses(device))
