# SPDX-License-Identifier: Apache-2.0
"""OVS bridges: the shared one, one of a VIF's own, and a claim on a shared one. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from vifplug.errors import Conflict
from vifplug.fields import BOOLEAN, DEVICE, UUID, declared
from vifplug.model.host import Host
from vifplug.model.mark import Owner, derived_name, shared_mark
from vifplug.operations import Operation
from vifplug.parts import Part, Role, require_own_id
from vifplug_ovs.names import DATAPATHS, OWN_BRIDGE
from vifplug_ovs.operations import (
    AddBridge,
    ClaimBridge,
    MovePort,
    RemovePort,
    UnclaimBridge,
    set_ids,
)
from vifplug_ovs.snapshot import MARK, VIF_ID, readable
from vifplug_ovs.things import OWN, SHARED, ports_of


@dataclass(frozen=True, kw_only=True)
class _AnyBridge(Part):
    """A bridge by its name, with the datapath that it is made with."""

    name: str = declared(DEVICE)
    datapath_type: str = declared(DATAPATHS, default="system")

    @property
    def title(self) -> str:
        return self.name

    @property
    def detail(self) -> str:
        return f"datapath {self.datapath_type}"


@dataclass(frozen=True, kw_only=True)
class Bridge(_AnyBridge):
    """A shared OVS bridge: made where it is missing and ``create`` allows it."""

    kind: ClassVar[str] = "ovs-bridge"

    create: bool = declared(BOOLEAN, default=False)

    def roles(self, owner: Owner, host: Host) -> Mapping[str, Role]:
        return {self.name: SHARED}

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        ovs = readable(owner, host)
        if ovs.bridge(self.name):
            return ()
        if fake := ovs.fakes.get(self.name):
            found = f"is a fake bridge (VLAN {fake.vlan} of {fake.bridge})"
            needed = f"a real one, as {fake.bridge}, whose ports get no VLAN from vifplug"
            raise Conflict(owner.vif_id, f"OVS bridge {self.name}", found, needed)
        if carrier := host.carrying(self.name):
            needed = f"{carrier[0]}, or a name that is free" if self.create else carrier[0]
            raise Conflict(owner.vif_id, self.name, f"is another name of {carrier[0]}", needed)
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

    @property
    def needs_user(self) -> tuple[str, ...]:
        return (self.name,)


@dataclass(frozen=True, kw_only=True)
class OwnBridge(_AnyBridge):
    """An OVS bridge of the VIF's own, between its device and the integration bridge.

    os-vif gives it the same name, and no mark.
    """

    kind: ClassVar[str] = "ovs-own-bridge"

    def roles(self, owner: Owner, host: Host) -> Mapping[str, Role]:
        return {derived_name(OWN_BRIDGE, owner.vif_id): OWN}

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        if self.name != derived_name(OWN_BRIDGE, owner.vif_id):
            needed = derived_name(OWN_BRIDGE, owner.vif_id)
            raise Conflict(owner.vif_id, f"OVS bridge {self.name}", "is no VIF's own", needed)
        marks = {MARK: owner.mark("bridge"), VIF_ID: owner.vif_id}
        bridge = readable(owner, host).bridge(self.name)
        if bridge is None:
            link = host.link(self.name)
            # An own bridge's device may outlive the bridge for a moment.
            if link and link.kind not in ("openvswitch", "tap"):
                needed = "a name that is free"
                raise Conflict(owner.vif_id, self.name, f"is a {link.kind} device", needed)
            added = AddBridge(
                device=self.name, marks=marks, datapath_type=self.datapath_type, own=True
            )
            return (added,)
        other = bridge.marks.get(VIF_ID, owner.vif_id)
        if other != owner.vif_id or bridge.claims:
            needed = "a bridge of this VIF's own"
            raise Conflict(owner.vif_id, f"OVS bridge {self.name}", "is another's", needed)
        return set_ids(self.name, self.name, "Bridge", bridge.row, marks, bridge.marks)

    def step(self, operations: tuple[Operation, ...], host: Host) -> tuple[str, str]:
        if operations and not isinstance(operations[0], AddBridge):
            return "change", "adopted"
        return ("make" if operations else "keep"), self.detail


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

    @property
    def places(self) -> tuple[str, ...]:
        return (self.on,)

    def roles(self, owner: Owner, host: Host) -> Mapping[str, Role]:
        return {self.on: SHARED, **ports_of(owner, self.interface_id, host)}

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        require_own_id(owner.vif_id, self.interface_id, host)
        ovs, claim = readable(owner, host), owner.claim("bridge", self.interface_id)
        if ovs.bridge(self.on) is None:
            needed = "one that is there"
            raise Conflict(owner.vif_id, f"OVS bridge {self.on}", "is not there", needed)
        # A port without a device can't be moved: the switch would not take it there.
        changes: list[Operation] = [
            RemovePort(device=name, bridge=bridge, row=port.row, vif_id=owner.vif_id)
            if port.error
            else MovePort(device=name, source=bridge, target=self.on, row=port.row)
            for name, (bridge, port) in ovs.of(owner.vif_id, self.interface_id).items()
            if bridge != self.on
        ]
        mine = (owner.vif_type, owner.process)
        claimed = [
            (name, str(each))
            for name, each in ovs.claims(owner.vif_id)
            if (each.vif_type, each.process) == mine
        ]
        # The new claim comes first, so that an unplug finds the VIF at any time.
        if (self.on, claim) not in claimed:
            changes.append(ClaimBridge(device=self.on, claim=claim, token=ovs.token(self.on)))
        changes += [
            UnclaimBridge(device=name, claim=text, token=ovs.token(name))
            for name, text in claimed
            if (name, text) != (self.on, claim)
        ]
        return tuple(changes)

    def step(self, operations: tuple[Operation, ...], host: Host) -> tuple[str, str]:
        sources = [o.source for o in operations if isinstance(o, MovePort)]
        left = [o.device for o in operations if isinstance(o, UnclaimBridge)]
        if sources := [name for name in (*sources, *left) if name != self.on]:
            return "move", f"from {sources[0]}"
        if left:
            return "change", f"interface_id {self.interface_id}"
        return ("make" if operations else "keep"), self.detail
