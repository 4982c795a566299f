# SPDX-License-Identifier: Apache-2.0
"""What a host has plugged, as marks, claims and switches tell. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vifplug.fields import MTU
from vifplug.guest.live import GuestInterface
from vifplug.guest.whose import Whose
from vifplug.model.host import Host
from vifplug.model.link import Link, is_bridge
from vifplug.model.mark import Mark, derived_name, shared_mark
from vifplug.model.snapshot import Trace, traces_of
from vifplug.model.vif import VIF
from vifplug.parts.roles import uplink_of
from vifplug.plan.derived import Kinds
from vifplug.plan.usage import held, own_devices

_HOLDABLE = ("tap", "macvtap")
"""Kinds of device that show whether a process has them open."""


_SHORT = 8
"""Characters of an id by which people are shown a VIF, unless several VIFs begin alike."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """What is known of VIFs besides marks, claims and switches.

    ``notes`` are the VIFs as they were plugged, by id. ``whose`` are the guests that libvirt knows;
    None where it does not answer.
    """

    notes: Mapping[str, VIF] = field(default_factory=dict)
    whose: Whose | None = None


@dataclass(frozen=True, kw_only=True)
class Plugged:
    """One VIF that the host has plugged, as its marks and claims tell.

    ``in_use``: a guest holds the VIF's tap open (the tap has carrier), or its socket, or has a
    macvtap that may be held. ``drift`` says what another program has changed since. ``unwired``
    says why its port passes no frame until another program lets it, such as Neutron's agent.

    ``guest`` is the name of the VIF's guest, else its uuid. ``vif`` is the VIF as it was plugged,
    where a note tells it. ``interface`` is that of its guest, where libvirt tells it. ``wanted``:
    some guest has it, or will have it; None where libvirt does not answer.
    """

    id: str
    vif_type: str
    process: str | None
    devices: tuple[str, ...]
    bridge: str | None
    in_use: bool
    drift: tuple[str, ...] = ()
    unwired: str | None = None
    guest: str | None = None
    address: str | None = None
    vlan: int | None = None
    wanted: bool | None = None
    shows_use: bool = True
    vif: VIF | None = field(default=None, repr=False)
    interface: GuestInterface | None = field(default=None, repr=False, compare=False)

    @property
    def device(self) -> str | None:
        """The device that the guest has, or will have; else the first of the VIF's."""
        target = self.interface.target if self.interface else None
        names = (target, derived_name("tap", self.id))
        first = self.devices[0] if self.devices else None
        return next((name for name in names if name in self.devices), first)

    @property
    def state(self) -> str:
        """One of ``up``, ``down``, ``off``, ``unattached``, ``drift`` and ``orphan``.

        A VIF that a process holds is no orphan, whatever libvirt knows.
        """
        if self.wanted is False and not self.in_use:
            return "orphan"
        if self.drift:
            return "drift"
        guest = self.interface
        if guest and not guest.runs:
            return "up" if self.in_use else "off"
        if guest and (not guest.is_up or not (self.in_use or not self.shows_use)):
            return "down"
        return "up" if guest or self.in_use else "unattached"

    @property
    def words(self) -> str:
        """The state for people, with its reason."""
        match self.state:
            case "orphan":
                return "ORPHAN: no guest has it"
            case "drift":
                return f"DRIFT: {'; '.join(self.drift)}"
            case "off":
                return "guest is off"
            case state:
                return f"{state}, not wired: {self.unwired}" if self.unwired else state

    def to_dict(self) -> dict[str, Any]:
        """Return it as ``vifplug list -f json`` prints it."""
        return {
            "id": self.id,
            "vif_type": self.vif_type,
            "process": self.process,
            "devices": list(self.devices),
            "bridge": self.bridge,
            "in_use": self.in_use,
            "state": self.state,
            "drift": list(self.drift),
            "unwired": self.unwired,
            "guest": self.guest,
            "address": self.address,
            "vlan": self.vlan,
        }


@dataclass
class _Seen:
    """What a host has of one VIF."""

    marks: list[Mark] = field(default_factory=list)
    own: dict[str, Link] = field(default_factory=dict)
    claims: list[tuple[str, Mark]] = field(default_factory=list)
    traces: list[Trace] = field(default_factory=list)


def plugged(
    host: Host, kinds: Kinds, *, unbridged: Collection[str] = (), told: Told | None = None
) -> list[Plugged]:
    """Return what a host has plugged, in the order of the VIFs' ids.

    ``unbridged`` are the vif_types whose devices may be in no bridge.
    """
    vifs: dict[str, _Seen] = {}
    vlans: dict[str, int] = {}
    for name, link in host.links.items():
        if link.vlan is not None:
            vlans[link.master or name] = link.vlan
        for mark in link.marks:
            seen = vifs.setdefault(mark.vif_id, _Seen())
            seen.marks.append(mark)
            seen.own[name] = link
        for claim in host.claims(name):
            vifs.setdefault(claim.vif_id, _Seen()).claims.append((name, claim))
    for snapshot in host.switches.values():
        for trace in traces_of(snapshot):
            vifs.setdefault(trace.vif_id, _Seen()).traces.append(trace)
    for vif_id, seen in vifs.items():
        if not seen.traces:  # a port that another program made for a VIF that we know
            seen.traces += host.traces(vif_id)
    look = _Look(host, kinds, unbridged, told or Told(), vlans)
    return [look.at(vif_id, vifs[vif_id]) for vif_id in sorted(vifs)]


@dataclass(frozen=True)
class _Look:
    """What every VIF of a host is looked at with."""

    host: Host
    kinds: Kinds
    unbridged: Collection[str]
    told: Told
    vlans: Mapping[str, int]

    def at(self, vif_id: str, seen: _Seen) -> Plugged:
        """Return one VIF as the host has it."""
        host = self.host
        traces = sorted(seen.traces, key=lambda trace: not trace.main)
        own = own_devices(
            vif_id, host, self.kinds, marked=seen.own, claims=seen.claims, traces=traces
        )
        vif_type, process = _type_of(seen)
        vif = self.told.notes.get(vif_id)
        address = vif.address if vif else next((t.address for t in traces if t.address), None)
        guest = self._interface(vif_id, vif, own, address)
        gone = []
        if guest and guest.runs and guest.target and guest.target not in own:
            # A tap that libvirt made under a name of the guest's own.
            if link := host.link(guest.target):
                own |= {guest.target: link} if link.kind in _HOLDABLE else {}
            elif guest.makes_device:
                gone.append(f"{guest.target} of {guest.guest} is gone")
        bridge = _bridge_of(seen, traces, host)
        drift = () if vif_type in self.unbridged else _drift(seen, own, traces, host)
        whose = self.told.whose
        instance = vif.instance.uuid if vif else None
        uuid = next((t.instance for t in traces if t.instance), instance)
        known = whose.guest(vif_id, uuid) if whose else None
        noted = (vif.instance.name if vif else None) or uuid
        ids = (vif_id, vif.interface_id or vif_id) if vif else (vif_id,)
        stored = whose is not None and whose.is_stored(ids, own, address)
        return Plugged(
            id=vif_id,
            vif_type=vif_type,
            process=process or None,
            devices=(*own, *(port for trace in traces for port in trace.ports)),
            bridge=bridge,
            in_use=any(held(own, traces, host)),
            drift=(*drift, *gone, *(text for trace in traces for text in trace.drift)),
            unwired=next((trace.unwired for trace in traces if trace.unwired), None),
            guest=(guest.guest if guest else None) or known or noted,
            address=address or (guest.mac if guest else None),
            vlan=self._vlan(seen, traces, bridge),
            wanted=None if whose is None else bool(guest or known or stored),
            shows_use=any(link.kind in _HOLDABLE for link in own.values())
            or any(trace.ports for trace in traces),
            vif=vif,
            interface=guest,
        )

    def _interface(
        self, vif_id: str, vif: VIF | None, own: Mapping[str, Link], address: str | None
    ) -> GuestInterface | None:
        if self.told.whose is None:
            return None
        ids = [vif_id, *([vif.interface_id] if vif and vif.interface_id else [])]
        devices = [*own, vif.devname if vif and vif.devname else derived_name("tap", vif_id)]
        return self.told.whose.interface(ids, devices, address)

    def _vlan(self, seen: _Seen, traces: Iterable[Trace], bridge: str | None) -> int | None:
        """Return the VLAN of a VIF's port, else that of its bridge's or its own uplink."""
        tags = [trace.vlan for trace in traces if trace.vlan is not None]
        below = [name for name, _ in seen.claims]
        below += [link.lower for link in seen.own.values() if link.lower]
        tags += [self.vlans[name] for name in (bridge, *below) if name and name in self.vlans]
        return next(iter(tags), None)


def short_ids(ids: Sequence[str]) -> dict[str, str]:
    """Return the start of each id, long enough to name it among these."""
    length = _SHORT
    while len({vif_id[:length] for vif_id in ids}) < len(set(ids)):
        length += 1
    return {vif_id: vif_id[:length] for vif_id in ids}


def _drift(
    seen: _Seen, own: Mapping[str, Link], traces: Iterable[Trace], host: Host
) -> Iterator[str]:
    """Yield what shows that a VIF's devices are not where the VIF was plugged.

    A switch that can't be read may have them.
    """
    if any(one.error and not one.absent for one in host.switches.values()):
        return
    ports = {name: t.bridge for t in traces if not t.dead for name in t.devices}
    claimed = {name for name, _ in seen.claims if is_bridge(host.link(name))}
    claimed |= {t.bridge for t in traces if t.bridge and not t.devices and not t.ports}
    bridges = claimed or {name for name, link in own.items() if is_bridge(link)}
    for trace in traces:
        # A device in another network namespace is not gone: it is another kind of port.
        ours = trace.vif_type and not trace.drift
        lost = (name for name in trace.devices if ours and not host.link(name))
        yield from (f"{name} is gone" for name in lost)
    for name, link in own.items():
        if link.kind not in ("tap", "veth"):
            continue
        on_switch = ports.get(name)
        master = link.master if is_bridge(host.link(link.master or "")) else None
        joined, expected = (on_switch, claimed) if on_switch else (master, bridges)
        if joined is None:
            yield f"{name} is in no bridge"
        elif expected and joined not in expected:
            yield f"{name} is in {joined}, not in {min(expected)}"
        if not link.up:
            yield f"{name} is down"
        if joined and link.mtu > _most_mtu(joined, host):
            yield f"{name} has MTU {link.mtu}, and {joined} {_most_mtu(joined, host)}"


def _most_mtu(bridge: str, host: Host) -> int:
    """Return the largest MTU that a port may have; an uplink, or others, may limit a bridge's."""
    link = host.link(bridge)
    if not link or shared_mark("bridge", bridge) not in link.altnames or uplink_of(bridge, host):
        return MTU.most
    return link.mtu


def _type_of(seen: _Seen) -> tuple[str, str]:
    marks = [*seen.marks, *(claim for _, claim in seen.claims)]
    types = [(mark.vif_type, mark.process) for mark in marks]
    types += [(trace.vif_type, trace.process) for trace in seen.traces]
    return next((found for found in types if found[0]), ("", ""))


def _bridge_of(seen: _Seen, traces: list[Trace], host: Host) -> str | None:
    on_switches = [trace.bridge for trace in traces if trace.bridge]
    claimed = [name for name, _ in seen.claims if is_bridge(host.link(name))]
    masters = [link.master for link in seen.own.values() if link.master]
    return next(iter((*on_switches, *claimed, *masters)), None)
