# SPDX-License-Identifier: Apache-2.0
"""On which network a VIF's devices are, as the host itself shows; and what is left of a VIF."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.histories.acts import PREFIXES, WAYS, Wish
from vifplug.model.host import Host
from vifplug.model.link import is_bridge
from vifplug.model.mark import derived_name
from vifplug_ovs.snapshot import IFACE_ID, VIF_ID, Ovs


@dataclass(frozen=True)
class Network:
    """A bridge of Linux or of the switch, and by what it is joined to the physical network."""

    kind: str
    bridge: str
    uplinks: frozenset[tuple[str, int]] = frozenset()

    def is_within(self, other: Network) -> bool:
        """Whether this is the other network, or a part of it that leads nowhere else."""
        same = (self.kind, self.bridge) == (other.kind, other.bridge)
        return same and self.uplinks <= other.uplinks


def asked(wish: Wish) -> Network | None:
    """Return the network that a VIF asks for; None where it asks for no bridge."""
    way = WAYS[wish.way]
    network = way.get("network", {})
    if way["vif_type"] not in ("bridge", "ovs"):
        return None
    uplink = network.get("interface")
    uplinks = frozenset({(uplink, network.get("vlan", 0))} if uplink else ())
    return Network(way["vif_type"], network["bridge"], uplinks)


def networks(vif_id: str, host: Host) -> set[Network]:
    """Return the networks that a VIF's own devices are on."""
    names = {derived_name(prefix, vif_id) for prefix in PREFIXES}
    names |= set(host.marked(vif_id))
    found = (_network(name, names, host) for name in sorted(names))
    return {network for network in found if network}


def _network(name: str, own: set[str], host: Host) -> Network | None:
    link = host.link(name)
    if link is None:
        return None
    ovs = host.switch(Ovs)
    if ovs and (found := ovs.port(name)):
        return Network("ovs", found[0])
    master = host.link(link.master) if link.master else None
    if link.master is None or link.master in own or not is_bridge(master):
        return None
    return Network("bridge", link.master, frozenset(_uplinks(link.master, host)))


def _uplinks(bridge: str, host: Host) -> Iterator[tuple[str, int]]:
    for name, port in host.ports(bridge).items():
        if port.kind == "vlan":
            yield str(port.lower), port.vlan or 0
        elif name.startswith("eth"):
            yield name, 0


def tags(vif_id: str, host: Host) -> dict[tuple[str, str], int | None]:
    """Return the VLANs of a VIF's ports of the switch that work, by bridge and name."""
    ovs = host.switch(Ovs)
    ports = ovs.ports() if ovs else ()
    names = {derived_name(prefix, vif_id) for prefix in PREFIXES}
    return {(bridge, name): port.tag for bridge, name, port in ports
            if name in names and not port.error}  # fmt: skip


def left_of(vif_id: str, host: Host) -> list[str]:
    """Return what a host has of a VIF: devices, claims, and rows of the switch."""
    found = [f"device {name}" for name in host.marked(vif_id)]
    found += [f"device {name}" for prefix in PREFIXES
              if host.link(name := derived_name(prefix, vif_id))]  # fmt: skip
    found += [f"claim on {device}" for device, _ in host.claims_of(vif_id)]
    ovs = host.switch(Ovs)
    for bridge, name, port in ovs.ports() if ovs else ():
        if vif_id in (port.marks.get(VIF_ID), port.external_ids.get(IFACE_ID)):
            found.append(f"port {name} of {bridge}")
    found += [f"claim on OVS bridge {bridge}" for bridge, _ in ovs.claims(vif_id)] if ovs else []
    return list(dict.fromkeys(found))


def left_of_ours(host: Host) -> list[str]:
    """Return the names of ours that devices still bear: none once no VIF is there."""
    return [f"{altname} on {name}" for name, link in host.links.items()
            for altname in link.altnames if altname.startswith("vifplug:")]  # fmt: skip


def comparable(host: Host) -> dict[str, object]:
    """Return what a simulated host and a real one must both have, as plain values."""
    ovs = host.switch(Ovs)
    bridges = dict(ovs.bridges) if ovs else {}
    found: dict[str, object] = {}
    for name, link in host.links.items():
        if name in (*bridges, "ovs-netdev") or link.kind == "loopback":
            continue  # vswitchd has its own ways with the device of a bridge
        names = sorted(a for a in link.altnames if not a.startswith("vifplug:claims:"))
        claims = sorted(str(claim) for claim in host.claims(name))
        vlan = (link.lower, link.vlan) if link.kind == "vlan" else ()
        found[f"device {name}"] = (link.kind, link.up, link.carrier if link.kind == "tap" else "",
                                   link.mtu, link.master, names, claims, vlan)  # fmt: skip
    for name, bridge in bridges.items():
        marks = {key: value for key, value in bridge.marks.items() if value}
        found[f"bridge {name}"] = (marks, sorted(str(claim) for claim in bridge.claimed))
        for port_name, port in bridge.ports.items():
            if port_name not in bridges:
                ids = {k: v for k, v in port.external_ids.items() if not k.startswith("vifplug")}
                row = (name, port.type, ids, dict(port.marks), port.mtu_request, port.tag)
                found[f"port {port_name}"] = (*row, bool(port.error))
    return found
