# SPDX-License-Identifier: Apache-2.0
"""How a guest is attached: to a tap made beforehand, or to one that libvirt makes. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from vifplug.guest.interface import FilterRef, GuestSide, Interface, VirtualPort, left_out
from vifplug.model.host import Host
from vifplug.model.mark import derived_name
from vifplug.model.vif import VIF
from vifplug.parts import LEAST_IPV6_MTU, MOST_TAP_MTU, GuestTap, Tap, host_side_address
from vifplug.result import Check

# From here on libvirt starts no guest on a tap that is there already, and even removes the tap,
# unless the target says managed='no' (libvirt a2ae3d299cf); the attribute itself is older (5.7).
_REFUSES_TAPS = (8, 10)


@dataclass(frozen=True, kw_only=True)
class OwnTap:
    """A tap that is made before its guest: the part, the guest's interface, and notes on both."""

    tap: Tap
    interface: Interface
    notes: tuple[str, ...]


def own_tap(
    vif: VIF,
    host: Host,
    *,
    name: str | None = None,
    address: str | None = None,
    default_mtu: int | None = None,
    ipv6: bool = False,
    filterref: FilterRef | None = None,
) -> OwnTap:
    """Return a VIF's tap with everything that the VIF asks of one. Raises InvalidVIF.

    These are its queues, its MTU and its ``devname``. ``name`` is another name for it, ``address``
    another address of its host side, ``default_mtu`` the MTU where the network has none. ``ipv6``:
    the host itself uses IPv6 on it.
    """
    name = name or vif.devname or derived_name("tap", vif.id)
    asked = GuestSide.of(vif, host)
    guest, notes = as_its_tap(host, name, asked)
    made = tap(vif, host, name, guest, address=address, default_mtu=default_mtu)
    made = replace(made, ipv6=ipv6)
    if ipv6 and made.mtu < LEAST_IPV6_MTU:
        raise vif.refuse("network.mtu", made.mtu, f"at least {LEAST_IPV6_MTU}, as IPv6 needs it")
    interface = made_beforehand(vif, host, made, guest, filterref)
    return OwnTap(tap=made, interface=interface, notes=(*left_out(vif, asked), *notes))


def as_its_tap(host: Host, name: str, guest: GuestSide) -> tuple[GuestSide, tuple[str, ...]]:
    """Return the guest's side with the queues that its tap has, if it is there, and a note.

    A tap is single- or multi-queue for its life, and a guest that disagrees with it won't start.
    """
    link = host.link(name)
    asked = guest.queues is not None
    if link is None or link.multi_queue in (None, asked) or guest.model != "virtio":
        return guest, ()
    words = "multi-queue" if link.multi_queue else "single-queue"
    note = f"{name} is and stays {words} until the VIF is unplugged and plugged"
    return replace(guest, queues=2 if link.multi_queue else None), (note,)


def tap(
    vif: VIF,
    host: Host,
    name: str,
    guest: GuestSide,
    *,
    address: str | None = None,
    default_mtu: int | None = None,
) -> Tap:
    """Return the tap of a guest; ``address`` is that of its host side. Raises InvalidVIF.

    ``default_mtu`` is the MTU where the network has none: by default that of the tap which is
    there, else that of the host.
    """
    default = default_mtu or plugged_mtu(host, name) or host.mtu
    mtu = vif.network.mtu or min(default, MOST_TAP_MTU)
    if mtu > MOST_TAP_MTU:
        raise vif.refuse("network.mtu", mtu, f"at most {MOST_TAP_MTU} where a tap is made")
    return Tap(
        name=name,
        address=address or host_side_address(vif.address),
        mtu=mtu,
        multi_queue=guest.queues is not None,
    )


def plugged_mtu(host: Host, name: str) -> int | None:
    """Return the MTU of a VIF's tap that is there: a VIF without an MTU leaves it alone."""
    link = host.link(name)
    return link.mtu if link and link.kind == "tap" else None


def made_beforehand(
    vif: VIF, host: Host, tap: Tap, guest: GuestSide, filterref: FilterRef | None
) -> Interface:
    """Return the interface of a tap that is there before the guest."""
    return Interface(
        type="ethernet",
        mac=vif.address,
        guest=guest,
        mtu=vif.network.mtu,
        target=tap.name,
        managed=False if host.libvirt_at_least(*_REFUSES_TAPS) else None,
        filterref=filterref,
    )


def guest_tap(vif: VIF, host: Host, name: str, bridge: str) -> tuple[GuestTap, ...]:
    """Return the part that keeps a running guest's tap in its bridge; none before it runs."""
    link = host.link(name)
    if link is None or link.kind != "tap":
        return ()
    return (GuestTap(device=name, bridge=bridge, address=vif.address, mtu=vif.network.mtu),)


def on_bridge(
    vif: VIF,
    guest: GuestSide,
    bridge: str,
    *,
    target: str,
    filterref: FilterRef | None = None,
    virtualport: VirtualPort | None = None,
) -> Interface:
    """Return the interface of a guest whose tap libvirt makes and joins to a bridge."""
    return Interface(
        type="bridge",
        mac=vif.address,
        guest=guest,
        source=(("bridge", bridge),),
        mtu=vif.network.mtu,
        target=target,
        virtualport=virtualport,
        filterref=filterref,
    )


def checks(host: Host) -> Iterable[Check]:
    """Return what ``vifplug doctor`` says of taps."""
    yield Check(
        check="taps",
        ok=host.tun,
        detail="/dev/net/tun is there" if host.tun else "/dev/net/tun is missing",
        mend="" if host.tun else "modprobe tun",
    )
