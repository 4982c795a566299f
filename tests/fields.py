# SPDX-License-Identifier: Apache-2.0
"""Which fields of a VIF each type uses: the tables of docs/vif.md, and VIFs that try each field.

``python -m tests.fields`` writes the tables anew, from what the plugins declare.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.planning import PLUGINS
from vifplug.errors import InvalidVIF, VifplugError
from vifplug.model.host import Host
from vifplug.model.mark import Owner
from vifplug.model.use import DESCRIBING, NOTED, Use
from vifplug.model.vif import VIF, VNIC_TYPES, Instance, Network, QoS
from vifplug.plan.compare import plan
from vifplug.plugin import VIFPlugin

DOCUMENT = Path(__file__).parent.parent / "docs" / "vif.md"
START, END = "<!-- python -m tests.fields -->", "<!-- end -->"

OTHER = "99999999-0000-4000-8000-000000000001"
_SRIOV, _CARD = "0000:01:10.0", "0000:01:00.0"
_SUBNET = {"cidr": "10.9.0.0/24", "gateway": "10.9.0.1", "dhcp_server": "10.9.0.2"}
_SOCKET = "/var/run/openvswitch/vhu0b6a9d0e-7a"
_PARAMETERS = {"filter_parameters": True}

HOST = {
    "firewall": True,
    "links": {
        "br0": {"kind": "bridge", "up": True},
        "eth1": {"kind": "physical", "up": True, "driver": "enic", "pci": _CARD, "switch_id": "b8",
                 "vfs": {"0": {"spoofchk": True, "trust": False}}},
        "eth1v0": {"kind": "physical", "up": True, "driver": "enic", "pci": _SRIOV},
        "eth1_0": {"kind": "physical", "switch_id": "b8", "port_name": "pf0vf0"},
        "eth9": {"kind": "physical", "up": True, "driver": "enic"},
    },
    "pci": {
        _SRIOV: {"netdev": "eth1v0", "virtual": True, "pf": "eth1", "vf": 0,
                 "vdpa": "/dev/vhost-vdpa-0"},
        _CARD: {"netdev": "eth1"},
    },
    "ovs": {"bridges": {"br0": {"datapath_type": "system"}, "dpdk": {"datapath_type": "netdev"}}},
    "edges": {"eth1": {"evb": True, "why": "EVB"}},
}  # fmt: skip
"""A host on which a VIF of each type can be plugged."""

SAMPLES: Mapping[str, Any] = {
    "address": "fa:16:3e:99:99:99",
    "devname": "mytap",
    "filtered": True,
    "interface_id": OTHER,
    "profile_id": "sales",
    "manager_id": 12,
    "type_id": 77,
    "type_id_version": 7,
    "instance_id": OTHER,
    "model": "e1000",
    "driver": "qemu",
    "queues": 4,
    "network.id": OTHER,
    "network.label": "another",
    "network.mtu": 9000,
    "network.bridge": "br9",
    "network.interface": "eth9",
    "network.vlan": 77,
    "network.should_create_bridge": True,
    "network.should_create_vlan": True,
    "network.multi_host": True,
    "network.subnets": [{**_SUBNET, "ips": ["10.9.0.9"]}],
    "instance.uuid": OTHER,
    "instance.name": "another",
    "details.mac_address": "fe:16:3e:99:99:99",
    "details.datapath_type": "netdev",
    "details.ovs_hybrid_plug": True,
    "details.ovs_create_tap": True,
    "details.delegate_create": True,
    "details.bound_drivers": {"0": "openvswitch"},
    "details.vhostuser_socket": f"{_SOCKET}x",
    "details.vhostuser_mode": "client",
    "details.vhostuser_ovs_plug": False,
    "details.macvtap_mode": "private",
    "details.macvtap_source": "eth9",
    "details.physical_interface": "eth9",
    "details.vlan": 78,
    "details.pci_slot": "0000:09:00.0",
    "details.trusted": True,
    "details.spoofchk": False,
    **{f"qos.{one.name}": 100 for one in dataclasses.fields(QoS)},
}
"""A value of each field that a VIF of this host does not have."""

_NEW = {"network.bridge": "br9"}
_VLAN = {"network.interface": "eth1", "network.vlan": 5}
_MADE = {"network.should_create_vlan": True}
ENABLING: Mapping[str, Mapping[str, Any]] = {
    "network.should_create_bridge": _NEW,
    "network.multi_host": {**_NEW, "network.should_create_bridge": True},
    "network.should_create_vlan": _VLAN,
    "network.interface": {"network.should_create_bridge": True},
    "network.vlan": {**_VLAN, **_MADE},
    "details.datapath_type": {**_NEW, "network.should_create_bridge": True},
    **{f"qos.{way}_{word}": {f"qos.{way}_average": 50}
       for way in ("inbound", "outbound") for word in ("peak", "burst")},
}  # fmt: skip
"""The fields with which a field has its effect."""


@dataclass(frozen=True)
class Column:
    """VIFs of one type that are connected in one way.

    ``enabling`` are the fields with which a field has its effect here, where they are others than
    ``ENABLING``. ``unused`` are fields that change nothing here: another process of the type uses
    them, or what they ask for is there anyway.
    """

    vif_type: str
    way: str = ""
    vif: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    enabling: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    unused: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return f"{self.vif_type} {self.way}".strip()

    @property
    def kind(self) -> type[VIFPlugin]:
        return PLUGINS[self.vif_type]

    @property
    def uses(self) -> Mapping[str, Use]:
        """What the plugin declares for this way."""
        assert self.kind.uses is not None
        vnic_type = self.vif.get("vnic_type", "normal")
        uses = self.kind.uses[vnic_type if vnic_type in self.kind.uses else ""]
        every = (use if isinstance(use, Use) else Use(use) for use in uses)
        return {use.path: use for use in every}

    @property
    def paths(self) -> tuple[str, ...]:
        """The fields of such a VIF, but for those that say which one it is."""
        own = (f"details.{one.name}" for one in dataclasses.fields(self.kind.details))
        return (*PATHS, *own)

    def word(self, path: str) -> str:
        """Return what becomes of a field: used, refused, noted, or that it only describes."""
        if path in self.uses and path not in self.unused:
            return "used"
        if path in (*DESCRIBING, *self.kind.required, *self.unused):
            return "describes"
        return "noted" if path in NOTED else "refused"

    def data(self, *more: Mapping[str, Any]) -> dict[str, Any]:
        """Return the VIF as JSON, with more fields by their paths."""
        found: dict[str, Any] = {}
        base = {"id": "0b6a9d0e-7a3c-4a6e-9d55-3f1f0a3c2b11", "vif_type": self.vif_type,
                "address": "fa:16:3e:11:22:33", "instance.name": "instance-00000001",
                **self.vif}  # fmt: skip
        for fields in (base, *more):
            for path, value in fields.items():
                *outer, last = path.split(".")
                place = found
                for name in outer:
                    place = place.setdefault(name, {})
                place[last] = value
        return found

    def outcome(self, *more: Mapping[str, Any], foreign: bool = False) -> Outcome:
        """Return what a person, libvirt and the privileged side get of the VIF with more fields."""
        vif, plugin = VIF.from_dict(self.data(*more), lenient=foreign), self.kind(self.options)
        plugin.vif_type = self.vif_type
        host = Host.from_dict(HOST, PLUGINS.snapshots)
        try:
            plugin.check(vif)
            notes = plugin.passed_over(vif)
            wiring = plugin.wire(vif, host)
            owner = Owner(vif_id=vif.id, vif_type=vif.vif_type, process=wiring.process)
            planned = str(plan(owner, dataclasses.replace(wiring, passed_over=()), host))
        except VifplugError as error:
            return Outcome(error=error)
        parts = (str(part.to_dict()) for part in wiring.parts)
        found = (planned, wiring.interface.to_xml(), *parts)
        return Outcome(found=found, notes=notes)


@dataclass(frozen=True)
class Outcome:
    """What comes of a VIF: an error; or plan, XML and parts, and the notes on fields left out."""

    error: VifplugError | None = None
    found: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def refused(self) -> str | None:
        """The field that was refused."""
        return self.error.field if isinstance(self.error, InvalidVIF) else None

    @property
    def seen(self) -> tuple[str, ...]:
        """All but the notes on fields left out."""
        return (str(self.error),) if self.error else self.found


_BR0 = {"network.bridge": "br0"}
_UNFILTERED = ("instance.name", "network.subnets")
_FUNCTION = {**_BR0, "details.pci_slot": _SRIOV}
_QBG = {"network.interface": "eth1", "manager_id": 11, "type_id": 1193047, "type_id_version": 2,
        "instance_id": "09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f"}  # fmt: skip
_DPDK = {"network.bridge": "dpdk", "details.vhostuser_socket": _SOCKET}


def _ovs(process: str, **more: Any) -> Column:
    return Column("ovs", process, _BR0, {"process": process, **_PARAMETERS}, **more)


_NOTHING: Mapping[str, Mapping[str, Any]] = {"network.interface": {}, "network.vlan": {}}
_DELEGATED = "details.delegate_create"

COLUMNS = (
    Column("bridge", "", _BR0, _PARAMETERS),
    Column("bridge", "create_tap", _BR0, {"create_tap": True, **_PARAMETERS}),
    Column("tap"),
    _ovs("manual", unused=(*_UNFILTERED, _DELEGATED)),
    _ovs("automatic", unused=(*_UNFILTERED, "instance.uuid")),
    _ovs("hybrid", unused=(_DELEGATED,), enabling={
        "details.ovs_hybrid_plug": {"details.ovs_create_tap": True}}),
    Column("ovs", "direct", {**_FUNCTION, "vnic_type": "direct"}),
    Column("ovs", "vdpa", {**_FUNCTION, "vnic_type": "vdpa"}),
    Column("ovs", "remote-managed", {**_FUNCTION, "vnic_type": "remote-managed"}),
    Column("vhostuser", "", _DPDK, unused=("details.datapath_type",)),
    Column("macvtap", "", {"network.interface": "eth1"}, enabling={"network.interface": {}}),
    Column("802.1qbg", "", _QBG, enabling={"network.interface": {}}),
    Column("802.1qbh", "", {"network.interface": "eth1v0", "profile_id": "finance"},
           enabling=_NOTHING),
    Column("802.1qbh", "direct", {"vnic_type": "direct", "profile_id": "finance",
                                  "details.pci_slot": _SRIOV}),
    Column("hw_veb", "direct", {"vnic_type": "direct", "details.pci_slot": _SRIOV},
           enabling=_NOTHING),
    Column("hw_veb", "macvtap", {"vnic_type": "macvtap", "details.pci_slot": _SRIOV},
           enabling=_NOTHING),
    Column("hostdev_physical", "", {"details.pci_slot": _CARD}),
)  # fmt: skip


def _paths() -> Iterator[str]:
    for at, record in (("", VIF), ("network.", Network), ("qos.", QoS), ("instance.", Instance)):
        for one in dataclasses.fields(record):
            yield f"{at}{one.name}"


_RECORDS = ("network", "qos", "details", "instance", "foreign")
PATHS = tuple(path for path in _paths() if path not in (*_RECORDS, "id", "vif_type", "vnic_type"))
"""The fields that a VIF of any type may have, but for those that say which one it is."""


def another_vnic_type(column: Column) -> str | None:
    """Return a vnic_type that the column's type does not connect."""
    return next((one for one in VNIC_TYPES if one not in column.kind.vnic_types), None)


def tables() -> str:
    """Return the tables of docs/vif.md."""
    groups: dict[tuple[str, tuple[str, ...]], list[Column]] = {}
    wheres: list[str] = []
    for column in COLUMNS:
        cells = tuple(_cell(column, path, wheres) for path in PATHS)
        groups.setdefault((column.vif_type, cells), []).append(column)
    heads = [_head(columns) for columns in groups.values()]
    lines = [*_lines(["field", *heads])]
    for at, path in enumerate(PATHS):
        lines.append(_line([f"`{path}`", *(cells[at] for _, cells in groups)]))
    lines += ["", "A number means: used only", ""]
    lines += [f"{number}. {where}" for number, where in enumerate(wheres, 1)]
    lines += ["", "The details:", "", *_lines(["vif_type", "field", "used"])]
    for vif_type, kind in PLUGINS.items():
        for one in dataclasses.fields(kind.details):
            path = f"details.{one.name}"
            own = [column for column in COLUMNS if column.vif_type == vif_type]
            lines.append(_line([f"`{vif_type}`", f"`{path}`", _ways(own, path)]))
    return "\n".join(lines)


def _cell(column: Column, path: str, wheres: list[str]) -> str:
    use = column.uses.get(path)
    if use is None:
        return column.word(path)
    if not use.where:
        return "used"
    if use.where not in wheres:
        wheres.append(use.where)
    return f"used ({wheres.index(use.where) + 1})"


def _ways(columns: Iterable[Column], path: str) -> str:
    """Return the ways in which a type uses one of its details, and where."""
    words: dict[str, list[str]] = {}
    for column in columns:
        use = column.uses.get(path)
        word = "no" if use is None else use.where or "yes"
        words.setdefault(word, []).append(column.way or "normal")
    if len(words) == 1:
        return next(iter(words))
    return "; ".join(f"{', '.join(dict.fromkeys(ways))}: {word}" for word, ways in words.items())


def _head(columns: list[Column]) -> str:
    ways = ", ".join(column.way for column in columns if column.way and column.way != "create_tap")
    return f"`{columns[0].vif_type}`{' ' if ways else ''}{ways}"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _lines(heads: list[str]) -> tuple[str, str]:
    return _line(heads), "|" + "---|" * len(heads)


def written() -> str:
    """Return the document with its tables as they should be."""
    before, _, rest = DOCUMENT.read_text().partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n\n{tables()}\n\n{END}{after}"


if __name__ == "__main__":
    DOCUMENT.write_text(written())
