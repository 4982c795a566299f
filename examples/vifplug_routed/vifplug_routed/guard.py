# SPDX-License-Identifier: Apache-2.0
"""The source check: an nftables rule that drops what a guest sends from another's address.

rp_filter knows IPv4 only, and the host's own setting may weaken it. So one rule checks both
families, on the taps in one set. A host without CAP_NET_ADMIN can't read it: see ``Guard.unsure``.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from vifplug import VIF, Host
from vifplug.errors import NO_VIF, SwitchError
from vifplug.fields import BOOLEAN, DEVICE, LINE, Table, declared
from vifplug.model.mark import Mark, Owner
from vifplug.operations import Operation, PortOperation
from vifplug.parts import Part
from vifplug.switch import Departure, Snapshot, Trace

TABLE = "inet vifplug_routed"
WHOLE = f"""\
add table {TABLE}
add set {TABLE} guests {{ type ifname; }}
add chain {TABLE} source {{ type filter hook prerouting priority raw; policy accept; }}
flush chain {TABLE} source
add rule {TABLE} source iifname @guests fib saddr . iif oif missing drop comment "source check"
"""
"""The table. It stays once it is there: without a guest, it drops nothing."""


@dataclass(frozen=True, kw_only=True)
class Guards(Snapshot):
    """The marks of the VIFs whose taps are checked, by tap."""

    key: ClassVar[str] = "routed"
    marks: dict[str, str] = declared(Table(LINE), default_factory=dict)
    error: str | None = declared(LINE, default=None)
    absent: bool = declared(BOOLEAN, default=False)

    def planning(self) -> Guards:
        return replace(self, marks=dict(self.marks))

    def traces(self, vif_id: str | None = None, interface_id: str | None = None) -> Iterable[Trace]:
        for device, text in self.marks.items():
            mark = Mark.parse(text)
            if mark and vif_id in (None, mark.vif_id):
                yield Trace(vif_id=mark.vif_id, vif_type=mark.vif_type, devices=(device,))


@dataclass(frozen=True, kw_only=True)
class SetGuard(PortOperation):
    """Check what a tap sends, or no more."""

    mark: str
    on: bool = True

    def __str__(self) -> str:
        return f"{'check' if self.on else 'check no more'} the sources of {self.device}"

    def undo(self) -> Operation:
        return replace(self, on=not self.on)

    def foresee(self, host: Host) -> None:
        if (guards := host.switch(Guards)) and self.on:
            guards.marks[self.device] = self.mark
        elif guards:
            guards.marks.pop(self.device, None)


@dataclass(frozen=True, kw_only=True)
class Guard(Part):
    """The host takes from a tap only what comes from an address that it reaches through it."""

    kind: ClassVar[str] = "routed-guard"
    device: str = declared(DEVICE)

    @property
    def title(self) -> str:
        return self.device

    def operations(self, owner: Owner, host: Host) -> tuple[Operation, ...]:
        guards, mark = host.switch(Guards), owner.mark("guard")
        known = guards is None or guards.marks.get(self.device) == mark
        return () if known else (SetGuard(device=self.device, mark=mark),)

    def unsure(self, owner: Owner, host: Host) -> bool:
        return host.switch(Guards) is None


def removal(vif: Departure, guards: Guards) -> tuple[SetGuard, ...]:
    """Return what takes a VIF's taps out of the set."""
    own = {trace.devices[0] for trace in guards.traces(vif.vif_id)}
    return tuple(SetGuard(device=name, mark=guards.marks[name], on=False) for name in sorted(own))


def nft(*words: str, script: str = "", until: float) -> str:
    """Run nft, with a script as one transaction; return what it prints. Raises SwitchError."""
    try:
        left = max(until - time.monotonic(), 0.01)
        done = subprocess.run(  # noqa: S603 - no shell, and fields that were checked
            ("/usr/sbin/nft", *words), input=script, capture_output=True, text=True, timeout=left
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SwitchError(NO_VIF, "nft", str(error)) from error
    if done.returncode:
        raise SwitchError(NO_VIF, "nft", " ".join(done.stderr.split())[:200] or "it failed")
    return done.stdout


def load(until: float) -> Guards:
    """Return the taps that are checked; none where the rule is not there. Raises SwitchError."""
    found = json.loads(nft("-j", "list", "ruleset", "inet", until=until) or '{"nftables": []}')
    own = [(kind, each) for entry in found["nftables"] for kind, each in entry.items()
           if each.get("table") == TABLE.split()[1]]  # fmt: skip
    if not any(kind == "rule" for kind, _ in own):
        return Guards()
    elements = [one["elem"] for kind, each in own if kind == "set" for one in each.get("elem", ())]
    return Guards(marks={one["val"]: one.get("comment", "") for one in elements})


def read(
    options: Mapping[str, Any], vifs: Sequence[VIF] | None, host: Host, *, deadline: float
) -> Guards | None:
    """Return what is checked. This module is the plugin's ``vifplug.switch.Reader``."""
    try:
        return load(deadline)
    except SwitchError:  # as an ordinary user: the daemon will look
        return None
