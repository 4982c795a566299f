# SPDX-License-Identifier: Apache-2.0
"""The changes of the switch's database, and one of the kernel that the core does not have. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from vifplug import Host
from vifplug.operations import LinkOperation, Operation, PortOperation
from vifplug_acme.snapshot import Acme, Row


@dataclass(frozen=True, kw_only=True)
class AddPort(PortOperation):
    """Add a port to the database."""

    row: Row

    def __str__(self) -> str:
        return f"add port {self.device}"

    def undo(self) -> Operation:
        return RemovePort(device=self.device, row=self.row)

    def foresee(self, host: Host) -> None:
        if acme := host.switch(Acme):
            acme.ports[self.device] = self.row


@dataclass(frozen=True, kw_only=True)
class RemovePort(PortOperation):
    """Remove a port from the database; one that is gone is removed already."""

    row: Row

    def __str__(self) -> str:
        return f"remove port {self.device}"

    def undo(self) -> Operation:
        return AddPort(device=self.device, row=self.row)

    def foresee(self, host: Host) -> None:
        if acme := host.switch(Acme):
            acme.ports.pop(self.device, None)


@dataclass(frozen=True, kw_only=True)
class SetProxyArp(LinkOperation):
    """Have a device answer ARP for others, or not: a sysctl that the core does not set."""

    value: bool

    def __str__(self) -> str:
        return f"set {self.device} proxy_arp {'on' if self.value else 'off'}"

    def undo(self) -> Operation:
        return SetProxyArp(device=self.device, value=not self.value)

    def foresee(self, host: Host) -> None:
        if acme := host.switch(Acme):
            acme.proxy_arp[self.device] = self.value
