# SPDX-License-Identifier: Apache-2.0
"""What must exist in Open vSwitch's database for a VIF. Pure, as all parts are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from posixpath import dirname
from typing import ClassVar

from vifplug.errors import Conflict, OVSDBError
from vifplug.fields import BOOLEAN, DEVICE, MAC, MTU, UUID, Choice, Many, Text, declared
from vifplug.host import Host
from vifplug.mark import Owner, derived_name, shared_mark
from vifplug.operations import Operation
from vifplug.ovs import IFACE_ID, MARK, VHOST_USER, VIF_ID, Ovs, OvsPort
from vifplug.parts import Part
from vifplug_ovs.names import OWN_BRIDGE
from vifplug_ovs.operations import (
    AddBridge,
    AddClaim,
    AddPort,
    MovePort,
    OvsOperation,
    RemoveBridge,
    RemoveClaim,
    RemovePort,
    RemoveQos,
    SetIds,
    SetMtu,
    Settle,
)

DATAPATHS = Choice("system", "netdev")
QOS_TYPES = Choice("", "linux-noop", "linux-htb", "linux-hfsc", "linux-sfq", "linux-codel",
                   "linux-fq_codel", "linux-netem")  # fmt: skip

PATCH = "patch"
_TYPES = Choice("", PATCH, *VHOST_USER)
SOCKET = Text(
    r"(?=.{2,107}$)(?!.*/\.{1,2}(?:/|$))(?:/[A-Za-z0-9_.+@:-]+)+",
    "the absolute path of a socket: at most 107 of A-Z a-z 0-9 _ . + @ : - /, without . and ..",
)


@dataclass(frozen=True, kw_only=True)
class Bridge(Part):
    """A shared OVS bridge: made where it is missing and ``create`` allows it."""

    kind: ClassVar[str] = "ovs-bridge"

    name: str = declared(DEVICE)
    create: bool = declared(BOOLEAN, default=False)
    datapath_type: str = declared(DATAPATHS, default="system")

    @property
    def title(self) -> str:
        return self.name

    @property
    def detail(self) -> str:
        return f"datapath {self.datapath_type}"

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        if _ovs(owner, host).bridge(self.name):
            return ()
        if not self.create:
            needed = "one that is there, or should_create_bridge without multi_host"
            raise Conflict(owner.vif_id, f"OVS bridge {self.name}", "is not there", needed)
        link = host.link(self.name)
        if link:
            needed = "an OVS bridge, or a name that is free"
            raise Conflict(owner.vif_id, self.name, f"is a {link.kind} device", needed)
        marks = {MARK: shared_mark("bridge", self.name)}
        return (AddBridge(device=self.name, marks=marks, datapath_type=self.datapath_type),)

    def step(self, operations: tuple[Operation, ...], host: Host) -> tuple[str, str]:
        return ("make", self.detail) if operations else ("keep", "keeps its settings")


@dataclass(frozen=True, kw_only=True)
class OwnBridge(Part):
    """An OVS bridge of the VIF's own, between its device and the integration bridge."""

    kind: ClassVar[str] = "ovs-own-bridge"

    name: str = declared(DEVICE)
    datapath_type: str = declared(DATAPATHS, default="system")

    @property
    def title(self) -> str:
        return self.name

    @property
    def detail(self) -> str:
        return f"datapath {self.datapath_type}"

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        marks = {MARK: owner.mark("bridge"), VIF_ID: owner.vif_id}
        there = _ovs(owner, host).bridge(self.name)
        if there is None:
            link = host.link(self.name)
            # The bridge's own device may outlive it for a moment.
            if link and link.kind not in ("openvswitch", "tap"):
                needed = "a name that is free"
                raise Conflict(owner.vif_id, self.name, f"is a {link.kind} device", needed)
            made = AddBridge(
                device=self.name, marks=marks, datapath_type=self.datapath_type, own=True
            )
            return (made,)
        other = there.marks.get(VIF_ID, owner.vif_id)
        if other != owner.vif_id or there.claims:
            needed = "a bridge of this VIF's own"
            raise Conflict(owner.vif_id, f"OVS bridge {self.name}", "is another's", needed)
        return _set_ids(self.name, self.name, "Bridge", there.row, marks, there.marks)

    def step(self, operations: tuple[Operation, ...], host: Host) -> tuple[str, str]:
        if operations and not isinstance(operations[0], AddBridge):
            return "change", "adopted"
        return ("make" if operations else "keep"), self.detail


@dataclass(frozen=True, kw_only=True)
class Port(Part):
    """A port of an OVS bridge, made beforehand for a device, socket or patch of the VIF's own.

    ``interface_id`` None: it is a port of the VIF's own bridge, and bears no ids. ``beside`` are
    the VIF's other ports. ``socket`` is where a guest's server listens, ``peer`` the patch's other
    end. ``isolated`` makes it a port of the dead VLAN, but for a guest that runs: the device
    ``guest`` has its carrier.
    """

    kind: ClassVar[str] = "ovs-port"

    name: str = declared(DEVICE)
    bridge: str = declared(DEVICE)
    interface_id: str | None = declared(UUID, default=None)
    address: str = declared(MAC)
    vm: str | None = declared(UUID, default=None)
    mtu: int | None = declared(MTU, default=None)
    qos_type: str = declared(QOS_TYPES, default="")
    type: str = declared(_TYPES, default="")
    socket: str | None = declared(SOCKET, default=None)
    peer: str | None = declared(DEVICE, default=None)
    beside: tuple[str, ...] = declared(Many(DEVICE, most=4), default=())
    isolated: bool = declared(BOOLEAN, default=False)
    guest: str | None = declared(DEVICE, default=None)

    @property
    def title(self) -> str:
        return f"{self.name} -> {self.bridge}"

    @property
    def detail(self) -> str:
        words = {
            "": self.type if self.type != PATCH else f"patch to {self.peer}",
            "MTU ": self.mtu,
            "QoS ": self.qos_type,
            "socket in ": dirname(self.socket or ""),
        }
        return ", ".join(f"{word}{value}" for word, value in words.items() if value)

    @property
    def devices(self) -> tuple[str, ...]:
        return (self.name,) if self.type in VHOST_USER else ()

    @property
    def _options(self) -> dict[str, str]:
        options = {"vhost-server-path": self.socket, "peer": self.peer}
        return {name: value for name, value in options.items() if value}

    @property
    def _ids(self) -> dict[str, str]:
        if self.interface_id is None:
            return {}
        ids = {IFACE_ID: self.interface_id, "iface-status": "active", "attached-mac": self.address}
        return {**ids, "vm-uuid": self.vm} if self.vm else ids

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        ovs = _ovs(owner, host)
        marks = {MARK: owner.mark("port"), VIF_ID: owner.vif_id}
        leftovers = self._leftovers(owner, ovs)
        found = ovs.port(self.name)
        if found is None:
            port = OvsPort(
                type=self.type,
                options=self._options,
                external_ids=self._ids,
                marks=marks,
                mtu_request=self.mtu,
                transient=True,
            )
            guest = host.link(self.guest) if self.guest else None
            made = AddPort(
                device=self.name,
                bridge=self.bridge,
                port=port,
                qos_type=self.qos_type,
                isolated=self.isolated and not (guest and guest.carrier),
            )
            return (*leftovers, made)
        bridge, port = found
        self._require_ours(owner, bridge, port)
        changes: list[Operation] = list(leftovers)
        if bridge != self.bridge:
            changes.append(
                MovePort(device=self.name, source=bridge, target=self.bridge, row=port.row)
            )
        on = (self.name, self.bridge)
        changes += _set_ids(*on, "Port", port.row, marks, port.marks)
        changes += _set_ids(*on, "Interface", port.interface, self._ids, port.external_ids)
        options = (self._options, port.options)
        changes += _set_ids(*on, "Interface", port.interface, *options, column="options")
        if self.mtu and port.mtu_request != self.mtu:
            changes.append(
                SetMtu(
                    device=self.name,
                    row=port.interface,
                    value=self.mtu,
                    before=port.mtu_request,
                )
            )
        if port.error or not port.ofport or port.ofport < 0:
            changes.append(Settle(device=self.name, bridge=self.bridge))
        return tuple(changes)

    def _leftovers(self, owner: Owner, ovs: Ovs) -> list[Operation]:
        """Return what removes the dead ports with this VIF's interface id. Raises Conflict."""
        found: list[Operation] = []
        if self.interface_id is None:
            return found
        for name, (bridge, port) in ovs.of(owner.vif_id, self.interface_id).items():
            if name == self.name or name in self.beside:
                continue
            if port.mark or not port.error:
                needed = f"the name {self.name}: unplug and plug to rename"
                raise Conflict(owner.vif_id, f"OVS port {name}", "is this VIF's", needed)
            found.append(RemovePort(device=name, bridge=bridge, row=port.row, vif_id=owner.vif_id))
        return found

    def _require_ours(self, owner: Owner, bridge: str, port: OvsPort) -> None:
        title = f"OVS port {self.name}"
        if port.type != self.type:
            words = [f"of type {one}" if one else "a device" for one in (port.type, self.type)]
            raise Conflict(owner.vif_id, title, f"is {words[0]}", f"{words[1]}: unplug and plug")
        other = port.marks.get(VIF_ID, owner.vif_id)
        if other != owner.vif_id:
            needed = "a port of this VIF's own"
            raise Conflict(owner.vif_id, title, f"belongs to VIF {other}", needed)
        iface_id = port.external_ids.get(IFACE_ID)
        elsewhere = self.interface_id is None and bridge != self.bridge
        if VIF_ID not in port.marks and (iface_id != self.interface_id or elsewhere):
            found = f"is there with iface-id {iface_id}" if iface_id else "is there and not ours"
            raise Conflict(owner.vif_id, title, found, f"iface-id {self.interface_id}")

    def step(self, operations: tuple[Operation, ...], host: Host) -> tuple[str, str]:
        if not operations:
            return "keep", ""
        if isinstance(operations[-1], AddPort):
            dead = [o.device for o in operations if isinstance(o, RemovePort)]
            words = [self.detail] if self.detail else []
            words += ["dead VLAN until it is wired"] if operations[-1].isolated else []
            words += [f"for the dead {', '.join(dead)}"] if dead else []
            return "make", ", ".join(words)
        moved = [one for one in operations if isinstance(one, MovePort)]
        if moved:
            return "move", f"from {moved[0].source}"
        adopted = any(isinstance(o, SetIds) and MARK in o.value for o in operations)
        return "change", "adopted" if adopted else ", ".join(str(one) for one in operations)


@dataclass(frozen=True, kw_only=True)
class Claim(Part):
    """A VIF's use of an OVS bridge on which libvirt will make the port."""

    kind: ClassVar[str] = "ovs-claim"

    on: str = declared(DEVICE)
    interface_id: str = declared(UUID)

    @property
    def title(self) -> str:
        return self.on

    @property
    def detail(self) -> str:
        return "libvirt makes the port"

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        ovs, claim = _ovs(owner, host), owner.claim("bridge")
        changes: list[Operation] = [
            MovePort(device=name, source=bridge, target=self.on, row=port.row)
            for name, (bridge, port) in ovs.of(owner.vif_id, self.interface_id).items()
            if bridge != self.on
        ]
        there = [(name, noted) for name, mark, noted in ovs.claims(owner.vif_id)
                 if str(mark) == claim]  # fmt: skip
        changes += [
            RemoveClaim(device=name, claim=claim, interface_id=noted)
            for name, noted in there
            if name != self.on
        ]
        if (self.on, self.interface_id) not in there:
            changes.append(AddClaim(device=self.on, claim=claim, interface_id=self.interface_id))
        return tuple(changes)

    def step(self, operations: tuple[Operation, ...], host: Host) -> tuple[str, str]:
        if len(operations) > 1:
            sources = [o.source for o in operations if isinstance(o, MovePort)]
            sources += [o.device for o in operations if isinstance(o, RemoveClaim)]
            return "move", f"from {sources[0]}"
        return ("make" if operations else "keep"), self.detail


KINDS: tuple[type[Part], ...] = (Bridge, OwnBridge, Port, Claim)


def removal(vif_id: str, interface_id: str | None, ovs: Ovs) -> tuple[OvsOperation, ...]:
    """Return what takes all that is a VIF's out of the database."""
    there = ovs.of(vif_id, interface_id)
    bridge = own_bridge(vif_id, ovs)
    if bridge:
        # Ports of os-vif's that bear no ids go as well, with their QoS.
        there |= {n: (bridge, port) for n, port in ovs.bridges[bridge].ports.items() if n != bridge}
    found: list[OvsOperation] = [
        RemovePort(device=name, bridge=on, row=port.row, vif_id=vif_id)
        for name, (on, port) in there.items()
    ]
    if not there and vif_id in ovs.qos:
        found.append(RemoveQos(device=vif_id))
    if bridge:
        found.append(RemoveBridge(device=bridge, row=ovs.bridges[bridge].row))
    found += [
        RemoveClaim(device=on, claim=str(mark), interface_id=noted)
        for on, mark, noted in ovs.claims(vif_id)
    ]
    return tuple(found)


def own_bridge(vif_id: str, ovs: Ovs) -> str | None:
    """Return the name of the bridge that is a VIF's own: ours, or one that os-vif made for it."""
    name = derived_name(OWN_BRIDGE, vif_id)
    bridge = ovs.bridge(name)
    if bridge is None or bridge.claims or bridge.marks.get(VIF_ID, vif_id) != vif_id:
        return None
    return name


def _set_ids(
    device: str,
    bridge: str,
    table: str,
    row: str,
    wanted: Mapping[str, str],
    there: Mapping[str, str],
    *,
    column: str = "external_ids",
) -> tuple[Operation, ...]:
    """Return what gives a row the keys that it lacks, or that hold something else."""
    differs = {key: value for key, value in wanted.items() if there.get(key) != value}
    if not differs:
        return ()
    before = {key: there.get(key) for key in differs}
    found = SetIds(
        device=device,
        bridge=bridge,
        table=table,
        column=column,
        row=row,
        value=differs,
        before=before,
    )
    return (found,)


def _ovs(owner: Owner, host: Host) -> Ovs:
    if host.ovs is None or host.ovs.error:
        endpoint = host.ovs.endpoint if host.ovs else "-"
        why = host.ovs.error if host.ovs and host.ovs.error else "nobody has read it"
        raise OVSDBError(owner.vif_id, endpoint, why)
    return host.ovs
