# SPDX-License-Identifier: Apache-2.0
"""The devices of a host by name: all that planning may ask of them. Plain values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from vifplug.model.claims import ClaimFiles, NoClaimFiles
from vifplug.model.link import Link, Vf
from vifplug.model.mark import PREFIXES, UPLINK, Mark, derived_name, is_namesake
from vifplug.model.reached import Reached, reached


class Links(Mapping[str, Link]):
    """The host's devices by name. This one holds them all; that of ``look`` reads on demand."""

    def __init__(self, links: Mapping[str, Link]) -> None:
        self._links = dict(links)

    def __getitem__(self, name: str) -> Link:
        return self._links[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._links)

    def __len__(self) -> int:
        return len(self._links)

    def expect(self, names: Iterable[str]) -> None:
        """Note names and alternative names that will be asked for, so that one look finds all."""

    def read_ahead(self) -> None:
        """Read what is expected now, rather than when it is first asked for."""

    def carrying(self, altname: str) -> tuple[str, Link] | None:
        """Return the device that has this alternative name."""
        return next(((n, k) for n, k in self.items() if altname in k.altnames), None)

    def marked(self, vif_id: str) -> dict[str, Link]:
        """Return the devices that carry a mark of the VIF."""
        return {n: k for n, k in self.items() if any(m.vif_id == vif_id for m in k.marks)}

    def claims(self, name: str) -> tuple[Mark, ...]:
        """Return the claims on a device."""
        texts = self[name].claims if name in self else ()
        return tuple(claim for text in texts if (claim := Mark.parse(text)))

    def claimants(self, name: str) -> set[str]:
        """Return the ids of the VIFs that claim a device."""
        return {claim.vif_id for claim in self.claims(name)}

    def claims_of(self, vif_id: str) -> tuple[tuple[str, Mark], ...]:
        """Return a VIF's claims, each with the device that it is on."""
        every = ((name, claim) for name in self for claim in self.claims(name))
        return tuple((name, claim) for name, claim in every if claim.vif_id == vif_id)

    def namesakes(self, vif_id: str) -> frozenset[str]:
        """Return the other VIFs with claims or marks whose devices would have the same names."""
        names = (derived_name(prefix, vif_id) for prefix in PREFIXES)
        owners = (self[name].owners for name in names if name in self)
        every = frozenset(self._claimants_like(vif_id)).union(*owners)
        return frozenset(other for other in every if is_namesake(other, vif_id))

    def _claimants_like(self, vif_id: str) -> Iterable[str]:
        """Return the ids of VIFs with claims, at least those that begin like a VIF's."""
        return {claim.vif_id for name in self for claim in self.claims(name)}

    @property
    def claim_files(self) -> ClaimFiles:
        """The claims on the bridges of switches."""
        return NoClaimFiles()

    def ports(self, bridge: str) -> dict[str, Link]:
        """Return the devices that are ports of this bridge (or have it as another master)."""
        return {name: link for name, link in self.items() if link.master == bridge}

    def above(self, name: str) -> dict[str, Link]:
        """Return the devices that lie on a device."""
        return {above: link for above, link in self.items() if link.lower == name}

    def addresses(self, name: str) -> tuple[str, ...]:
        """Return the device's IP addresses, with their prefix lengths."""
        return self[name].addresses if name in self else ()

    def routes(self, name: str) -> tuple[str, ...]:
        """Return the routes through the device."""
        return self[name].routes if name in self else ()

    def neighbours(self, name: str) -> tuple[str, ...]:
        """Return the permanent neighbours on the device: IP address and MAC address."""
        return self[name].neighbours if name in self else ()

    def naming(self, name: str) -> tuple[str, ...]:
        """Return what else of the host names the device: rules, and addresses it stands for."""
        return self[name].naming if name in self else ()

    def sysctls(self, name: str) -> Mapping[str, int]:
        """Return the sysctls of the device on the host's IP traffic, or those of a new one."""
        return self[name].sysctls if name in self else {}

    def sysctl(self, name: str, setting: str) -> int | None:
        """Return one of ``vifplug.operations.sysctls.ALLOWED``: of the device, or of a new one."""
        return self[name].sysctls.get(setting) if name in self else None

    def reached(self, to: str) -> Reached | None:
        """Return how the host reaches an IP address; None where it does not."""
        return reached(to, self)

    def manager(self, name: str) -> str | None:
        """Return the network service that looks after the device, if one does."""
        return self[name].manager if name in self else None

    def driver(self, name: str) -> str | None:
        """Return the name of the driver that made the device, as the kernel has it."""
        return self[name].driver if name in self else None

    def held(self, name: str) -> bool | None:
        """Whether a process has the macvtap open; None where that can't be seen."""
        return self[name].held if name in self else None

    def station(self, name: str) -> bool:
        """Whether the device is a station of a wireless network, without 4-address frames."""
        return name in self and self[name].station

    def makes(self, kind: str) -> bool:
        """Whether the kernel can make devices of a kind."""
        return True

    def uplinks(self) -> dict[str, Link]:
        """Return the devices that bear the mark of an uplink."""
        return {n: k for n, k in self.items() if any(m.role == UPLINK for m in k.shared_marks)}

    def vf(self, name: str, number: int) -> Vf | None:
        """Return what a physical function lets a virtual one do."""
        return self[name].vfs.get(str(number)) if name in self else None


class Planned(Links):
    """The devices as they will be: those of a base, with the changes that planning has noted.

    A scratch pad: unlike the rest of a Host it changes, so that a batch of thousands plans fast.
    """

    def __init__(self, base: Links) -> None:
        super().__init__({})
        self._base = base
        self._changed: dict[str, Link | None] = {}
        self._there: dict[str, Link] = {}
        self._altnames: dict[str, str] = {}
        self._addresses: dict[str, tuple[str, ...]] = {}
        self._routes: dict[str, tuple[str, ...]] = {}
        self._neighbours: dict[str, tuple[str, ...]] = {}
        self._vfs: dict[tuple[str, int], Vf] = {}
        self._sysctls: dict[tuple[str, str], int] = {}
        self._reached: dict[str, Reached | None] = {}
        self._proxied: dict[str, dict[str, bool]] = {}
        self._claims_of: dict[str, dict[tuple[str, Mark], bool]] = {}
        self._claims_on: dict[str, dict[Mark, bool]] = {}

    def put_claim(self, name: str, claim: Mark, there: bool) -> None:
        """Note a claim on a device as it will be: there, or gone."""
        self._claims_on.setdefault(name, {})[claim] = there
        self._claims_of.setdefault(claim.vif_id, {})[name, claim] = there

    def put_vf(self, name: str, number: int, vf: Vf) -> None:
        """Note what a virtual function may do as it will be."""
        self._vfs[name, number] = vf

    def put_sysctl(self, name: str, setting: str, value: int) -> None:
        """Note a device's sysctl as it will be."""
        self._sysctls[name, setting] = value

    def put_reached(self, to: str, how: Reached | None) -> None:
        """Note how the host will reach an IP address."""
        self._reached[to] = how

    def put_proxied(self, name: str, address: str, there: bool) -> None:
        """Note whether the host will answer for an address on a device."""
        self._proxied.setdefault(name, {})[f"proxy for {address}"] = there

    def put_addressing(
        self,
        name: str,
        addresses: tuple[str, ...],
        routes: tuple[str, ...],
        neighbours: tuple[str, ...],
    ) -> None:
        """Note a device's addresses, routes and permanent neighbours as they will be."""
        self._addresses[name], self._routes[name] = addresses, routes
        self._neighbours[name] = neighbours

    def put(self, name: str, after: Link | None) -> None:
        """Note a device as made or changed, or as gone."""
        before = self.get(name)
        old, new = before.altnames if before else (), after.altnames if after else ()
        if name not in self._changed:
            old = ()  # the base's, which are not noted here yet
        self._changed[name] = after
        if after is None:
            self._forget(name)
        self._there.pop(name, None)
        if after:
            self._there[name] = after
        # The usual change adds one name to thousands: only what differs is walked through.
        grown = new[: len(old)] == old
        for altname in () if grown else old:
            self._altnames.pop(altname, None)
        for altname in new[len(old) :] if grown else new:
            self._altnames[altname] = name

    def _forget(self, name: str) -> None:
        """Note that what goes with a device is gone, also if one of this name is made again."""
        self._proxied.pop(name, None)
        for key in [key for key in self._sysctls if key[0] == name]:
            del self._sysctls[key]
        for to in [to for to, how in self._reached.items() if how and how.device == name]:
            self._reached[to] = None

    def __getitem__(self, name: str) -> Link:
        if name not in self._changed:
            return self._base[name]
        link = self._changed[name]
        if link is None:
            raise KeyError(name)
        return link

    def __iter__(self) -> Iterator[str]:
        yield from (name for name in self._base if name not in self._changed)
        yield from (name for name, link in self._changed.items() if link)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def carrying(self, altname: str) -> tuple[str, Link] | None:
        """Return the device that has, or will have, this alternative name."""
        if altname in self._altnames:
            return self._altnames[altname], self[self._altnames[altname]]
        found = self._base.carrying(altname)
        return None if found and found[0] in self._changed else found

    def claims(self, name: str) -> tuple[Mark, ...]:
        """Return the claims that are, or will be, on a device."""
        if name not in self:
            return ()
        noted = self._claims_on.get(name, {})
        kept = (claim for claim in self._base.claims(name) if claim not in noted)
        return (*kept, *(claim for claim, there in noted.items() if there))

    def claimants(self, name: str) -> set[str]:
        """Return the ids of the VIFs that claim, or will claim, a device."""
        if name not in self:
            return set()
        noted = self._claims_on.get(name, {})
        there = {claim.vif_id for claim, is_there in noted.items() if is_there}
        changed = {claim.vif_id for claim in noted} - there
        kept = {i for i in changed if any(on == name for on, _ in self.claims_of(i))}
        return self._base.claimants(name) - changed | there | kept

    def claims_of(self, vif_id: str) -> tuple[tuple[str, Mark], ...]:
        """Return the claims that a VIF has, or will have, each with the device that it is on."""
        noted = self._claims_of.get(vif_id, {})
        kept = (found for found in self._base.claims_of(vif_id) if found not in noted)
        every = (*kept, *(found for found, there in noted.items() if there))
        return tuple(found for found in every if found[0] in self)

    def namesakes(self, vif_id: str) -> frozenset[str]:
        """Return the other VIFs with claims or marks whose devices would have the same names.

        VIFs that get these by the plan are left out: their names are not free by then.
        """
        return self._base.namesakes(vif_id)

    def marked(self, vif_id: str) -> dict[str, Link]:
        """Return the devices that carry, or will carry, a mark of the VIF."""
        base = self._base.marked(vif_id)
        kept = {name: link for name, link in base.items() if name not in self._changed}
        there = self._there.items()
        return kept | {n: k for n, k in there if any(m.vif_id == vif_id for m in k.marks)}

    def above(self, name: str) -> dict[str, Link]:
        """Return the devices that lie, or will lie, on a device."""
        base = self._base.above(name)
        kept = {above: link for above, link in base.items() if above not in self._changed}
        there = ((above, link) for above, link in self._changed.items() if link)
        return kept | {above: link for above, link in there if link.lower == name}

    def addresses(self, name: str) -> tuple[str, ...]:
        """Return the IP addresses that the device has, or will have."""
        return self._addresses[name] if name in self._addresses else self._base.addresses(name)

    def routes(self, name: str) -> tuple[str, ...]:
        """Return the routes that go, or will go, through the device."""
        return self._routes[name] if name in self._routes else self._base.routes(name)

    def neighbours(self, name: str) -> tuple[str, ...]:
        """Return the permanent neighbours that the device has, or will have."""
        return self._neighbours[name] if name in self._neighbours else self._base.neighbours(name)

    def naming(self, name: str) -> tuple[str, ...]:
        """Return what else of the host names, or will name, the device."""
        noted = self._proxied.get(name, {})
        kept = (each for each in self._base.naming(name) if each not in noted)
        return (*kept, *(each for each, there in noted.items() if there))

    def sysctls(self, name: str) -> Mapping[str, int]:
        """Return the sysctls of the device, or those of a new one."""
        return self._base.sysctls(name)

    def sysctl(self, name: str, setting: str) -> int | None:
        """Return a sysctl that the device has, or will have; None of one that is to be made."""
        made = self._changed.get(name)
        if (name, setting) in self._sysctls or (made and made.index == 0):
            return self._sysctls.get((name, setting))
        return self._base.sysctl(name, setting)

    def reached(self, to: str) -> Reached | None:
        """Return how the host reaches, or will reach, an IP address."""
        how = self._reached[to] if to in self._reached else self._base.reached(to)
        return how if how and how.device in self else None

    def manager(self, name: str) -> str | None:
        """Return the network service that looks after the device."""
        return self._base.manager(name)

    def driver(self, name: str) -> str | None:
        """Return the name of the driver that made the device."""
        return self._base.driver(name)

    def held(self, name: str) -> bool | None:
        """Whether a process has the macvtap open."""
        return self._base.held(name)

    def station(self, name: str) -> bool:
        """Whether the device is a station of a wireless network, without 4-address frames."""
        return self._base.station(name)

    def makes(self, kind: str) -> bool:
        """Whether the kernel can make devices of a kind."""
        return self._base.makes(kind)

    def uplinks(self) -> dict[str, Link]:
        """Return the devices that bear, or will bear, the mark of an uplink."""
        base = self._base.uplinks()
        kept = {name: link for name, link in base.items() if name not in self._changed}
        return kept | Links({n: k for n, k in self._changed.items() if k}).uplinks()

    def vf(self, name: str, number: int) -> Vf | None:
        """Return what a physical function lets, or will let, a virtual one do."""
        return self._vfs.get((name, number)) or self._base.vf(name, number)
