# SPDX-License-Identifier: Apache-2.0
"""The real driver on a simulated host: what reads the host and what serves its calls is replaced.

Planning, moving, unplugging, gc and the daemons' own ``vifplug.apply`` are the code that is
installed. Only the last step is another one: an operation changes a value, not a kernel.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from oslo_config import cfg

from tests.histories import kernel
from tests.histories.state import ENDPOINT, State
from tests.histories.switch import SimulatedSwitch
from vifplug import GenericVIFDriver, apply, calls
from vifplug.apply.means import Means
from vifplug.daemon.request import Reply
from vifplug.errors import PrivilegeError, VifplugError
from vifplug.kernel import holders
from vifplug.model.host import Host
from vifplug.model.vif import VIF
from vifplug.operations.operation import Operation, SwitchOperation
from vifplug.parts import CORE
from vifplug.plan.place import Lookup
from vifplug.plan.wired import Wired
from vifplug.switch import Departure
from vifplug_bridge import opts as bridge_opts
from vifplug_ovs import opts as ovs_opts
from vifplug_ovs.parts import KINDS as OVS_KINDS
from vifplug_vepa import opts as vepa_opts
from vifplug_vepa.parts import KINDS as VEPA_KINDS

FACTS = Host(libvirt_version="9.0.0", virt_type="qemu", kernel="6.1.0")
KINDS = {
    "vifplug_bridge.privileged": CORE,
    "vifplug_ovs.privileged": OVS_KINDS,
    "vifplug_vepa.privileged": VEPA_KINDS,
}
_FIXED = {module: Lookup.of(kinds, ()) for module, kinds in KINDS.items()}


class Killed(BaseException):
    """The daemon has been killed: nothing of it runs any more, not even what undoes."""


class _Claims:
    """The claims' folder, which is always sound here."""

    def require_sound(self) -> None:
        """Find nothing."""

    def require_ours(self) -> None:
        """Find nothing."""

    def require_read(self, vif_id: str) -> None:
        """Find nothing."""

    def unread(self, vif_id: str) -> dict[str, str]:
        """Return none."""
        return {}


class _Kernel:
    """What ``vifplug.apply`` asks of the kernel besides operations."""

    claims = _Claims()

    def let_go(self) -> None:
        """Hold no descriptor."""


class SimulatedMeans(Means):
    """What plans are carried out with, on a simulated host."""

    machine: SimulatedDriver

    def look(self, *, batch: bool, strict: bool = False) -> Host:
        return self.machine.state.host(FACTS)

    def perform(self, operation: Operation, *, vif_id: str) -> None:
        self.machine.step()
        kernel.perform(operation, self.machine.state)

    def take_back(self, operation: Operation) -> None:
        if self.machine.is_dead:
            raise Killed
        if isinstance(operation, SwitchOperation) and self.switch:
            self.switch.take_back(operation)
        else:
            self.machine.step()
            kernel.perform(operation, self.machine.state)


class _Notes:
    """The notes of a simulated host."""

    def __init__(self, state: State) -> None:
        self._notes = state.notes

    def ids(self) -> set[str]:
        """Return the ids of the VIFs that have a note."""
        return set(self._notes)

    def of(self, vif_id: str) -> VIF | None:
        """Return a VIF as it was plugged."""
        return self._notes.get(vif_id)


class _Reader:
    """Stands for the reader of the host."""

    def __init__(self, machine: SimulatedDriver) -> None:
        self._machine = machine

    def read(self, **asked: Any) -> Host:
        """Return the host with its switch."""
        return self._machine.state.host(FACTS)

    def devices(self, *, batch: bool = False) -> Host:
        """Return the host."""
        return self._machine.state.host(FACTS)

    def fresh(self, host: Host) -> Host:
        """Return the host as it is."""
        return self._machine.state.host(FACTS)

    def with_switches(self, host: Host, readers: Iterable[Any], *, deadline: float) -> Host:
        """Return the host, which has its switch already."""
        return host

    def is_running(self, host: Host) -> bool:
        """Return False: libvirt is not asked about it."""
        return False

    def warn_of_claims(self, host: Host) -> None:
        """Find nothing."""

    def left_over(self, vif_id: str, host: Host) -> bool:
        """Whether a VIF has a note."""
        return vif_id in self._machine.state.notes

    def notes(self) -> _Notes:
        """Return the notes."""
        return _Notes(self._machine.state)

    def folder(self) -> Path:
        """Return a folder in which no process holds a lock."""
        return Path("/nonexistent/vifplug")


class SimulatedDriver(GenericVIFDriver):
    """The driver of a simulated host, and the host's privileged daemons.

    A daemon is killed before its step ``kill_at``, once: -1 is never.
    """

    def __init__(self, state: State, *, create_tap: bool) -> None:
        conf = cfg.ConfigOpts()
        conf([], default_config_files=[])
        for module in (bridge_opts, ovs_opts, vepa_opts):
            conf.register_opts(module.OPTS, group=module.GROUP)
            conf.set_override("remove_unused", True, group=module.GROUP)
        conf.set_override("create_tap", create_tap, group=bridge_opts.GROUP)
        conf.set_override("ovsdb_connection", ENDPOINT, group=ovs_opts.GROUP)
        conf.set_override("datapath_type", "netdev", group=ovs_opts.GROUP)
        super().__init__(conf, asks_libvirt=False)
        self.reader = _Reader(self)  # type: ignore[assignment]
        self.state = state
        self.kill_at, self.steps, self.is_dead = -1, 0, False

    def step(self) -> None:
        """Count a step of a daemon. Raises Killed before the chosen one."""
        if self.steps == self.kill_at:
            self.steps += 1
            self.is_dead = True
        if self.is_dead:
            raise Killed
        self.steps += 1

    def arm(self, kill_at: int) -> None:
        """Have the next call's daemon killed before a step; -1 for none."""
        self.kill_at, self.steps, self.is_dead = kill_at, 0, False

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """Have privileged calls, and questions about processes, answered by this host."""
        daemons = Daemons(self)
        with (
            mock.patch.object(calls, "plug", daemons.plug),
            mock.patch.object(calls, "unplug", daemons.unplug),
            mock.patch.object(holders, "held_taps", lambda: self.state.held()),
            mock.patch.object(holders, "name_of_holder", lambda device: ""),
        ):
            yield


class Daemons:
    """The privileged daemons of a simulated host: a class of its own, whatever the driver has."""

    def __init__(self, machine: SimulatedDriver) -> None:
        self._machine = machine

    def _means(self, module: str) -> SimulatedMeans:
        switch = (
            SimulatedSwitch(self._machine.state, self._machine.step) if "ovs" in module else None
        )
        means = SimulatedMeans(
            kernel=_Kernel(),  # type: ignore[arg-type]
            deadline=time.monotonic() + 3600,
            kinds=KINDS[module],
            switch=switch,
            limits={},
        )
        object.__setattr__(means, "machine", self._machine)
        return means

    def plug(self, module: str, vifs: Sequence[Wired], deadline: float) -> Sequence[Reply]:
        replies: list[Reply] = []
        for vif in vifs:  # a history plugs one VIF a call
            try:
                replies.append(self._plugged(module, vif))
            except Killed:
                self._machine.is_dead = False
                replies.append(_ended(module))
        return replies

    def _plugged(self, module: str, vif: Wired) -> Reply:
        means, wanted, vif_id = self._means(module), vif.wanted, vif.vif.id
        names = (*vif.elsewhere, *_FIXED[module].names(vif_id))
        one = apply.Plugging(wanted=wanted, elsewhere=names)
        moving = [vif_id] if wanted.move else []
        leaves = apply.used_by(moving, means, remove_unused=True)
        outcomes = apply.plug([one], means)
        if moving:
            outcomes = apply.unmake_unused([one], outcomes, leaves, means)
        if isinstance(outcomes[0], apply.Applied):
            self._machine.state.notes[vif_id] = vif.vif
        return _reply(outcomes[0])

    def unplug(self, module: str, vifs: Sequence[calls.Leaving], deadline: float) -> None:
        asked = [vif.departure for vif in vifs]
        if not asked:
            return
        size = len(asked) if "ovs" in module else 1
        for start in range(0, len(asked), size):
            group = vifs[start : start + size]
            try:
                replies = self._unplugged(module, [vif.departure for vif in group])
            except Killed:
                self._machine.is_dead = False
                replies = [_ended(module) for _ in group]
            for vif, reply in zip(group, replies, strict=True):
                vif.replies.append(reply)

    def _unplugged(self, module: str, vifs: Sequence[Departure]) -> list[Reply]:
        means = self._means(module)
        outcomes = apply.unplug(vifs, means, remove_unused=True)
        for vif, outcome in zip(vifs, outcomes, strict=True):
            if isinstance(outcome, apply.Applied):
                self._machine.state.notes.pop(vif.vif_id, None)
        for mark in means.lost:
            kernel.perform(mark, self._machine.state)
        found: list[Reply] = []
        for vif, outcome in zip(vifs, outcomes, strict=True):
            after = apply.tidy(vif.vif_id, means) if vif.unused else outcome
            found.append(_reply(after if isinstance(outcome, apply.Applied) else outcome))
        return found


def _reply(outcome: apply.Outcome) -> Reply:
    if isinstance(outcome, VifplugError):
        return Reply(error=outcome)
    return Reply(changed=outcome.changed, devices=outcome.devices, made=outcome.made,
                 removed=outcome.removed)  # fmt: skip


def _ended(module: str) -> Reply:
    name = module.partition(".")[0]
    return Reply(error=PrivilegeError(f"privileged daemon of {name}", "it has ended", "-"))
