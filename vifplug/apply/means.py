# SPDX-License-Identifier: Apache-2.0
"""What plans are carried out with: the kernel, a switch if the plugin has one, the time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from vifplug.errors import DeadlineExceeded
from vifplug.kernel.perform import Kernel, perform
from vifplug.model.host import BATCH, Host
from vifplug.model.snapshot import Snapshot
from vifplug.operations.altnames import RemoveAltname
from vifplug.operations.links import SetLink
from vifplug.operations.operation import Operation, SwitchOperation
from vifplug.parts.part import Part
from vifplug.query import limits
from vifplug.query.cards import RunningFunctions
from vifplug.query.links import RunningLinks
from vifplug.switch import Switch, Wanted

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Means:
    """What plans are carried out with.

    ``deadline`` is absolute CLOCK_MONOTONIC. ``kinds`` are the parts that the plugin knows.
    ``snapshots`` are what its parts must know of the host besides devices and ``switch``.
    ``allowed`` is as a Host has it. ``meanwhile`` is done while a switch works, so that it takes no
    time. ``lost`` are marks that lead nowhere, noted on the way. ``limits`` are what this kernel
    refuses whoever asks.
    """

    kernel: Kernel
    deadline: float
    kinds: Sequence[type[Part]] = ()
    switch: Switch | None = None
    snapshots: Iterable[Snapshot] = ()
    allowed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    meanwhile: Callable[[], object] | None = None
    lost: list[RemoveAltname] = field(default_factory=list)
    limits: Mapping[str, Any] = field(default_factory=limits.found)

    def look(self, *, batch: bool, strict: bool = False) -> Host:
        """Return the host's devices as they are; in a ``batch`` all are read at once.

        ``strict``: claims that can't be read are an error to who asks for them.
        """
        links = RunningLinks(self.kernel.claims, self.kernel.netlink, strict=strict)
        if batch:
            links.read_all()
        switches = {snapshot.key: snapshot for snapshot in self.snapshots}
        return Host(
            links=links,
            pci=RunningFunctions(),
            switches=switches,
            allowed=self.allowed,
            **self.limits,
        )

    def look_for(self, vifs: Sequence[Wanted], *, elsewhere: Iterable[str] = ()) -> Host:
        """Return the host with everything that the parts of some VIFs must know.

        ``elsewhere`` are further names to look for. Raises OSError, SwitchError, DeadlineExceeded.
        """
        self.kernel.let_go()  # a tap that is held looks like a running guest's
        host = self.look(batch=len(vifs) >= BATCH, strict=True)
        for vif in vifs:
            host.expect(vif.devices)
            host.expect(name for part in vif.parts for name in part.shared)
            marks = (part.marks(vif.owner) for part in vif.parts)
            host.expect(mark for own in marks for mark in own.values())
        host.expect(elsewhere)
        if self.switch is None:
            return host
        snapshot = self.switch.seek(vifs, meanwhile=host.read_ahead)
        return replace(host, switches={**host.switches, snapshot.key: snapshot})

    def perform(self, operation: Operation, *, vif_id: str) -> None:
        """Do one operation on the kernel, for the VIF that the log names."""
        LOG.debug("VIF %s: %s", vif_id, operation)
        perform(operation, self.kernel)

    def use_the_time(self) -> None:
        """Do what has to be done some time, while a switch works."""
        self.kernel.let_go()
        if self.meanwhile:
            self.meanwhile()

    def take_back(self, operation: Operation) -> None:
        """Do one operation that undoes another, on the kernel or in the switch."""
        LOG.debug("undo: %s", operation)
        if isinstance(operation, SwitchOperation) and self.switch:
            self.switch.take_back(operation)
            return
        if self.switch and isinstance(operation, SetLink) and operation.attribute == "master":
            self.switch.let_go(operation.device)
        perform(operation, self.kernel)

    def require_time(self, vif_id: str, step: str) -> None:
        """Raise DeadlineExceeded where the deadline has passed."""
        if time.monotonic() > self.deadline:
            raise DeadlineExceeded(vif_id, step, "failed")


def log_each(operations: Iterable[Operation], vif_id: str) -> None:
    """Log the operations that the switch is asked for, one by one."""
    for operation in operations:
        LOG.debug("VIF %s: %s", vif_id, operation)
