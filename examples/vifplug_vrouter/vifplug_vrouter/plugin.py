# SPDX-License-Identifier: Apache-2.0
"""What a VIF of the vRouter needs: a tap, and a port that the agent knows. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from oslo_config import cfg

from vifplug import VIF, Host, VIFPlugin, Wiring
from vifplug.errors import SwitchError
from vifplug.fields import UUID, Record, declared
from vifplug.guest import attach
from vifplug.guest.interface import NIC
from vifplug.model.mark import Owner
from vifplug.model.use import Uses
from vifplug.operations import Operation, PortOperation, SwitchOperation
from vifplug.parts import CORE, Part
from vifplug.plugin import Check
from vifplug.switch import Departure
from vifplug_vrouter.agent import Agent, Port

GROUP = "vifplug_vrouter"
OPTS = [cfg.StrOpt("agent", default="127.0.0.1:9091", help="Where the agent's REST server is.")]


@dataclass(frozen=True, kw_only=True)
class Details:
    """``project_id`` is the project of the VM."""

    project_id: str | None = declared(UUID, default=None)


@dataclass(frozen=True, kw_only=True)
class SetPort(PortOperation):
    """Have the agent know a port, or with None forget it. ``before`` is the port that it knows."""

    vif_id: str
    port: Port | None
    before: Port | None = None

    def __str__(self) -> str:
        return f"{'tell the agent of' if self.port else 'have the agent forget'} {self.device}"

    def undo(self) -> Operation:
        return replace(self, port=self.before, before=self.port)

    def foresee(self, host: Host) -> None:
        ports = (host.switch(Agent) or Agent()).ports
        ports.pop(self.vif_id, None)
        ports |= {self.vif_id: self.port} if self.port else {}


@dataclass(frozen=True, kw_only=True)
class AgentPort(Part):
    """The agent knows the VIF's port as it should be."""

    kind: ClassVar[str] = "vrouter-port"
    port: Port = declared(Record(Port))

    @property
    def title(self) -> str:
        return self.port.system_name

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        wanted = replace(self.port, id=owner.vif_id)
        known = (host.switch(Agent) or Agent()).ports.get(owner.vif_id)
        change = SetPort(device=wanted.system_name, vif_id=owner.vif_id, port=wanted, before=known)
        return () if known == wanted else (change,)


class VrouterPlugin(VIFPlugin):
    """vif_type ``vrouter``: the agent connects the VIF's tap to its virtual network."""

    api_version = 1
    details = Details
    required = ("network.id",)
    uses: ClassVar[Mapping[str, Uses]] = {
        "": (*NIC, "address", "devname", "network.id", "network.mtu", "network.subnets",
             "instance.uuid", "instance.name", "details.project_id")
    }  # fmt: skip
    group, opts = GROUP, OPTS
    kinds = (*CORE, AgentPort)
    switch = "agent"
    snapshot = Agent
    unbridged = True

    def wire(self, vif: VIF, host: Host) -> Wiring:
        agent = host.switch(Agent) or Agent(error="it was not read")
        if agent.error:
            raise SwitchError(vif.id, self.options["agent"], agent.error)
        own = attach.own_tap(vif, host)
        addresses = [ip for subnet in vif.network.subnets for ip in subnet.ips]
        port = Port(
            id=vif.id,
            instance_id=vif.instance.uuid or vif.instance_id or "",
            display_name=vif.instance.name or "",
            vn_id=str(vif.network.id),
            vm_project_id=self.details_of(vif).project_id or "",
            ip_address=next((ip for ip in addresses if ":" not in ip), "0.0.0.0"),  # noqa: S104
            ip6_address=next((ip for ip in addresses if ":" in ip), "::"),
            mac_address=vif.address,
            system_name=own.tap.name,
        )
        parts = (own.tap, AgentPort(port=port))
        return Wiring(parts=parts, interface=own.interface, notes=own.notes)

    def leave(self, vif: Departure, host: Host) -> Sequence[SwitchOperation]:
        return removal(vif, host.switch(Agent) or Agent())

    def doctor(self, host: Host) -> Iterable[Check]:
        why = (host.switch(Agent) or Agent(error="it was not read")).error
        mend = "start contrail-vrouter-agent, or set the option agent" if why else ""
        yield Check(check="vRouter agent", ok=not why, detail=why or "it answers", mend=mend)


def removal(vif: Departure, agent: Agent) -> tuple[SetPort, ...]:
    """Return what has the agent forget a VIF."""
    return tuple(
        SetPort(device=port.system_name, vif_id=port.id, port=None, before=port)
        for port in agent.ports.values()
        if port.id == vif.vif_id
    )
