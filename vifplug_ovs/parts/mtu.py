# SPDX-License-Identifier: Apache-2.0
"""The MTU of an OVS bridge that the host itself uses. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from vifplug.fields import DEVICE, MTU, declared
from vifplug.model.host import Host
from vifplug.model.link import Link
from vifplug.model.mark import Owner
from vifplug.operations import Operation
from vifplug.parts import Part, Role
from vifplug_ovs.operations import FixMtu
from vifplug_ovs.snapshot import readable
from vifplug_ovs.things import SHARED

_DEVICES = ("openvswitch", "tap")
"""The kernel's kinds of a bridge's own device, with its datapath and with the userspace one."""


@dataclass(frozen=True, kw_only=True)
class FixedMtu(Part):
    """An OVS bridge that the host uses keeps its MTU when a port with a smaller one joins.

    ``device`` is the port, and ``mtu`` the port's.
    """

    kind: ClassVar[str] = "ovs-mtu"

    bridge: str = declared(DEVICE)
    device: str = declared(DEVICE)
    mtu: int = declared(MTU)

    @property
    def title(self) -> str:
        return self.bridge

    @property
    def shared(self) -> tuple[str, ...]:
        return (self.bridge,)

    def roles(self, owner: Owner, host: Host) -> Mapping[str, Role]:
        return {self.bridge: SHARED}

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        link, ovs = host.link(self.bridge), readable(owner, host)
        if link is None or link.mtu <= self.mtu:
            return ()
        on, port = ovs.port(self.device) or ("", None)
        if port is not None and on == self.bridge:
            # The switch does not lower the device again for a port that has been there.
            fixed = port.mtu_request in (None, self.mtu)
        else:
            # A claim of another way is of the place that the VIF leaves.
            claims = ((on, (c.vif_type, c.process)) for on, c in ovs.claims(owner.vif_id))
            fixed = (self.bridge, (owner.vif_type, owner.process)) in claims
        return () if fixed else (FixMtu(bridge=self.bridge, mtu=link.mtu),)

    def step(self, operations: tuple[Operation, ...], host: Host) -> tuple[str, str]:
        link = host.link(self.bridge)
        stays = f"MTU {link.mtu if link else '-'} stays, though {self.device} has {self.mtu}"
        return ("change" if operations else "keep"), stays


def used_by_host(bridge: str, host: Host, *, above: int = 0) -> Link | None:
    """Return the device of an OVS bridge on which the host has addresses, with an MTU above this.

    Its MTU is that of the host's own traffic. One without addresses may have any.
    """
    link = host.link(bridge)
    if link is None or link.kind not in _DEVICES or not link.up or link.mtu <= above:
        return None
    return link if host.addresses(bridge) else None
