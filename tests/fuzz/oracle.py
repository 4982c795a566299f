# SPDX-License-Identifier: Apache-2.0
"""What a hostile VIF may change, and what not: nothing that is not its own.

Every exception is in ``_ALLOWED``, with its reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.fuzz.kernel import Row, Rows
from tests.fuzz.names import BRIDGES, FOREIGN, PORTS, SWITCHES, UPLINKS, VICTIMS, is_derived
from tests.fuzz.scenario import Scenario
from vifplug.model.mark import CLAIMS, shared_mark

_UPLINK = "vifplug:shared::uplink:"
_UP = 1
"""IFF_UP."""
_IDS = ("vifplug-id", "iface-id")


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One column of a row that is not as it was; column "" is the row itself."""

    table: str
    name: str
    column: str
    before: Any
    after: Any

    def __str__(self) -> str:
        column = f" {self.column}" if self.column else ""
        return f"{self.table} {self.name}{column}: {_short(self.before)} -> {_short(self.after)}"

    @property
    def is_main(self) -> bool:
        """Whether the difference follows from no other one."""
        return self.table not in _BESIDE and not _FOLLOWS.fullmatch(self.column)


_BESIDE = ("fdb", "netconf", "vlans", "qdisc", "Open_vSwitch")
_FOLLOWS = re.compile(r"(ipv[46]|port|bridge|attribute) \d+|broadcast|index")
"""Tables and columns that follow from others, or that say little."""


def _short(value: Any) -> str:
    text = "-" if value is None else repr(value)
    return text if len(text) < 200 else f"{text[:200]}..."


def compared(before: Rows, after: Rows) -> list[Difference]:
    """Return what differs between two looks at a host."""
    if before == after:
        return []
    found = []
    for table, name in {**before, **after}:
        old, new = before.get((table, name)), after.get((table, name))
        if old == new:
            continue
        if old is None or new is None:
            row = Difference(table=table, name=name, column="", before=old, after=new)
            found.append(row)
            continue
        found += [
            Difference(table=table, name=name, column=column,
                       before=old.get(column), after=new.get(column))
            for column in {**old, **new} if old.get(column) != new.get(column)
        ]  # fmt: skip
    return found


@dataclass(frozen=True)
class Looks:
    """Two looks at a host, and the scenario in between. ``unplugged``: the second came last.

    ``plugged``: the VIF is still plugged, and the switch may follow a plug that came before.
    """

    scenario: Scenario
    before: Rows
    after: Rows
    unplugged: bool
    plugged: bool = False

    @property
    def vif_id(self) -> str:
        return self.scenario.vif_id

    def either(self, table: str, name: str) -> Row:
        """Return a row as it was at first, or else as it is."""
        return self.before.get((table, name)) or self.after.get((table, name)) or {}

    def devices(self) -> list[tuple[str, Row]]:
        """Return the devices as they are, by name."""
        return [(name, row) for (table, name), row in self.after.items() if table == "link"]

    def altnames(self, device: str, *, now: bool = True) -> tuple[str, ...]:
        row = (self.after if now else self.before).get(("link", device), {})
        names: tuple[str, ...] = row.get("altnames", ())
        return names

    def is_own(self, table: str, name: str) -> bool:
        """Whether a row is the VIF's own: by its mark, its id, or a name made of its id.

        A mark on what was there before counts only if it was there before, too.
        """
        row = self.either(table, name)
        if table == "claim":
            return bool(row.get("vif") == self.vif_id)
        if "device" in row:
            return self.is_own("link", row["device"])
        if table == "link":
            marked = any(f"vifplug:{self.vif_id}:" in each for each in row.get("altnames", ()))
            return marked or self._is_named_own(name) or self._on_switch(name)
        if table in ("Port", "Interface") and ("Bridge", name) in self.after:
            return self.is_own("Bridge", name)
        if table in ("Bridge", "Port", "Interface", "QoS", "Queue"):
            return self._bears_id(row) or self._own_port(table, name)
        return table == "file" and self._is_named_own(name)

    def _is_named_own(self, name: str) -> bool:
        """Whether a name is made of this VIF's id, and no device of another VIF had it before."""
        own = is_derived(name, [self.vif_id])
        return own and not (("link", name) in self.before and is_derived(name, VICTIMS.values()))

    def _bears_id(self, row: Row) -> bool:
        ids = row.get("external_ids", {})
        return any(ids.get(key) == self.vif_id for key in _IDS)

    def _own_port(self, table: str, name: str) -> bool:
        return table == "Interface" and self._bears_id(self.either("Port", name))

    def _on_switch(self, name: str) -> bool:
        """Whether a new device is that of a bridge or port that the VIF has on the switch."""
        new = ("link", name) not in self.before
        rows = [("Bridge", name), ("Port", name)]
        return new and any(row in self.after and self.is_own(*row) for row in rows)


def shared_bridges(looks: Looks) -> set[str]:
    """Return the Linux bridges that VIFs share: those that a plug made, and other programs'."""
    found = set()
    for (table, name), row in looks.after.items():
        if table == "link" and row["kind"] == "bridge":
            marks = [each for each in row["altnames"] if each.startswith("vifplug:")]
            if all(":shared:" in each or each.startswith(CLAIMS) for each in marks):
                found.add(name)
    return found


def moved_uplinks(looks: Looks) -> dict[str, str]:
    """Return the uplinks that the VIF itself names and that joined a shared bridge, with it."""
    found = {}
    shared = shared_bridges(looks)
    for table, name in looks.after:
        if table != "link" or name not in looks.scenario.words:
            continue
        new = set(looks.altnames(name)) - set(looks.altnames(name, now=False))
        for each in new:
            bridge = each.removeprefix(_UPLINK)
            if each.startswith(_UPLINK) and bridge in shared and _was_free(looks, name):
                found[name] = bridge
    return found


def _was_free(looks: Looks, device: str) -> bool:
    """Whether a device of the host was no bridge's port, and no VIF's."""
    row = looks.before.get(("link", device), {})
    names = row.get("altnames", ("vifplug:",))
    return not row.get("master") and not any("vifplug:" in each for each in names)


# The exceptions.


def _claims_name(looks: Looks, d: Difference) -> bool:
    """A device that the VIF claims bears the name that leads to its claims."""
    if d.table != "link" or d.column != "altnames" or d.before is None or d.after is None:
        return False
    if set(d.before) ^ set(d.after) != {CLAIMS} or CLAIMS not in d.after:
        return False
    return ("claim", f"{d.name} {looks.vif_id}") in looks.after


def _made_bridge(looks: Looks, d: Difference) -> bool:
    """A plug makes a shared bridge that is missing; the last unplug removes a Linux one."""
    if looks.unplugged or d.before is not None:
        return False
    device = d.name if d.table == "link" else looks.either(d.table, d.name).get("device", "")
    marks = (shared_mark("bridge", device), shared_mark("vlan", device))
    new = ("link", device) not in looks.before
    return new and any(mark in looks.altnames(device) for mark in marks)


def _made_switch(looks: Looks, d: Difference) -> bool:
    """A shared bridge of Open vSwitch that a plug made stays; an operator removes it."""
    device = looks.either(d.table, d.name).get("device", d.name)
    row = looks.after.get(("Bridge", device), {})
    made = row.get("external_ids", {}).get("vifplug") == shared_mark("bridge", device)
    named = d.table in ("Bridge", "Port", "Interface", "link") or device != d.name
    return d.before is None and made and named and ("Bridge", device) not in looks.before


def _joined(looks: Looks, d: Difference) -> bool:
    """A shared bridge of Open vSwitch gets the VIF's ports, and keeps all others."""
    if d.table != "Bridge" or d.column != "ports" or looks.unplugged:
        return False
    new = set(_many(d.after)) - set(_many(d.before))
    gone = set(_many(d.before)) - set(_many(d.after))
    return not gone and all(looks.is_own("Port", name) for name in new)


def _many(cell: Any) -> tuple[Any, ...]:
    return cell if isinstance(cell, tuple) else (cell,)


def _uplink(looks: Looks, d: Difference) -> bool:
    """An uplink that the VIF names joins a shared bridge, and its addresses move there.

    It stays after the unplug where the bridge was there before: others use that bridge.
    """
    moved = moved_uplinks(looks)
    if looks.unplugged:
        moved = {u: b for u, b in moved.items() if ("link", b) in looks.before}
    devices = {*moved, *moved.values()}
    if d.table in ("address", "route", "neighbour", "fdb", "vlans"):
        return looks.either(d.table, d.name).get("device") in devices
    if d.table != "link" or d.name not in devices or not d.column:
        return False
    if d.name in moved.values():
        # With IPv6 addresses come accept_ra and disable_ipv6.
        return d.column in ("address", "broadcast", "ipv6 3", "ipv6 26", "bridge 20", "altnames")
    return d.column in ("master", "flags", "altnames") or d.column.startswith("port ")


def _stays_up(looks: Looks, d: Difference) -> bool:
    """An uplink that was down comes up, and stays up: another user may rely on it by then."""
    if d.table != "link" or d.column != "flags" or not looks.unplugged:
        return False
    free = d.name in looks.scenario.words and _was_free(looks, d.name)
    return free and int(d.before, 16) ^ int(d.after, 16) == _UP and bool(int(d.after, 16) & _UP)


def _neighbours(looks: Looks, d: Difference) -> bool:
    """The kernel drops an uplink's fixed neighbours with its last address; nothing brings them."""
    device = looks.either(d.table, d.name).get("device")
    return d.table == "neighbour" and device in looks.scenario.words and device in UPLINKS


def _woken(looks: Looks, d: Difference) -> bool:
    """A device that was down comes up for a macvtap, with a mark that says so."""
    if d.table != "link" or looks.unplugged:
        return False
    mark = shared_mark("woken", d.name)
    if mark not in looks.altnames(d.name) or mark in looks.altnames(d.name, now=False):
        return False
    new = set(looks.altnames(d.name)) - {mark, CLAIMS}
    names = new == set(looks.altnames(d.name, now=False)) - {CLAIMS}
    return d.column == "flags" or (d.column == "altnames" and names)


def _raised(looks: Looks, d: Difference) -> bool:
    """A bridge of ours has the largest MTU that a VIF of it has asked for, up to its uplink's."""
    if d.table != "link" or shared_mark("bridge", d.name) not in looks.altnames(d.name):
        return False
    if d.before is None or d.after is None or d.column not in ("mtu", "ipv6 2"):
        return False
    uplinks = (row["mtu"] for name, row in looks.devices() if _UPLINK + d.name in row["altnames"])
    return bool(d.before < d.after <= min(uplinks, default=d.after))


def _pinned_mtu(looks: Looks, d: Difference) -> bool:
    """A bridge of Open vSwitch that the host uses keeps its MTU by asking for the same."""
    mtu = looks.before.get(("link", d.name), {}).get("mtu")
    if d.table != "Interface" or ("Bridge", d.name) not in looks.before:
        return False
    noted = {**(d.before or {}), "vifplug-mtu": str(mtu)} if d.column == "external_ids" else None
    return d.after == noted or (d.column == "mtu_request" and d.after == mtu)


def _follows_ports(looks: Looks, d: Difference) -> bool:
    """Open vSwitch gives its own devices the least MTU of their bridge's ports, and gives it back.

    A device on which the host has an address keeps its own. Below 1280, there is no IPv6.
    """
    device = looks.either(d.table, d.name).get("device", d.name)
    used = any(row.get("device") == device for (table, _), row in looks.before.items()
               if table == "address")  # fmt: skip
    internal = looks.before.get(("Interface", device), {}).get("type") == "internal"
    follows = d.table == "netconf" or d.column == "mtu" or d.column.startswith("ipv6 ")
    return follows and internal and not used and (looks.plugged or not looks.unplugged)


def _made_before(looks: Looks, d: Difference) -> bool:
    """What another program made for the VIF may stay, where that plugin does not know the kind."""
    made = {word for line in looks.scenario.before for word in line.split()}
    return d.before is None and looks.either(d.table, d.name).get("device", d.name) in made


_ALLOWED: tuple[Callable[[Looks, Difference], bool], ...] = (
    _claims_name,
    _made_bridge,
    _made_switch,
    _joined,
    _uplink,
    _stays_up,
    _neighbours,
    _woken,
    _raised,
    _pinned_mtu,
    _follows_ports,
    _made_before,
)


def forbidden(looks: Looks) -> list[Difference]:
    """Return the differences that nothing allows."""
    found = []
    if looks.before == looks.after:
        return []
    for d in compared(looks.before, looks.after):
        own = looks.is_own(d.table, d.name) and not (looks.unplugged and d.before is None)
        if not own and not any(allowed(looks, d) for allowed in _ALLOWED):
            found.append(d)
    return [*found, *squatted(looks)]


def sort_of(looks: Looks, found: Sequence[Difference]) -> str:
    """Return what kind of change some differences are, without names that were made up."""
    main = [d for d in found if d.is_main]
    words = dict.fromkeys(_sort(looks, d) for d in main or found)
    return "; ".join(sorted(words)[:4])


def _sort(looks: Looks, d: Difference) -> str:
    change = d.column or ("gone" if d.after is None else "new")
    table = "" if d.table == "link" else f"{d.table} of "
    return f"{table}{_role(looks, d)}: {change}"


_ROLES = {
    "an uplink": UPLINKS,
    "a bridge of ours": ("br-a", "br-b"),
    "VIF e's macvtap": ("macvtape",),
    "another program's bridge": BRIDGES,
    "a bridge of the switch": SWITCHES,
    "another program's port": PORTS,
    "another program's device": FOREIGN,
}


def _role(looks: Looks, d: Difference) -> str:
    """Return whose a row is, or the row's device."""
    name = looks.either(d.table, d.name).get("device", d.name)
    if d.table == "file":
        return f"the file {d.name}"
    if looks.is_own(d.table, d.name):
        return "the VIF's own"
    for letter, vif_id in VICTIMS.items():
        if is_derived(name, [vif_id]) or name == f"tap{letter}" or vif_id in d.name:
            return f"VIF {letter}'s"
    known = next((role for role, names in _ROLES.items() if name in names), None)
    if (known and d.before is not None) or known in ("an uplink", "a bridge of ours"):
        return str(known)
    shared = any(":shared:" in each for each in looks.altnames(name))
    return "a new shared device" if shared else known or "a new one"


def squatted(looks: Looks) -> Iterator[Difference]:
    """Yield the devices and ports that have a name made of another VIF's id, and are new."""
    others = [vif_id for vif_id in VICTIMS.values() if vif_id != looks.vif_id]
    for table, name in looks.after:
        new = table in ("link", "Port", "Bridge") and (table, name) not in looks.before
        if new and is_derived(name, others) and not is_derived(name, [looks.vif_id]):
            yield Difference(table=table, name=name, column="squatted", before=None, after="new")
