# SPDX-License-Identifier: Apache-2.0
"""Plan: the parts of one VIF compared with a host; what plug would do, as a value and as text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass

from vifplug.errors import VifplugError
from vifplug.model.host import Host
from vifplug.model.mark import Owner
from vifplug.operations.operation import Operation
from vifplug.parts.part import Part
from vifplug.plan import possible, rights
from vifplug.wiring import Wiring

COLUMNS = 80


@dataclass(frozen=True, kw_only=True)
class Step:
    """What a plan does about one part: make, change, move or keep it."""

    action: str
    part: Part
    detail: str
    operations: tuple[Operation, ...]

    def to_dict(self) -> dict[str, str]:
        """Return the step as ``vifplug plan -f json`` prints it."""
        return {
            "action": self.action,
            "part": self.part.kind,
            "name": self.part.title,
            "detail": self.detail,
        }


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One VIF's parts compared with a host. False in a condition where nothing differs.

    ``leaving`` is what takes a VIF that moves out of its old place. ``unsure``: only the privileged
    side can tell whether there is more to do. ``stale`` is what differs under the running guest,
    and only its restart mends, or in the guest's definition. ``unwired`` says why the VIF's port
    passes no frame until another program lets it: a plug leaves that alone.
    """

    owner: Owner
    steps: tuple[Step, ...]
    why: str = ""
    notes: tuple[str, ...] = ()
    unsure: bool = False
    leaving: tuple[Operation, ...] = ()
    stale: tuple[str, ...] = ()
    unwired: str = ""

    def __bool__(self) -> bool:
        return bool(self.operations or self.stale)

    @property
    def operations(self) -> tuple[Operation, ...]:
        """The changes, in order."""
        steps = (operation for step in self.steps for operation in step.operations)
        return (*self.leaving, *steps)

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices that are, or will be, the VIF's own."""
        return tuple(name for step in self.steps for name in step.part.devices)

    @property
    def title(self) -> str:
        """The VIF, its type, and the process with its reason."""
        words = [self.owner.vif_id, self.owner.vif_type]
        if self.owner.process:
            words.append(f"{self.owner.process} ({self.why})" if self.why else self.owner.process)
        return "  ".join(words)

    def __str__(self) -> str:
        """Return the plan as text of at most 80 columns; the form is that of plan.txt."""
        lines = [self.title]
        width = max((len(step.part.kind) for step in self.steps), default=0)
        for step in self.steps:
            lines += step_lines(step.action, step.part.kind, step.part.title, step.detail, width)
        for operation in self.leaving:
            lines += _wrapped("  leave   ", str(operation))
        for difference in self.stale:
            lines += _wrapped("  stale   ", difference)
        for note in self.notes:
            lines += _wrapped("  note    ", note)
        return "\n".join(lines)


def step_lines(action: str, kind: str, title: str, detail: str, width: int) -> list[str]:
    """Return a step as text; ``width`` is that of the longest kind of the plan."""
    return _wrapped(f"  {action:6}  {kind:{max(width, 6)}}  {title:15}  ", detail)


def _wrapped(start: str, text: str) -> list[str]:
    room = max(COLUMNS - len(start), 20)
    first, *more = textwrap.wrap(text, room, break_on_hyphens=False) or [""]
    return [(start + first).rstrip(), *(" " * len(start) + line for line in more)]


def plan(owner: Owner, wiring: Wiring, host: Host, *, leaving: tuple[Operation, ...] = ()) -> Plan:
    """Compare a wiring's parts with a host. Raises Conflict.

    The host has a VIF that moves no more where it was; ``leaving`` is what that takes.
    """
    host = host.planning()
    unsure = any(part.unsure(owner, host) for part in wiring.parts)
    # First, because the scratch pad will have the host as it is to be.
    stale = tuple(text for part in wiring.parts for text in part.stale(owner, host))
    traces = () if leaving else host.traces(owner.vif_id)
    unwired = next((trace.unwired for trace in traces if trace.unwired), "")
    steps = compare(owner, wiring.parts, host)
    return Plan(
        owner=owner,
        steps=steps,
        why=wiring.why,
        notes=(
            *wiring.passed_over,
            *wiring.notes,
            *((f"not wired: {unwired}",) if unwired else ()),
        ),
        unsure=unsure,
        leaving=leaving,
        stale=stale,
        unwired=unwired,
    )


def is_there(owner: Owner, wiring: Wiring, host: Host) -> bool:
    """Return True if the host already has every part. Stops at the first difference.

    Raises Conflict, of the parts that it compared.
    """
    return not any(
        part.unsure(owner, host) or possible.operations(part, owner, host) for part in wiring.parts
    )


def compare(owner: Owner, parts: Iterable[Part], host: Host) -> tuple[Step, ...]:
    """Compare parts with a host in order, each with what the ones before it will have made.

    Raises Conflict, also where the kernel would refuse an operation; then nothing of these parts
    stays noted on the host's scratch pad.
    """
    host = host.planning()
    steps: list[Step] = []
    noted: list[Operation] = []
    try:
        for part in parts:
            operations = possible.operations(part, owner, host)
            action, detail = part.step(operations, host)
            steps.append(Step(action=action, part=part, detail=detail, operations=operations))
            for operation in operations:
                rights.require(operation, part, owner, host, noted)
                possible.require(operation, owner, host)
                noted.append(operation)
                operation.foresee(host)
    except VifplugError:
        for operation in reversed(noted):
            if back := operation.undo():
                back.foresee(host)
        raise
    return tuple(steps)
