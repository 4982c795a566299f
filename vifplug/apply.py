# SPDX-License-Identifier: Apache-2.0
"""A plan carried out: all or nothing for a plug, all that can be for an unplug, then looked at.

This runs inside a plugin's privileged daemon, under its locks, but is itself plain code.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from vifplug.errors import DeadlineExceeded, PlugFailed, UnplugFailed, VifplugError
from vifplug.host import Host
from vifplug.look import RunningLinks
from vifplug.mark import Owner
from vifplug.netlink import Netlink
from vifplug.operations import MakeLink, Operation, RemoveAltname, RemoveLink
from vifplug.parts import Part, uplink_of
from vifplug.perform import perform
from vifplug.wiring import Unit, compare, removal, used


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What a plug or unplug did: whether it changed the host, and the VIF's own devices."""

    changed: bool
    devices: tuple[str, ...]


def _look(netlink: Netlink) -> Host:
    return Host(links=RunningLinks(netlink))


def plug(owner: Owner, parts: Sequence[Part], *, netlink: Netlink, deadline: float) -> Applied:
    """Make the parts exist, or leave the host as it was.

    ``deadline`` is absolute CLOCK_MONOTONIC. Raises Conflict before any change, and PlugFailed or
    DeadlineExceeded after the undo.
    """
    steps = compare(owner, parts, _look(netlink))
    done: list[Operation] = []
    standing = "the first step"
    try:
        for step in steps:
            for operation in step.operations:
                standing = str(operation)
                _require_time(owner, standing, deadline)
                # Noted before it is tried: what failed half-way is taken back too.
                done.append(operation)
                perform(netlink, operation)
        if done:
            standing = "the look at the result"
            _require_nothing_left(owner, parts, netlink)
            _require_time(owner, standing, deadline)
    except BaseException as error:
        left = _undo(done, netlink)
        if isinstance(error, VifplugError) and not left:
            raise
        raise PlugFailed(owner.vif_id, standing, _words(error), left) from error
    devices = tuple(name for part in parts for name in part.devices)
    return Applied(changed=bool(done), devices=devices)


def _require_time(owner: Owner, step: str, deadline: float) -> None:
    if time.monotonic() > deadline:
        raise DeadlineExceeded(owner.vif_id, step, "failed")


def _require_nothing_left(owner: Owner, parts: Sequence[Part], netlink: Netlink) -> None:
    again = compare(owner, parts, _look(netlink))
    differs = [str(operation) for step in again for operation in step.operations]
    if differs:
        reason = f"the host did not keep what was done: {'; '.join(differs)}"
        raise PlugFailed(owner.vif_id, "the look at the result", reason)


def _undo(done: Sequence[Operation], netlink: Netlink) -> list[str]:
    """Take back what was done, last first; return what could not be."""
    left = []
    for operation in reversed(done):
        back = operation.undo()
        if back is None:
            continue
        try:
            perform(netlink, back)
        except Exception as error:
            # The device that the plan itself made may be gone, or never have come.
            made = any(isinstance(o, MakeLink) and o.device == back.device for o in done)
            if not (made and not isinstance(back, RemoveLink)):
                left.append(f"{back}: {_words(error)}")
    return left


def _words(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def used_by(vif_id: str, *, netlink: Netlink) -> tuple[str, ...]:
    """Return the shared devices that the removal of what a VIF uses alone would touch."""
    host = _look(netlink)
    found = used(vif_id, host)
    uplinks = [uplink[0] for one in found if (uplink := uplink_of(one, host))]
    return tuple(sorted({*found, *uplinks}))


def unplug(vif_id: str, *, netlink: Netlink, remove_unused: bool, deadline: float) -> Applied:
    """Remove all that is the VIF's; go on past errors and report them together.

    Raises UnplugFailed where something is left; what is gone already is no error.
    """
    units = removal(vif_id, _look(netlink), remove_unused=remove_unused)
    claims = [unit for unit in units if isinstance(unit[-1], RemoveAltname)]
    failures: list[str] = []
    for unit in units:
        if unit not in claims:
            failures += _together(unit, netlink, deadline)
    if units and not failures:
        failures = _still_to_do(vif_id, netlink, remove_unused=remove_unused, but=claims)
    # With a failure the claims stay: they tell the next unplug what is still to do.
    for unit in () if failures else claims:
        failures += _together(unit, netlink, deadline)
    if units and not failures:
        failures = _still_to_do(vif_id, netlink, remove_unused=False, but=[])
    if failures:
        raise UnplugFailed(vif_id, failures)
    own = (unit[0] for unit in units if isinstance(unit[0], RemoveLink) and len(unit) == 1)
    devices = tuple(one.device for one in own if not one.unless_used)
    return Applied(changed=bool(units), devices=devices)


def _still_to_do(
    vif_id: str, netlink: Netlink, *, remove_unused: bool, but: Sequence[Unit]
) -> list[str]:
    """Look at the host again; return what an unplug would still have to do."""
    again = removal(vif_id, _look(netlink), remove_unused=remove_unused)
    left = [operation for unit in again if unit not in but for operation in unit]
    return [f"{operation}: still to do" for operation in left]


def _together(unit: Unit, netlink: Netlink, deadline: float) -> list[str]:
    """Do all of a unit or nothing; return what failed, and what could not be taken back."""
    done: list[Operation] = []
    for operation in unit:
        try:
            if time.monotonic() > deadline:
                raise TimeoutError("the deadline passed")
            done.append(operation)
            perform(netlink, operation)
        except Exception as error:
            return [f"{operation}: {_words(error)}", *_undo(done, netlink)]
    return []
