# SPDX-License-Identifier: Apache-2.0
"""What a host has plugged, as marks, claims and switches tell. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from vifplug.model.host import Host
from vifplug.model.link import Link, is_bridge
from vifplug.model.mark import Mark
from vifplug.model.snapshot import Trace, traces_of
from vifplug.plan.derived import Kinds
from vifplug.plan.usage import held, own_devices


@dataclass(frozen=True, kw_only=True)
class Plugged:
    """One VIF that the host has plugged, as its marks and claims tell.

    ``in_use``: a guest holds the VIF's tap open (the tap has carrier), or its socket, or has a
    macvtap that may be held. ``drift`` says what another program has changed since. ``unwired``
    says why its port passes no frame until another program lets it, such as Neutron's agent.
    """

    id: str
    vif_type: str
    process: str | None
    devices: tuple[str, ...]
    bridge: str | None
    in_use: bool
    drift: tuple[str, ...] = ()
    unwired: str | None = None

    @property
    def state(self) -> str:
        """``drift``, ``up`` (a guest holds the VIF), or ``unattached``."""
        return "drift" if self.drift else "up" if self.in_use else "unattached"

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
        }


@dataclass
class _Seen:
    """What a host has of one VIF."""

    marks: list[Mark] = field(default_factory=list)
    own: dict[str, Link] = field(default_factory=dict)
    claims: list[tuple[str, Mark]] = field(default_factory=list)
    traces: list[Trace] = field(default_factory=list)


def plugged(host: Host, kinds: Kinds, *, unbridged: Collection[str] = ()) -> list[Plugged]:
    """Return what a host has plugged, in the order of the VIFs' ids.

    ``unbridged`` are the vif_types whose devices may be in no bridge.
    """
    vifs: dict[str, _Seen] = {}
    for name, link in host.links.items():
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
    return [_plugged(vif_id, vifs[vif_id], host, kinds, unbridged) for vif_id in sorted(vifs)]


def _plugged(
    vif_id: str, seen: _Seen, host: Host, kinds: Kinds, unbridged: Collection[str]
) -> Plugged:
    traces = sorted(seen.traces, key=lambda trace: not trace.main)
    own = own_devices(vif_id, host, kinds, marked=seen.own, claims=seen.claims, traces=traces)
    vif_type, process = _type_of(seen)
    return Plugged(
        id=vif_id,
        vif_type=vif_type,
        process=process or None,
        devices=(*own, *(port for trace in traces for port in trace.ports)),
        bridge=_bridge_of(seen, traces, host),
        in_use=any(held(own, traces, host)),
        drift=() if vif_type in unbridged else tuple(_drift(seen, own, traces, host)),
        unwired=next((trace.unwired for trace in traces if trace.unwired), None),
    )


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
