# SPDX-License-Identifier: Apache-2.0
"""Whose a VIF is: which guest's interface is the VIF's, among those of all guests. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from vifplug.guest.live import GuestInterface, Guests


class Whose:
    """The guests that libvirt knows, asked VIF by VIF: a host has hundreds of both."""

    def __init__(self, guests: Guests) -> None:
        # A guest that runs goes first, because a copy of it may be shut off.
        runs = [each for each in guests.interfaces if each.runs]
        rests = [each for each in guests.interfaces if not each.runs]
        self._now = _Table((*runs, *rests))
        self._stored = _Table(guests.stored)
        self._names, self._declared = guests.names, guests.declared

    def guest(self, vif_id: str, uuid: str | None) -> str | None:
        """Return the name of the guest that a VIF is for; None where libvirt knows none.

        Its metadata have the VIF, or it has the uuid.
        """
        return self._declared.get(vif_id) or (self._names.get(uuid) if uuid else None)

    def interface(
        self, ids: Iterable[str], devices: Iterable[str], address: str | None
    ) -> GuestInterface | None:
        """Return the interface of a VIF that has these ids, devices and address.

        The ids are the VIF's own and its interface id. The address decides last, and not where
        several guests have it.
        """
        return self._now.found(ids, devices, address)

    def is_stored(self, ids: Iterable[str], devices: Iterable[str], address: str | None) -> bool:
        """Whether a guest will have the VIF once it starts anew or is restored."""
        return self._stored.found(ids, devices, address) is not None


class _Table:
    def __init__(self, interfaces: Iterable[GuestInterface]) -> None:
        self._by_id: dict[str, GuestInterface] = {}
        self._by_device: dict[str, GuestInterface] = {}
        self._by_address: dict[str, list[GuestInterface]] = {}
        for each in interfaces:
            if each.vif_id:
                self._by_id.setdefault(each.vif_id, each)
            if each.target:
                self._by_device.setdefault(each.target, each)
            if each.mac:
                self._by_address.setdefault(each.mac, []).append(each)

    def found(
        self, ids: Iterable[str], devices: Iterable[str], address: str | None
    ) -> GuestInterface | None:
        for table, names in ((self._by_id, ids), (self._by_device, devices)):
            for name in names:
                if name in table:
                    return table[name]
        same = self._by_address.get(address or "", [])
        running = [each for each in same if each.runs] or same
        return running[0] if len(running) == 1 else None
