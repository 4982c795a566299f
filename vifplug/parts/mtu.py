# SPDX-License-Identifier: Apache-2.0
"""The MTU of a bridge that somebody else made. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from vifplug.fields import DEVICE, MTU, declared
from vifplug.model.host import Host
from vifplug.model.mark import Owner, shared_mark
from vifplug.operations.links import SetLink, SetLinks
from vifplug.operations.operation import Operation
from vifplug.parts.bridge import changes_mtu
from vifplug.parts.part import Part
from vifplug.parts.roles import BRIDGE, Role
from vifplug.parts.tap import is_its_tap

_USUAL = 1500
"""The MTU of a bridge that has no ports, and was given none."""


@dataclass(frozen=True, kw_only=True)
class FixedMtu(Part):
    """A bridge of others keeps its MTU when a tap with another one joins.

    The kernel gives a bridge the least MTU of its ports, until a program has set its own.
    ``device`` is the tap, which libvirt or another part makes, and ``mtu`` the tap's. ``at`` is the
    bridge's MTU as it was when the VIF was planned. ``uplink`` joins the bridge in the same plug:
    the bridge has no larger MTU than that.
    """

    kind: ClassVar[str] = "mtu"

    bridge: str = declared(DEVICE)
    device: str = declared(DEVICE)
    mtu: int = declared(MTU)
    at: int = declared(MTU)
    uplink: str | None = declared(DEVICE, default=None)

    @property
    def title(self) -> str:
        return self.bridge

    @property
    def shared(self) -> tuple[str, ...]:
        return (self.bridge,)

    def roles(self, owner: Owner, host: Host) -> Mapping[str, Role]:
        return {self.bridge: BRIDGE}

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        bridge = host.link(self.bridge)
        if bridge is None or bridge.kind != "bridge":
            return ()
        at = self._kept(bridge.mtu, host)
        if not changes_mtu(self.bridge, at, self.device, self.mtu, host):
            return ()
        if shared_mark("bridge", self.bridge) in bridge.altnames or self._is_fixed(owner, host):
            return ()
        # The kernel passes over a value that is there already. First up, because the devices on
        # the bridge follow it down and not up again. The kernel does both before anybody looks.
        other = at + 1 if at < MTU.most else at - 1
        steps = ((other, bridge.mtu), (at, other))
        these = tuple(
            SetLink(device=self.bridge, attribute="mtu", value=value, before=before)
            for value, before in steps
        )
        return (SetLinks(these=these),)

    def _kept(self, now: int, host: Host) -> int:
        """Return the MTU that the bridge keeps; one that has been lowered gets it back."""
        uplink = host.link(self.uplink) if self.uplink else None
        if uplink and uplink.master != self.bridge:
            uplink = None  # no part before this one joins it
        ports = host.ports(self.bridge).items() if now < self.at else ()
        # The kernel gave it no larger MTU than this by itself.
        most = min((port.mtu for name, port in ports if name != self.device), default=_USUAL)
        return min(max(now, min(self.at, most)), uplink.mtu if uplink else MTU.most)

    def _is_fixed(self, owner: Owner, host: Host) -> bool:
        """Whether the bridge's MTU is set, as far as anybody can tell: the kernel does not."""
        # A tap under another name is left alone, where another program has put it.
        tap = host.link(self.device) if is_its_tap(self.device, owner, host) else None
        bridge = host.link(self.bridge)
        if bridge is None or bridge.mtu < self._kept(bridge.mtu, host):
            return False
        if tap:
            return tap.master == self.bridge and tap.mtu != bridge.mtu
        # Without libvirt's tap, the VIF's claim shows that a plug was here.
        return (self.bridge, owner.claim("bridge")) in {
            (device, str(claim)) for device, claim in host.claims_of(owner.vif_id)
        }

    def step(self, operations: tuple[Operation, ...], host: Host) -> tuple[str, str]:
        bridge = host.link(self.bridge)
        kept = self._kept(bridge.mtu if bridge else self.at, host)
        stays = f"MTU {kept} stays, though {self.device} has {self.mtu}"
        return ("change" if operations else "keep"), stays
