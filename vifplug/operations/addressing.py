# SPDX-License-Identifier: Apache-2.0
"""Changes of a device's IP addresses, routes and permanent neighbours."""

from __future__ import annotations

from dataclasses import dataclass

from vifplug.model.host import Host
from vifplug.operations.operation import LinkOperation, Operation


@dataclass(frozen=True, kw_only=True)
class _Addressing(LinkOperation):
    """A change of a device's addresses, routes or neighbours, named as the Host names them.

    They move by being copied first and removed after: at every moment they are
    on one device or both, so that whoever is killed in between loses none.
    """

    these: tuple[str, ...]

    def foresee(self, host: Host) -> None:
        addresses = self.on_addresses(host.addresses(self.device))
        routes = self.on_routes(host.routes(self.device))
        neighbours = self.on_neighbours(host.neighbours(self.device))
        host.planned_links.put_addressing(self.device, addresses, routes, neighbours)

    def on_addresses(self, addresses: tuple[str, ...]) -> tuple[str, ...]:
        """Return the device's IP addresses as this makes them."""
        return addresses

    def on_routes(self, routes: tuple[str, ...]) -> tuple[str, ...]:
        """Return the device's routes as this makes them."""
        return routes

    def on_neighbours(self, neighbours: tuple[str, ...]) -> tuple[str, ...]:
        """Return the device's permanent neighbours as this makes them."""
        return neighbours


@dataclass(frozen=True, kw_only=True)
class CopyAddresses(_Addressing):
    """Give a device addresses that ``source`` has, with their lifetimes, metrics and flags."""

    source: str

    def __str__(self) -> str:
        return f"copy addresses from {self.source} to {self.device}"

    def on_addresses(self, addresses: tuple[str, ...]) -> tuple[str, ...]:
        return _with(addresses, self.these)

    def undo(self) -> Operation:
        return RemoveAddresses(device=self.device, kept_on=self.source, these=self.these)


@dataclass(frozen=True, kw_only=True)
class RemoveAddresses(_Addressing):
    """Take addresses from a device; ``kept_on`` has them too."""

    kept_on: str

    def __str__(self) -> str:
        return f"remove addresses from {self.device}"

    def on_addresses(self, addresses: tuple[str, ...]) -> tuple[str, ...]:
        return _without(addresses, self.these)

    def undo(self) -> Operation:
        return CopyAddresses(device=self.device, source=self.kept_on, these=self.these)


@dataclass(frozen=True, kw_only=True)
class CopyRoutes(_Addressing):
    """Have routes through ``source`` go through this device as well, in the same order."""

    source: str

    def __str__(self) -> str:
        return f"copy routes from {self.source} to {self.device}"

    def on_routes(self, routes: tuple[str, ...]) -> tuple[str, ...]:
        return _with(routes, self.these)

    def undo(self) -> Operation:
        return RemoveRoutes(device=self.device, kept_on=self.source, these=self.these)


@dataclass(frozen=True, kw_only=True)
class RemoveRoutes(_Addressing):
    """Take routes from a device; they go through ``kept_on`` too."""

    kept_on: str

    def __str__(self) -> str:
        return f"remove routes from {self.device}"

    def on_routes(self, routes: tuple[str, ...]) -> tuple[str, ...]:
        return _without(routes, self.these)

    def undo(self) -> Operation:
        return CopyRoutes(device=self.device, source=self.kept_on, these=self.these)


@dataclass(frozen=True, kw_only=True)
class CopyNeighbours(_Addressing):
    """Give a device permanent neighbours that ``source`` has."""

    source: str

    def __str__(self) -> str:
        return f"copy neighbours from {self.source} to {self.device}"

    def on_neighbours(self, neighbours: tuple[str, ...]) -> tuple[str, ...]:
        return _with(neighbours, self.these)

    def undo(self) -> Operation:
        return RemoveNeighbours(device=self.device, kept_on=self.source, these=self.these)


@dataclass(frozen=True, kw_only=True)
class RemoveNeighbours(_Addressing):
    """Take permanent neighbours from a device; ``kept_on`` has them too."""

    kept_on: str

    def __str__(self) -> str:
        return f"remove neighbours from {self.device}"

    def on_neighbours(self, neighbours: tuple[str, ...]) -> tuple[str, ...]:
        return _without(neighbours, self.these)

    def undo(self) -> Operation:
        return CopyNeighbours(device=self.device, source=self.kept_on, these=self.these)


def move_addressing(
    host: Host, source: str, target: str, *, between: Operation | None
) -> tuple[Operation, ...]:
    """Return what moves addresses, routes and permanent neighbours from a device to another.

    ``between`` is what lets the target reach what the source reached: it is done once both have
    the addresses, and before the routes, which need it. Neighbours come after it too, because a
    device that gets another MAC address forgets them.
    """
    addresses, routes = host.addresses(source), host.routes(source)
    neighbours = host.neighbours(source)
    # What the target has already is its own: taking the copy back must not take that.
    new_addresses = _without(addresses, host.addresses(target))
    new_routes = _without(routes, host.routes(target))
    new_neighbours = _without(neighbours, host.neighbours(target))
    done: list[Operation] = []
    if new_addresses:
        done.append(CopyAddresses(device=target, source=source, these=new_addresses))
    if between:
        done.append(between)
    if new_routes:
        done.append(CopyRoutes(device=target, source=source, these=new_routes))
    if new_neighbours:
        done.append(CopyNeighbours(device=target, source=source, these=new_neighbours))
    if neighbours:
        done.append(RemoveNeighbours(device=source, kept_on=target, these=neighbours))
    if routes:
        done.append(RemoveRoutes(device=source, kept_on=target, these=routes))
    if addresses:
        done.append(RemoveAddresses(device=source, kept_on=target, these=addresses))
    return tuple(done)


def _with(some: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    return (*some, *(one for one in more if one not in some))


def _without(some: tuple[str, ...], fewer: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(one for one in some if one not in fewer)
