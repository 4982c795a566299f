# SPDX-License-Identifier: Apache-2.0
"""What must exist in Open vSwitch's database for a VIF. Pure, as all parts are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from vifplug.errors import Conflict, OVSDBError
from vifplug.fields import BOOLEAN, DEVICE, MAC, MTU, UUID, Choice, declared
from vifplug.host import Host
from vifplug.mark import Owner, shared_mark
from vifplug.operations import Operation
from vifplug.ovs import IFACE_ID, MARK, VIF_ID, Ovs, OvsPort
from vifplug.parts import Part
from vifplug_ovs.operations import (
    AddBridge,
    AddClaim,
    AddPort,
    MovePort,
    OvsOperation,
    RemoveClaim,
    RemovePort,
    SetIds,
    SetMtu,
    Settle,
)

DATAPATHS = Choice("system", "netdev")
QOS_TYPES = Choice("", "linux-noop", "linux-htb", "linux-hfsc", "linux-sfq", "linux-codel",
                   "linux-fq_codel", "linux-netem")  # fmt: skip


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
        mark = (MARK, shared_mark("bridge", self.name))
        return (AddBridge(device=self.name, mark=mark, datapath_type=self.datapath_type),)

    def step(self, operations: tuple[Operation, ...], host: Host) -> tuple[str, str]:
        return ("make", self.detail) if operations else ("keep", "keeps its settings")


@dataclass(frozen=True, kw_only=True)
class Port(Part):
    """A port of an OVS bridge, made beforehand for a device of the VIF's own."""

    kind: ClassVar[str] = "ovs-port"

    name: str = declared(DEVICE)
    bridge: str = declared(DEVICE)
    interface_id: str = declared(UUID)
    address: str = declared(MAC)
    vm: str | None = declared(UUID, default=None)
    mtu: int = declared(MTU, default=1500)
    qos_type: str = declared(QOS_TYPES, default="")

    @property
    def title(self) -> str:
        return f"{self.name} -> {self.bridge}"

    @property
    def detail(self) -> str:
        return f"MTU {self.mtu}" + (f", QoS {self.qos_type}" if self.qos_type else "")

    @property
    def _ids(self) -> dict[str, str]:
        ids = {IFACE_ID: self.interface_id, "iface-status": "active", "attached-mac": self.address}
        return {**ids, "vm-uuid": self.vm} if self.vm else ids

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        ovs = _ovs(owner, host)
        marks = {MARK: owner.mark("port"), VIF_ID: owner.vif_id}
        leftovers = self._leftovers(owner, ovs)
        found = ovs.port(self.name)
        if found is None:
            port = OvsPort(
                external_ids=self._ids, marks=marks, mtu_request=self.mtu, transient=True
            )
            made = AddPort(device=self.name, bridge=self.bridge, port=port, qos_type=self.qos_type)
            return (*leftovers, made)
        bridge, port = found
        self._require_ours(owner, port)
        changes: list[Operation] = list(leftovers)
        if bridge != self.bridge:
            changes.append(
                MovePort(device=self.name, source=bridge, target=self.bridge, row=port.row)
            )
        for table, row, wanted, there in (
            ("Port", port.row, marks, port.marks),
            ("Interface", port.interface, self._ids, port.external_ids),
        ):
            differs = {key: value for key, value in wanted.items() if there.get(key) != value}
            if differs:
                changes.append(
                    SetIds(
                        device=self.name,
                        bridge=self.bridge,
                        table=table,
                        row=row,
                        value=differs,
                        before={key: there.get(key) for key in differs},
                    )
                )
        if port.mtu_request != self.mtu:
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
        for name, (bridge, port) in ovs.of(owner.vif_id, self.interface_id).items():
            if name == self.name:
                continue
            if port.mark or not port.error:
                needed = f"the name {self.name}: unplug and plug to rename"
                raise Conflict(owner.vif_id, f"OVS port {name}", "is this VIF's", needed)
            found.append(RemovePort(device=name, bridge=bridge, row=port.row, vif_id=owner.vif_id))
        return found

    def _require_ours(self, owner: Owner, port: OvsPort) -> None:
        title = f"OVS port {self.name}"
        other = port.marks.get(VIF_ID, owner.vif_id)
        if other != owner.vif_id:
            needed = "a port of this VIF's own"
            raise Conflict(owner.vif_id, title, f"belongs to VIF {other}", needed)
        iface_id = port.external_ids.get(IFACE_ID)
        if VIF_ID not in port.marks and iface_id != self.interface_id:
            found = f"is there with iface-id {iface_id}" if iface_id else "is there and not ours"
            raise Conflict(owner.vif_id, title, found, f"iface-id {self.interface_id}")

    def step(self, operations: tuple[Operation, ...], host: Host) -> tuple[str, str]:
        if not operations:
            return "keep", ""
        if isinstance(operations[-1], AddPort):
            dead = [o.device for o in operations if isinstance(o, RemovePort)]
            return "make", self.detail + (f", for the dead {', '.join(dead)}" if dead else "")
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


KINDS: tuple[type[Part], ...] = (Bridge, Port, Claim)


def removal(vif_id: str, interface_id: str | None, ovs: Ovs) -> tuple[OvsOperation, ...]:
    """Return what takes all that is a VIF's out of the database."""
    ports = [
        RemovePort(device=name, bridge=bridge, row=port.row, vif_id=vif_id)
        for name, (bridge, port) in ovs.of(vif_id, interface_id).items()
    ]
    claims = [
        RemoveClaim(device=bridge, claim=str(mark), interface_id=noted)
        for bridge, mark, noted in ovs.claims(vif_id)
    ]
    return (*ports, *claims)


def _ovs(owner: Owner, host: Host) -> Ovs:
    if host.ovs is None or host.ovs.error:
        endpoint = host.ovs.endpoint if host.ovs else "-"
        why = host.ovs.error if host.ovs and host.ovs.error else "nobody has read it"
        raise OVSDBError(owner.vif_id, endpoint, why)
    return host.ovs
