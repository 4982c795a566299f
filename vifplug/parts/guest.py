# SPDX-License-Identifier: Apache-2.0
"""The tap that libvirt has made for a guest that runs. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from vifplug.errors import Conflict
from vifplug.fields import MAC, MTU, declared
from vifplug.model.host import Host
from vifplug.model.link import Link
from vifplug.model.mark import Owner
from vifplug.operations.links import SetLink
from vifplug.operations.operation import Operation
from vifplug.parts.bridge import BridgePort
from vifplug.parts.part import drift
from vifplug.parts.tap import MOST_TAP_MTU, host_side_address, is_its_tap, stale_address


@dataclass(frozen=True, kw_only=True)
class GuestTap(BridgePort):
    """The tap of a guest that runs is up, and a port of the bridge that its VIF asks for.

    libvirt makes the tap, joins it to the bridge and removes it. A tap that is not there is none
    of this part's business. Another program may have changed it since. ``address`` is the guest's.
    Nothing shows whose a tap is whose name does not follow from the VIF's id: it is looked at, and
    left alone.
    """

    kind: ClassVar[str] = "guest"
    derived: ClassVar[Mapping[str, str]] = {"tap": "tap"}

    address: str | None = declared(MAC, default=None)
    mtu: int | None = declared(MTU, default=None)

    @property
    def uses(self) -> tuple[str, ...]:
        return ()  # there may be no such tap

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        return self._repairs(owner, host) if is_its_tap(self.device, owner, host) else ()

    def _repairs(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        """Return what would make the part true."""
        link = host.link(self.device)
        if link is None or link.kind != "tap":
            return ()
        others = link.owners - {owner.vif_id}
        if others:
            needed = "the tap of this VIF's guest"
            raise Conflict(owner.vif_id, self.device, f"belongs to VIF {min(others)}", needed)
        joined = link.master == self.bridge
        device, before = self.device, link.master
        join = SetLink(device=device, attribute="master", value=self.bridge, before=before)
        # The MTU first, because a tap that joins a bridge may lower the bridge's.
        wanted = self._mtu(link, host)
        mtu = {} if wanted is None else {"mtu": wanted}
        return (*drift(device, link, **mtu), *(() if joined else (join,)),
                *drift(device, link, up=True))  # fmt: skip

    def _mtu(self, tap: Link, host: Host) -> int | None:
        """Return the MTU that the tap is to have; without one of the network, a joined bridge's."""
        bridge = host.link(self.bridge)
        if self.mtu is None and bridge and tap.master != self.bridge and tap.mtu < bridge.mtu:
            return min(bridge.mtu, MOST_TAP_MTU)
        return self.mtu

    def step(self, operations: tuple[Operation, ...], host: Host) -> tuple[str, str]:
        if not operations:
            return "keep", ""
        settings = [o for o in operations if isinstance(o, SetLink) and o.attribute != "master"]
        words = [operation.words for operation in settings]
        link = host.link(self.device)
        if len(settings) == len(operations) or link is None:
            return "change", ", ".join(words)
        if link.master:
            return "move", ", ".join((f"from {link.master}", *words))
        return "change", ", ".join(("joined again", *words))

    def stale(self, owner: Owner, host: Host) -> tuple[str, ...]:
        left: tuple[str, ...] = ()
        if not is_its_tap(self.device, owner, host):
            needs = (o for o in self._repairs(owner, host) if isinstance(o, SetLink))
            left = tuple(f"{self.device} needs {o.words}, and is left alone" for o in needs)
        if self.address is None:
            return left
        return (*left, *stale_address(self.device, host, host_side_address(self.address)))
