# SPDX-License-Identifier: Apache-2.0
"""Hosts and VIFs as hypothesis makes them up; the hosts as commands for ip(8).

A host has what an operator, another program, an earlier plug or a crash may have left. Most VIFs
suit it more or less.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.bridge.vifs import IDS
from vifplug import VIF
from vifplug.model.mark import UPLINK, Owner, shared_mark

TAP = f"tap{IDS[0][:11]}"
MARKS = {
    "ours": Owner(vif_id=IDS[0], vif_type="bridge").mark("tap"),
    "renamed": Owner(vif_id=IDS[0], vif_type="bridge").mark("tap"),
    "others": Owner(vif_id=IDS[2], vif_type="bridge").mark("tap"),
}
BRIDGES = ("br100", "br7")
MTUS = (1500, 1500, 1500, 1400, 9000, 1280, 1000)


@dataclass(frozen=True)
class Made:
    """A host to be made real: commands for ip(8), and the tap that a process holds.

    ``quiet`` are devices whose IPv6 is switched off.
    """

    commands: tuple[str, ...]
    held: str | None
    quiet: tuple[str, ...]


def _one_of(**weights: int) -> st.SearchStrategy[str]:
    """Return one of some words, each as often as its weight says."""
    return st.sampled_from([word for word, weight in weights.items() for _ in range(weight)])


def _in(most: int) -> st.SearchStrategy[bool]:
    """Return True once in so many times."""
    return st.sampled_from([False] * (most - 1) + [True])


def _altname(device: str, name: str) -> str:
    return f"link property add dev {device} altname {name}"


@st.composite
def _bridge(draw: st.DrawFn, name: str) -> list[str]:
    """Return what makes a bridge, or gives its name to another device, or nothing."""
    how = draw(_one_of(absent=4, theirs=5, ours=5, altname=1, renamed=1, ifb=1))
    match how:
        case "absent":
            return []
        case "ifb":
            return [f"link add {name} type ifb"]
        case "altname":
            return [f"link add {name}x type bridge", _altname(f"{name}x", name)]
    real = f"{name}r" if how == "renamed" else name
    made = [f"link add {real} address 02:00:00:00:00:{draw(st.integers(1, 99)):02d} type bridge"]
    if how != "theirs":
        # A plug changes the MTU, so that the kernel takes it for the bridge's own.
        made += [_altname(real, shared_mark("bridge", name)), f"link set {real} mtu 1499",
                 f"link set {real} mtu 1500"]  # fmt: skip
    if draw(_in(3)):
        made.append(f"link set {real} type bridge stp_state 1")
    if draw(_in(3)):
        made.append(f"link set {real} type bridge forward_delay 200")
    if draw(_in(2)):
        made.append(f"link set {real} mtu {draw(st.sampled_from(MTUS))}")
    if not draw(_in(5)):
        made.append(f"link set {real} up")
        if draw(_in(3)):
            made.append(f"addr add 10.0.{draw(st.integers(0, 3))}.1/24 dev {real}")
        if draw(_in(4)):
            made.append(f"addr add 2001:db8:{draw(st.integers(0, 3))}::1/64 dev {real} nodad")
    return made


@st.composite
def _card(draw: st.DrawFn, name: str, number: int, *, vlans: bool) -> list[str]:
    """Return what makes a device that may be an uplink, with what an uplink may have."""
    made = _device(name, draw(_one_of(ifb=6, veth=6, vxlan=1, tap=1, tun=1, bridge=1, macvlan=1,
                                      macvtap=1)))  # fmt: skip
    if draw(_in(2)):
        made.append(f"link set {name} mtu {draw(st.sampled_from(MTUS))}")
    if not draw(_in(5)):
        made.append(f"link set {name} up")
        made += draw(_addressing(name, number))
    if draw(_in(8)):
        made.append(f"link add link {name} name {name}a type {draw(_one_of(macvlan=1, macvtap=1))}")
    if vlans and draw(_in(2)):
        made += draw(_vlan(name, number))
    return [*made, *draw(_later(name))]


def _device(name: str, kind: str) -> list[str]:
    match kind:
        case "veth":
            return [f"link add {name} type veth peer name {name}p", f"link set {name}p up"]
        case "vxlan":
            return [f"link add {name} type vxlan id {name[-1]} dstport 4789"]
        case "tap" | "tun":
            return [f"tuntap add {name} mode {kind}"]
        case "macvlan" | "macvtap":
            lower = f"{name}l"
            return [f"link add {lower} type ifb", f"link add link {lower} name {name} type {kind}"]
    return [f"link add {name} type {kind}"]


@st.composite
def _addressing(draw: st.DrawFn, name: str, number: int) -> list[str]:
    """Return what gives a device addresses and routes."""
    made = []
    if draw(_in(2)):
        made.append(f"addr add 10.0.{number}.7/24 dev {name}")
        if draw(_in(2)):
            made.append(f"route add 10.9.{number}.0/24 via 10.0.{number}.1 dev {name}")
    if draw(_in(3)):
        made.append(f"addr add 2001:db8:{number}::7/64 dev {name} nodad")
        if draw(_in(2)):
            made.append(f"-6 route add 2001:db8:9::/64 via 2001:db8:{number}::1 dev {name}")
    return made


@st.composite
def _vlan(draw: st.DrawFn, lower: str, number: int) -> list[str]:
    """Return what makes a VLAN device on another device."""
    name = draw(st.sampled_from((f"{lower}.100", "vlan100", f"tenants{number}")))
    vlan, protocol = draw(st.sampled_from((100, 100, 7))), draw(st.sampled_from("qqqd"))
    made = [f"link add link {lower} name {name} type vlan protocol 802.1{protocol} id {vlan}"]
    made[0] = made[0].replace("802.1d", "802.1ad")
    if draw(_in(2)):
        made.append(f"link set {name} up")
        made += draw(_addressing(name, number + 2))
    return [*made, *draw(_later(name))]


_LATER = ("", "", "", "", "", "master br100", "master br100", "master br7", "uplink of br100",
          "uplink of br7", "once uplink of br100", "once uplink of br7", "altname")  # fmt: skip


@st.composite
def _later(draw: st.DrawFn, name: str) -> list[str]:
    """Return what became of a card: it joined a bridge, or it is or was an uplink of one."""
    what = draw(st.sampled_from(_LATER))
    if what in ("", "altname"):
        return [_altname(name, f"enp3s{name[-1]}")] if what else []
    bridge = next(each for each in BRIDGES if each in what)
    joined = [] if "once" in what else [f"link set {name} master {bridge}"]
    marked = [_altname(name, shared_mark(UPLINK, bridge))] if "uplink" in what else []
    return [*joined, *marked]


@st.composite
def _tap(draw: st.DrawFn) -> tuple[list[str], str | None]:
    """Return what makes the VIF's tap, or what else has its name; and the tap that is held."""
    how = draw(_one_of(absent=8, theirs=3, ours=4, renamed=1, others=1, altname=1, tun=1, ifb=1))
    match how:
        case "absent":
            return [], None
        case "altname":
            return ["link add other0 type ifb", _altname("other0", TAP)], None
        case "ifb" | "tun":
            return _device(TAP, how), None
    name = "renamed0" if how == "renamed" else TAP
    queues = draw(st.sampled_from(("", "", "multi_queue")))
    made = [f"tuntap add {name} mode tap vnet_hdr {queues}"]
    if how in MARKS:
        made.append(_altname(name, MARKS[how]))
    if draw(_in(2)):
        made.append(f"link set {name} mtu {draw(st.sampled_from(MTUS))} up")
    if draw(_in(2)):
        made.append(f"link set {name} master {draw(st.sampled_from(BRIDGES))}")
    if draw(_in(8)):
        made.append(f"link add link {name} name onit0 type macvtap")
    return made, name if draw(_in(2)) else None


@st.composite
def hosts(draw: st.DrawFn, *, vlans: bool = False) -> Made:
    """Return a host; with ``vlans`` it may have VLAN devices."""
    commands = [command for name in BRIDGES for command in draw(_bridge(name))]
    for number, name in enumerate(("eth1", "eth2"), 1):
        commands += draw(_card(name, number, vlans=vlans))
    tap, held = draw(_tap())
    if vlans:
        # The other kernel has these in place of those.
        other = {"type ifb": "type dummy", "type vxlan": "type geneve remote 10.0.0.99"}
        for here, there in other.items():
            commands = [command.replace(here, there) for command in commands]
            tap = [command.replace(here, there) for command in tap]
    quiet = [name for name in ("br100", "eth1") if draw(_in(4))]
    return Made(tuple(_with_masters(commands + tap)), held, tuple(quiet))


def _with_masters(commands: list[str]) -> Iterator[str]:
    """Yield commands, but none that names a master that is not there: ip(8) would end at it."""
    there = {command.split()[2] for command in commands if command.startswith("link add")}
    for command in commands:
        _, found, master = command.partition(" master ")
        if not found or master in there:
            yield command


_UPLINKS = ("eth1",) * 5 + ("eth2",) * 4 + ("enp3s1", "br7", "lo", "eth9", TAP)


@st.composite
def vifs(draw: st.DrawFn, *, vlans: bool = False) -> VIF:
    """Return a VIF that may be plugged on such a host; with ``vlans`` it often has one."""
    vif_type = draw(_one_of(bridge=6, tap=1, macvtap=1))
    network: dict[str, Any] = {"mtu": draw(st.sampled_from((None, None, *MTUS)))}
    data = {"id": IDS[0], "vif_type": vif_type, "address": "fa:16:3e:11:22:33", "network": network}
    if draw(_in(4)):
        data["queues"] = 4
    if vif_type != "tap":
        network["interface"] = draw(st.sampled_from(_UPLINKS))
        if draw(_in(2 if vlans else 12)):
            network |= {"should_create_vlan": True, "vlan": 100}
    if vif_type == "bridge":
        network |= {"bridge": "br100", "should_create_bridge": not draw(_in(5))}
        if draw(_in(3)) and "vlan" not in network:
            del network["interface"]
    if vif_type == "macvtap":
        modes = ("vepa", "bridge", "private", "passthrough")
        data["details"] = {"macvtap_mode": draw(st.sampled_from(modes))}
    network = {name: value for name, value in network.items() if value is not None}
    return VIF.from_dict({**data, "network": network})
