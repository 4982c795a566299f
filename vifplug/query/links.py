# SPDX-License-Identifier: Apache-2.0
"""The devices of the running host, each read when it is first asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from vifplug.kernel import holders
from vifplug.kernel.claims import ClaimsFolder
from vifplug.kernel.netlink import Netlink
from vifplug.model.claims import ClaimFiles
from vifplug.model.link import Link, Vf
from vifplug.model.links import Links
from vifplug.model.mark import CLAIMS, PREFIX, UPLINK, Mark, shared_mark, token_in
from vifplug.model.reached import Reached
from vifplug.operations import sysctls
from vifplug.query import cards as sysfs
from vifplug.query import limits

_MANAGERS = (
    (
        "systemd-networkd",
        "/run/systemd/netif/links/{}",
        ("ADMIN_STATE=configured", "ADMIN_STATE=configuring", "ADMIN_STATE=failed"),
    ),
    ("NetworkManager", "/run/NetworkManager/devices/{}", ("managed=true",)),
)
"""A service, where it writes what it does with the device of an index, and the lines for 'mine'."""

_UPLINKS = shared_mark(UPLINK, "")
"""How the mark of an uplink begins."""

_CONF = Path("/proc/sys/net")
_SETTINGS = (
    "ipv4.forwarding",
    "ipv4.proxy_arp",
    "ipv4.rp_filter",
    "ipv6.forwarding",
    "ipv6.proxy_ndp",
    "ipv6.use_tempaddr",
)
"""The sysctls of a device that the host's own traffic through it depends on."""


class RunningLinks(Links):
    """The devices of the network namespace of the thread that makes this.

    Each is read when it is first asked for, then kept: one consistent snapshot for one plan.
    """

    def __init__(
        self, claims: ClaimsFolder, netlink: Netlink | None = None, *, strict: bool = False
    ) -> None:
        """``claims`` is the folder of this network namespace's claims.

        ``strict``: who asks for claims of which some can't be read gets PrivilegeError.
        """
        super().__init__({})
        self._strict = strict
        self._netlink = netlink or Netlink()
        self._claims = claims
        self._told: set[Path] = set()
        self._claims_on: dict[str, tuple[Mark, ...]] = {}
        self._claimants: dict[str, set[str]] = {}
        self._claims_of: dict[str, tuple[tuple[str, Mark], ...]] = {}
        self._marked: dict[str, dict[str, Link]] = {}
        self._uplinks: dict[str, Link] | None = None
        self._kept: dict[str, Link | None] = {}
        self._carrying: dict[str, str | None] = {}
        self._expected: dict[str, None] = {}
        self._complete = False
        self._by_altname: Mapping[str, str] | None = None
        self._by_owner: dict[str, dict[str, Link]] | None = None
        self._holders: holders.Holders | None = None

    def read_all(self) -> None:
        """Read every device in one dump, as a batch does."""
        self._kept = dict(self._netlink.links())
        self._by_altname = self._by_owner = None
        self._complete = True

    def expect(self, names: Iterable[str]) -> None:
        """Note names and alternative names that will be asked for, so that one look finds all."""
        if not self._complete:
            self._expected |= dict.fromkeys(name for name in names if name not in self._kept)

    def read_ahead(self) -> None:
        """Read what is expected now, rather than when it is first asked for."""
        expected, self._expected = self._expected, {}
        if expected and not self._complete:
            self._read(expected)

    def _read(self, names: Iterable[str]) -> None:
        """Read the devices that have some names or alternative names, if any has, in one go."""
        names = list(names)
        found = self._netlink.named(names)
        carriers = {altname: name for name, link in found.items() for altname in link.altnames}
        self._carrying |= {name: carriers.get(name) for name in names}
        # What was read before is kept, and by its alternative name a device is not found here.
        self._kept = found | {name: found.get(name) for name in names} | self._kept

    def _look_for(self, name: str, seen: Mapping[str, object]) -> None:
        """Read what has a name or an alternative name, unless it was seen before."""
        if name not in seen and not self._complete:
            self._expected[name] = None
            self.read_ahead()

    def __getitem__(self, name: str) -> Link:
        self._look_for(name, self._kept)
        link = self._kept.get(name)
        if link is None:
            raise KeyError(name)
        return link

    def __iter__(self) -> Iterator[str]:
        if not self._complete:
            self.read_all()
        return iter([name for name, link in self._kept.items() if link])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def _names_by_altname(self) -> Mapping[str, str]:
        """Return the devices' names by their alternative names, once all devices are read."""
        if self._by_altname is None:
            links = ((name, link) for name, link in self._kept.items() if link)
            self._by_altname = {alt: name for name, link in links for alt in link.altnames}
        return self._by_altname

    def _every_marked(self) -> Mapping[str, dict[str, Link]]:
        """Return the devices with marks by VIF, once all devices are read."""
        if self._by_owner is None:
            self._by_owner = {}
            for name, link in self.items():
                for vif_id in link.owners:
                    self._by_owner.setdefault(vif_id, {})[name] = link
        return self._by_owner

    def carrying(self, altname: str) -> tuple[str, Link] | None:
        """Return the device that has this alternative name: one look-up, no dump."""
        if self._complete:
            name = self._names_by_altname().get(altname)
            link = self._kept[name] if name else None
            return (name, link) if name and link else None
        if altname not in self._carrying and (known := self._kept_carrying(altname)):
            return known
        self._look_for(altname, self._carrying)
        name = self._carrying[altname]
        kept = self._kept[name] if name else None
        return (name, kept) if name and kept else None

    def _claimants_like(self, vif_id: str) -> Iterable[str]:
        return self._claims.namesakes(vif_id)

    def _kept_carrying(self, altname: str) -> tuple[str, Link] | None:
        """Return the device that has this alternative name, if it was read by another."""
        kept = ((name, link) for name, link in self._kept.items() if link)
        return next((each for each in kept if altname in each[1].altnames), None)

    @property
    def claim_files(self) -> ClaimFiles:
        """The claims on the bridges of switches, in the same folder."""
        return self._claims

    def new_problems(self) -> dict[Path, str]:
        """Return what is wrong with the claims' folder, and which could not be read; each once."""
        every = self._claims.strange() | self._claims.problems
        new = {path: why for path, why in every.items() if path not in self._told}
        self._told |= new.keys()
        return new

    def left_over(self, vif_id: str) -> bool:
        """Whether a VIF has claims that can't be read, or claims on a device that is gone."""
        found = sum(len(claims) for claims in self._claims.of(vif_id).values())
        return found > len(self.claims_of(vif_id)) or bool(self._claims.unread(vif_id))

    def claims(self, name: str) -> tuple[Mark, ...]:
        """Return the claims on a device: files that its alternative name leads to."""
        if name not in self._claims_on:
            token = token_in(self[name].altnames) if name in self else None
            found = self._claims.on(token) if token else ()
            if token and self._strict:
                self._claims.require_read(token)
            self._claims_on[name] = found
        return self._claims_on[name]

    def claimants(self, name: str) -> set[str]:
        """Return the ids of the VIFs that claim a device: one listing of a folder."""
        if name not in self._claimants:
            token = token_in(self[name].altnames) if name in self else None
            self._claimants[name] = self._claims.claimants(token) if token else set()
        return self._claimants[name]

    def claims_of(self, vif_id: str) -> tuple[tuple[str, Mark], ...]:
        """Return a VIF's claims, each with the device that it is on."""
        if vif_id not in self._claims_of:
            self._claims_of[vif_id] = self._read_claims_of(vif_id)
        return self._claims_of[vif_id]

    def _read_claims_of(self, vif_id: str) -> tuple[tuple[str, Mark], ...]:
        claims = self._claims.of(vif_id)
        if self._strict:
            self._claims.require_read(vif_id)
        self.expect(CLAIMS + token for token in claims if not self._kept_carrying(CLAIMS + token))
        found = ((self.carrying(CLAIMS + token), claims[token]) for token in claims)
        return tuple((device[0], claim) for device, own in found if device for claim in own)

    def marked(self, vif_id: str) -> dict[str, Link]:
        """Return the devices that carry a mark of the VIF: one raw dump."""
        if self._complete:
            return dict(self._every_marked().get(vif_id, {}))
        if vif_id not in self._marked:
            # Both of one dump, because an unplug asks for both and a dump is long.
            found = Links(self._netlink.links_naming(f"{PREFIX}{vif_id}:", _UPLINKS))
            self._uplinks = found.uplinks()
            self._marked[vif_id] = found.marked(vif_id)
            self._kept.update(self._marked[vif_id])
        return self._marked[vif_id]

    def ports(self, bridge: str) -> dict[str, Link]:
        """Return the devices that are ports of this bridge: one filtered dump."""
        if self._complete:
            return super().ports(bridge)
        found = self._netlink.links(master=bridge)
        for name, link in found.items():
            self._kept.setdefault(name, link)
        return found

    def above(self, name: str) -> dict[str, Link]:
        """Return the devices that lie on a device: one raw dump."""
        if self._complete:
            return super().above(name)
        found = self._netlink.links_above(self[name].index) if name in self else {}
        return {above: link for above, link in found.items() if link.lower == name}

    def addresses(self, name: str) -> tuple[str, ...]:
        """Return the device's IP addresses, without the one that a link gives itself."""
        if name not in self:
            return ()
        found = self._netlink.addresses(self[name].index)
        return tuple(dict.fromkeys(one.name for one in found if not one.by_link))

    def routes(self, name: str) -> tuple[str, ...]:
        """Return the routes through the device, without those that follow from its addresses."""
        if name not in self:
            return ()
        found = self._netlink.routes(self[name].index)
        return tuple(dict.fromkeys(one.name for one in found if not one.by_link))

    def neighbours(self, name: str) -> tuple[str, ...]:
        """Return the permanent neighbours on the device: IP address and MAC address."""
        if name not in self:
            return ()
        return tuple(one.name for one in self._netlink.neighbours(self[name].index))

    def naming(self, name: str) -> tuple[str, ...]:
        """Return what else of the host names the device: rules, and addresses it stands for."""
        return tuple(self._netlink.naming(name, self[name].index)) if name in self else ()

    def sysctls(self, name: str) -> Mapping[str, int]:
        """Return the device's sysctls on the host's IP traffic, or those of a new device."""
        device = name if name in self else "default"
        found = {}
        for setting in _SETTINGS:
            family, _, word = setting.partition(".")
            # A kernel without IPv6 has no such file.
            with contextlib.suppress(OSError, ValueError):
                found[setting] = int((_CONF / family / "conf" / device / word).read_text())
        return found

    def sysctl(self, name: str, setting: str) -> int | None:
        """Return one of the sysctls that a part may set: of the device, or of a new one."""
        file = sysctls.path(name if name in self else "default", setting)
        try:
            return int((_CONF / file).read_text())
        except (OSError, ValueError):  # a kernel without IPv6 has no such file
            return None

    def reached(self, to: str) -> Reached | None:
        """Return how this host reaches an IP address: one question to the kernel."""
        return self._netlink.reached(to)

    def driver(self, name: str) -> str | None:
        """Return the name of the driver that made the device, as the kernel itself has it."""
        return sysfs.driver(name) if name in self else None

    def held(self, name: str) -> bool | None:
        """Whether a process has the macvtap open; None where that can't be seen."""
        if name not in self:
            return None
        if self._holders is None:
            self._holders = holders.look()
        return self._holders.of(self[name].index)

    def station(self, name: str) -> bool:
        """Whether the device is a station of a wireless network, without 4-address frames."""
        link = self.get(name)
        return bool(link and link.kind == "physical" and limits.is_station(link.index))

    def makes(self, kind: str) -> bool:
        """Whether the kernel can make devices of a kind, as far as that differs among kernels."""
        return kind != "vlan" or limits.has_vlans()

    def uplinks(self) -> dict[str, Link]:
        """Return the devices that bear the mark of an uplink: from the dump of marked(), or one."""
        if self._complete:
            return super().uplinks()
        if self._uplinks is None:
            self._uplinks = Links(self._netlink.links_naming(_UPLINKS)).uplinks()
        return self._uplinks

    def vf(self, name: str, number: int) -> Vf | None:
        """Return what a physical function lets a virtual one do."""
        return self._netlink.vfs(self[name].index).get(number) if name in self else None

    def manager(self, name: str) -> str | None:
        """Return the network service that says it looks after the device."""
        index = self[name].index if name in self else 0
        for service, path, words in _MANAGERS:
            try:
                said = Path(path.format(index)).read_text().splitlines()
            except OSError:
                continue
            if any(line in words for line in said):
                return service
        return None
