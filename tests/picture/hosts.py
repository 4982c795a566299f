# SPDX-License-Identifier: Apache-2.0
"""Hosts to be drawn that are no real ones: a described one, and any number of VIFs from a seed."""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from dataclasses import replace

from vifplug.model.host import Host
from vifplug.model.link import Link
from vifplug.model.mark import UPLINK, shared_mark
from vifplug.picture.found import topology
from vifplug.picture.graph import Pictured, Topology
from vifplug.plan.inventory import Inventory
from vifplug.plan.plugged import Plugged
from vifplug_ovs.snapshot import Ovs, OvsBridge, OvsPort

MARKUP = "<script>alert('x')</script> \"]]>&amp;\\n\N{RIGHT-TO-LEFT OVERRIDE}\x00"

UP = {"up": True, "carrier": True}


def pictured(*parts: tuple[str, Topology]) -> Pictured:
    return Pictured(title="vifplug on a host", parts=parts)


def patched(links: dict[str, Link], ports: dict[str, OvsPort]) -> Host:
    """Return a host with br-ex, br-tun and br-int, which has these ports."""

    def patch(peer: str) -> OvsPort:
        return OvsPort(type="patch", options={"peer": peer})

    def tunnel(to: str) -> OvsPort:
        return OvsPort(type="vxlan", options={"remote_ip": to})

    inside = {**ports, "int-br-ex": patch("phy-br-ex"), "patch-tun": patch("patch-int")}
    bridges = {
        "br-ex": OvsBridge(ports={"phy-br-ex": patch("int-br-ex"), "eth2": OvsPort()}),
        "br-tun": OvsBridge(ports={"patch-int": patch("patch-tun"), "vx1": tunnel("192.0.2.1"),
                                   "vx2": tunnel("192.0.2.2")}),
        "br-int": OvsBridge(ports={**inside, "qr-1": OvsPort(type="internal")}),
    }  # fmt: skip
    return Host(links=links, switches={"ovs": Ovs(bridges=bridges)})


def vif(vif_id: str, devices: Sequence[str], **more: object) -> Plugged:
    known = {"vif_type": "bridge", "process": None, "bridge": None, "in_use": True, "wanted": True}
    return Plugged(id=vif_id, devices=tuple(devices), **{**known, **more})  # type: ignore[arg-type]


def drawn(host: Host, vifs: Sequence[Plugged], **more: object) -> Topology:
    return topology(host, Inventory(vifs=vifs, **more))  # type: ignore[arg-type]


def random_host(vifs: int, *, seed: int = 1) -> tuple[Host, list[Plugged]]:
    """Return a host with so many VIFs of all sorts and in all states, the same for a seed."""
    rng = random.Random(seed)
    bridges = [f"br{100 + number}" for number in range(max(1, vifs // 40))]
    links = {
        "eth0": Link(kind="physical", **UP),
        "eth1": Link(kind="bond", **UP),
        "eth2": Link(kind="physical", up=True, index=5),
    }
    for bridge in bridges:
        vlan = int(bridge[2:])
        links[bridge] = Link(kind="bridge", **UP)
        links[f"eth0.{vlan}"] = Link(kind="vlan", lower="eth0", vlan=vlan, master=bridge, **UP)
    links["br-direct"] = Link(kind="bridge", **UP)
    links["eth3"] = Link(kind="physical", master="br-direct",
                         altnames=(shared_mark(UPLINK, "br-direct"),), **UP)  # fmt: skip
    ports: dict[str, OvsPort] = {}
    found = []
    for number in range(vifs):
        one, its_links, its_ports = _random_vif(rng, number, [*bridges, "br-direct"])
        found.append(one)
        links |= its_links
        ports |= its_ports
    return patched(links, ports), found


def _random_vif(
    rng: random.Random, number: int, bridges: Sequence[str]
) -> tuple[Plugged, dict[str, Link], dict[str, OvsPort]]:
    vif_id = str(uuid.UUID(int=rng.getrandbits(128), version=4))
    short, tap = vif_id[:11], f"tap{vif_id[:11]}"
    one = vif(vif_id, [tap], guest=f"web{rng.randrange(max(1, number))}" if number % 7 else None,
              address=f"fa:16:3e:00:{number // 256:02x}:{number % 256:02x}",
              in_use=rng.random() < 0.8, wanted=rng.random() > 0.03)  # fmt: skip
    link = Link(kind="tap", up=True, carrier=one.in_use)
    if rng.random() < 0.03:
        return replace(one, drift=(f"{tap} is in no bridge",)), {tap: link}, {}
    match rng.choice(("bridge", "bridge", "ovs", "ovs", "hybrid", "macvtap", "none")):
        case "bridge":
            bridge = rng.choice(bridges)
            return replace(one, bridge=bridge), {tap: replace(link, master=bridge)}, {}
        case "ovs":
            dead = rng.random() < 0.05
            one = replace(one, vif_type="ovs", process="manual", bridge="br-int",
                          unwired="dead VLAN 4095" if dead else None)  # fmt: skip
            return one, {tap: link}, {tap: OvsPort(tag=4095 if dead else rng.randrange(1, 99))}
        case "hybrid":
            links = {
                tap: replace(link, master=f"qbr{short}"),
                f"qbr{short}": Link(kind="bridge", up=True),
                f"qvb{short}": Link(kind="veth", lower=f"qvo{short}", master=f"qbr{short}"),
                f"qvo{short}": Link(kind="veth", lower=f"qvb{short}"),
            }
            one = replace(one, devices=tuple(links), bridge="br-int", vif_type="ovs",
                          process="hybrid")  # fmt: skip
            return one, links, {f"qvo{short}": OvsPort(tag=7)}
        case "macvtap":
            return replace(one, vif_type="macvtap"), {tap: Link(kind="macvtap", lower="eth1")}, {}
        case _:
            return replace(one, devices=(), bridge=bridges[0]), {}, {}
