# SPDX-License-Identifier: Apache-2.0
"""What connects the devices and the switches' ports of a host, for a picture. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

from vifplug.model.host import Host
from vifplug.model.link import Link, is_bridge
from vifplug.model.mark import UPLINK, is_derived
from vifplug.model.snapshot import SwitchPort, ports_of, traces_of
from vifplug.picture.graph import Node
from vifplug.plan.details import words_of
from vifplug.plan.plugged import Plugged

_NO_WAY_OUT = ("tap", "tun", "veth", "macvtap", "openvswitch", "bridge")
"""Kinds of device that lead to no wire, unless a plug has made one an uplink."""

_SOME = 40
"""Names that a detail of a thing lists at most."""


class Wires:
    """What connects the devices and the ports of a host that has these VIFs."""

    def __init__(self, host: Host, vifs: Iterable[Plugged]) -> None:
        self.host = host
        self.switch_ports: dict[str, SwitchPort] = {}
        self.switches: dict[str, str] = {}
        self._ports: dict[str, list[str]] = defaultdict(list)
        for key, snapshot in host.switches.items():
            # A switch need not tell its ports.
            for trace in traces_of(snapshot):
                if trace.bridge:
                    self.switches.setdefault(trace.bridge, key)
            for port in ports_of(snapshot):
                self.switches.setdefault(port.bridge, key)
                if port.name != port.bridge:
                    self.switch_ports[port.name] = port
                    self._ports[port.bridge].append(port.name)
        for name, link in host.links.items():
            if link.master and is_bridge(host.link(link.master)):
                self._ports[link.master].append(name)
        self.own: set[str] = set()
        for vif in vifs:
            self.own |= {*vif.devices}
            traces = host.traces(vif.id, vif.vif.interface_id if vif.vif else None)
            bridges = {trace.bridge for trace in traces if trace.bridge}
            self.own |= {name for name in bridges if is_derived(name, vif.id)}

    @property
    def shared_bridges(self) -> Sequence[str]:
        """The bridges of switches that are no VIF's own."""
        return [name for name in self.switches if name not in self.own]

    def is_bridge(self, name: str) -> bool:
        """Whether a name is that of a bridge, of the kernel or of a switch."""
        return name in self.switches or is_bridge(self.host.link(name))

    def all_ports(self, bridge: str) -> Sequence[str]:
        """Return the ports of a bridge."""
        return sorted(self._ports[bridge]) if bridge in self._ports else []

    def ports(self, bridge: str) -> Sequence[str]:
        """Return the ports of a bridge that are no VIF's own."""
        return [name for name in self.all_ports(bridge) if name not in self.own]

    def bridge_of(self, port: str) -> str | None:
        """Return the bridge that has a port."""
        if port in self.switch_ports:
            return self.switch_ports[port].bridge
        link = self.host.link(port)
        return link.master if link and is_bridge(self.host.link(link.master or "")) else None

    def peer(self, port: str) -> str | None:
        """Return the port at the other end of a patch, or of a veth pair."""
        if port in self.switch_ports and self.switch_ports[port].peer:
            return self.switch_ports[port].peer
        link = self.host.link(port)
        return link.lower if link and link.kind == "veth" else None

    def other_end(self, port: str) -> str | None:
        """Return the bridge to which a patch or a veth pair leads; None where to no other one."""
        peer = self.peer(port)
        other = self.bridge_of(peer) if peer else None
        return None if other in (None, self.bridge_of(port)) or other in self.own else other

    def patch(self, port: str, peer: str) -> Node:
        """Return what connects two bridges: a patch or a veth pair with these ends."""
        both = sorted((port, peer))
        kind = "patch" if port in self.switch_ports else "veth pair"
        return Node(key=f"patch:{both[0]}", shape="patch", kind=kind, name=" ⇄ ".join(both))

    def leads_out(self, port: str) -> bool:
        """Whether a port leads to the wire, as far as the host shows."""
        link, seen = self.host.link(port), self.switch_ports.get(port)
        if link and any(mark.role == UPLINK for mark in link.shared_marks):
            return True
        if seen and (seen.out or seen.kind == "internal"):
            return seen.out
        return link is not None and link.kind not in _NO_WAY_OUT

    def below(self, name: str) -> Sequence[str]:
        """Return the devices by which a bridge, or the device below macvtaps, reaches the wire."""
        if self.is_bridge(name):
            return [port for port in self.ports(name) if self.leads_out(port)]
        lower = self.lower(name)
        return [lower] if lower else []

    def lower(self, name: str) -> str | None:
        """Return the device on which a device lies."""
        link = self.host.link(name)
        return link.lower if link and link.kind != "veth" else None

    def way(self, port: str, ends: Collection[str]) -> tuple[tuple[Node, ...], str | None]:
        """Return the devices from a port to the wire; and the end that is met, if any is."""
        found: dict[str, Node] = {}
        name: str | None = port
        while name and name not in found and name not in ends:
            found[name] = self.node(name)
            name = self.lower(name)
        return tuple(found.values()), name if name in ends else None

    def node(self, name: str) -> Node:
        """Return a device or a port on the way to the wire."""
        link, port = self.host.link(name), self.switch_ports.get(name)
        words = [*(port.words if port else ()), *((words_of(link),) if link else ())]
        if link and link.kind in ("bond", "team"):
            words.append(f"of {listed(sorted(self.host.ports(name)))}")
        return Node(
            key=f"device:{name}",
            shape="vlan" if link and link.vlan is not None else "uplink",
            kind=kind_of(link) if link else port.kind if port else "device",
            name=name,
            words=tuple(words),
            state="" if link is None or _passes(link) else "down",
        )


def _passes(link: Link) -> bool:
    """Whether a device is up and has a carrier. A plan that makes one can't know its carrier."""
    return link.up and (link.carrier or link.index == 0)


def kind_of(link: Link) -> str:
    """Return the word for a device."""
    return f"VLAN {link.vlan}" if link.vlan is not None else link.kind


def listed(names: Sequence[str]) -> str:
    """Return names in one line, and how many more there are."""
    more = f", and {len(names) - _SOME} more" if len(names) > _SOME else ""
    return ", ".join(names[:_SOME]) + more
