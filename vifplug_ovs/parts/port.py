# SPDX-License-Identifier: Apache-2.0
"""A port of an OVS bridge, made beforehand for a VIF. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from posixpath import basename, dirname
from typing import ClassVar

from vifplug.errors import Conflict
from vifplug.fields import BOOLEAN, DEVICE, MAC, MTU, UUID, Choice, Many, declared
from vifplug.model.host import Host
from vifplug.model.mark import Owner, derived_name
from vifplug.operations import Operation
from vifplug.parts import (
    Part,
    Role,
    drift,
    host_side_address,
    is_its_tap,
    require_own_id,
    stale_address,
)
from vifplug_ovs.names import INTEGRATION_PATCH, OWN_PATCH, QOS_TYPES, SOCKET
from vifplug_ovs.names import VHOST_USER as VHU
from vifplug_ovs.operations import (
    AddPort,
    MovePort,
    RemovePort,
    SetIds,
    SetMtu,
    Settle,
    set_ids,
)
from vifplug_ovs.parts.mtu import used_by_host
from vifplug_ovs.parts.representor import is_claimed
from vifplug_ovs.snapshot import IFACE_ID, MARK, VHOST_USER, VIF_ID, Ovs, OvsPort, planned, readable
from vifplug_ovs.things import SHARED, port_role, ports_of

PATCH = "patch"
_TYPES = Choice("", PATCH, *VHOST_USER)


@dataclass(frozen=True, kw_only=True)
class Port(Part):
    """A port of an OVS bridge, made beforehand for a device, socket or patch of the VIF's own.

    ``interface_id`` None: the port is on the VIF's own bridge, and bears no ids. ``beside`` are
    the VIF's other ports. ``socket`` is where a guest's server listens, ``peer`` the patch's other
    end. ``isolated``: a new port is in the dead VLAN, unless the guest runs. It runs where the
    device ``guest`` has carrier.
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
    def places(self) -> tuple[str, ...]:
        return (self.bridge,)

    @property
    def ports(self) -> tuple[str, ...]:
        return () if self.type else (self.name,)

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

    def roles(self, owner: Owner, host: Host) -> Mapping[str, Role]:
        if self.interface_id is None:
            return {self.name: port_role(self.bridge, is_claimed)}
        ports = ports_of(owner, self.interface_id, host)
        return {**ports, self.bridge: SHARED, self.name: port_role(self.interface_id, is_claimed)}

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        self._require_names(owner)
        ovs = readable(owner, host)
        if self.interface_id is None and ovs.own_bridge(owner.vif_id) != self.bridge:
            needed = "a bridge of this VIF's own, for a port without an interface id"
            raise Conflict(owner.vif_id, f"OVS bridge {self.bridge}", "is not ours", needed)
        marks = {MARK: owner.mark("port"), VIF_ID: owner.vif_id}
        current = ovs.port(self.name)
        if current:
            self._require_ours(owner, *current)
        require_own_id(owner.vif_id, self.interface_id, host)
        leftovers = self._leftovers(owner, ovs)
        if current is None:
            port = OvsPort(
                type=self.type,
                options=self._options,
                external_ids=self._ids,
                marks=marks,
                mtu_request=self.mtu,
                transient=True,
            )
            self._require_bridge_kept(owner, host)
            guest = host.link(self.guest) if self.guest else None
            added = AddPort(
                device=self.name,
                bridge=self.bridge,
                port=port,
                qos_type=self.qos_type,
                isolated=self.isolated and not (guest and guest.carrier),
            )
            return (*leftovers, added)
        bridge, port = current
        changes: list[Operation] = list(leftovers)
        if bridge != self.bridge:
            self._require_bridge_kept(owner, host)
            changes.append(
                MovePort(device=self.name, source=bridge, target=self.bridge, row=port.row)
            )
        on = (self.name, self.bridge)
        changes += set_ids(*on, "Port", port.row, marks, port.marks)
        changes += set_ids(*on, "Interface", port.interface, self._ids, port.external_ids)
        options = (self._options, port.options)
        changes += set_ids(*on, "Interface", port.interface, *options, column="options")
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

    def _require_bridge_kept(self, owner: Owner, host: Host) -> None:
        """Raise Conflict where a new port would change the bridge's own device.

        vswitchd gives it the lowest address of its ports that is not locally administered. It also
        gives it their least MTU. A part that keeps the MTU of a bridge that the host uses comes
        before.
        """
        link = host.link(self.name) if not self.type else None
        if link and link.kind == "tap" and link.address and not is_local(link.address):
            found = f"has the MAC address {link.address}, which {self.bridge} would take"
            raise Conflict(owner.vif_id, self.name, found, "a locally administered address")
        mtu = min((each for each in (self.mtu, link and link.mtu) if each), default=None)
        used = used_by_host(self.bridge, host, above=mtu) if mtu else None
        if used is None or self.bridge in planned(host).fixed:
            return
        found = f"has MTU {mtu}, and would lower {self.bridge}, which the host uses"
        raise Conflict(owner.vif_id, self.name, found, f"{used.mtu}, the bridge's, or more")

    def _require_names(self, owner: Owner) -> None:
        """Raise Conflict where a patch, or a socket, has a name that can't be this VIF's.

        The switch removes the file that is at a socket's path.
        """
        allowed: tuple[str, ...] = ()
        if self.type == PATCH:
            allowed = (OWN_PATCH, INTEGRATION_PATCH)
        elif self.type in VHOST_USER:
            allowed = (VHU,)
        names = [derived_name(prefix, owner.vif_id) for prefix in allowed]
        if self.type in VHOST_USER and self.name.startswith(VHU):
            names.append(self.name)
        for name in filter(None, (self.name, self.peer, basename(self.socket or ""))):
            if names and name not in names:
                needed = " or ".join(dict.fromkeys(names))
                raise Conflict(
                    owner.vif_id, f"OVS port {name}", "has no name of this VIF's", needed
                )

    def _leftovers(self, owner: Owner, ovs: Ovs) -> list[Operation]:
        """Return what removes the dead ports with this VIF's interface id. Raises Conflict."""
        removals: list[Operation] = []
        if self.interface_id is None:
            return removals
        for name, (bridge, port) in ovs.of(owner.vif_id, self.interface_id).items():
            if name == self.name or name in self.beside:
                continue
            if port.mark or not port.error:
                needed = f"the name {self.name}: unplug and plug to rename"
                raise Conflict(owner.vif_id, f"OVS port {name}", "is this VIF's", needed)
            removals.append(
                RemovePort(device=name, bridge=bridge, row=port.row, vif_id=owner.vif_id)
            )
        return removals

    def _require_ours(self, owner: Owner, bridge: str, port: OvsPort) -> None:
        title = f"OVS port {self.name}"
        if port.type != self.type:
            types = (port.type, self.type)
            words = [f"of type {type}" if type else "a device" for type in types]
            raise Conflict(owner.vif_id, title, f"is {words[0]}", f"{words[1]}: unplug and plug")
        other = port.marks.get(VIF_ID, owner.vif_id)
        if other != owner.vif_id:
            needed = "a port of this VIF's own"
            raise Conflict(owner.vif_id, title, f"belongs to VIF {other}", needed)
        iface_id = port.external_ids.get(IFACE_ID)
        elsewhere = self.interface_id is None and bridge != self.bridge
        if VIF_ID not in port.marks and (iface_id != self.interface_id or elsewhere):
            state = f"is there with iface-id {iface_id}" if iface_id else "is there and not ours"
            raise Conflict(owner.vif_id, title, state, f"iface-id {self.interface_id}")

    def step(self, operations: tuple[Operation, ...], host: Host) -> tuple[str, str]:
        if not operations:
            return "keep", ""
        if isinstance(operations[-1], AddPort):
            dead = [o.device for o in operations if isinstance(o, RemovePort)]
            words = [self.detail] if self.detail else []
            words += ["dead VLAN until it is wired"] if operations[-1].isolated else []
            words += [f"for the dead {', '.join(dead)}"] if dead else []
            return "make", ", ".join(words)
        moves = [o for o in operations if isinstance(o, MovePort)]
        if moves:
            return "move", f"from {moves[0].source}"
        adopted = any(isinstance(o, SetIds) and MARK in o.value for o in operations)
        return "change", "adopted" if adopted else ", ".join(str(o) for o in operations)


def is_local(address: str) -> bool:
    """Whether a MAC address is locally administered (IEEE 802)."""
    return bool(int(address[:2], 16) & 2)


@dataclass(frozen=True, kw_only=True)
class GuestPort(Port):
    """The port that libvirt makes for the tap of a guest that runs.

    A port with the VIF's iface-id on its bridge is left alone. Where another program has taken it
    away, or to another bridge, the part makes it true again, and then the port is ours. A tap with
    its port that is down is brought up.
    """

    kind: ClassVar[str] = "guest-port"
    derived: ClassVar[Mapping[str, str]] = {"tap": "tap"}

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        link = host.link(self.name)
        if not is_its_tap(self.name, owner, host) or link is None:
            return ()
        if self._is_well(owner, host):
            return tuple(drift(self.name, link, up=True))
        # Without its port, nothing shows that a tap that is down has a guest.
        return super().operations(owner, host) if link.up else ()

    def _is_well(self, owner: Owner, host: Host) -> bool:
        """Whether the port is where it should be, or no guest runs."""
        link = host.link(self.name)
        if link is None or link.kind != "tap":
            return True
        current = readable(owner, host).port(self.name)
        if current is None:
            return False
        bridge, port = current
        bears_id = port.external_ids.get(IFACE_ID) == self.interface_id
        return bridge == self.bridge and bears_id and not port.error

    def stale(self, owner: Owner, host: Host) -> tuple[str, ...]:
        left: tuple[str, ...] = ()
        if not is_its_tap(self.name, owner, host) and not self._is_well(owner, host):
            left = (f"{self.name} needs a port on {self.bridge}, and is left alone",)
        return (*left, *stale_address(self.name, host, host_side_address(self.address)))
