# SPDX-License-Identifier: Apache-2.0
"""The caller's side of privileged calls: what the daemons are asked, and their one answer."""

from __future__ import annotations

import importlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from vifplug.daemon.call import call, start_daemon
from vifplug.daemon.request import PlugVIF, Reply, Request, UnplugVIF, pieces
from vifplug.errors import (
    NO_VIF,
    PLUGIN_ERRORS,
    DeadlineExceeded,
    InUse,
    PluginFailed,
    UnplugFailed,
    VifplugError,
)
from vifplug.kernel.namespace import network_namespace
from vifplug.model.note import note_of
from vifplug.model.vif import VIF
from vifplug.plan.wired import Wired
from vifplug.result import Result
from vifplug.switch import Departure


def start(module: str, deadline: float) -> None:
    """Start a plugin's daemon before it is needed. Raises PrivilegeError, PluginFailed."""
    try:
        context = importlib.import_module(module).context
    except ImportError as error:
        raise PluginFailed(NO_VIF, module, module, str(error)) from error
    start_daemon(context, deadline)


def plug(module: str, vifs: Sequence[Wired], deadline: float) -> Sequence[Reply]:
    """Have a plugin's daemon plug VIFs; return one reply for each."""
    replies = _asked(module, "plug", [_plug_request(vif) for vif in vifs], deadline)
    every = zip(vifs, replies, strict=True)
    return [_of_type(reply, vif.owner.vif_type) for vif, reply in every]


def unplug(module: str, vifs: Sequence[Leaving], deadline: float) -> None:
    """Have a plugin's daemon unplug VIFs, if there are any; each notes its reply."""
    if not vifs:
        return
    replies = _asked(module, "unplug", [vif.request for vif in vifs], deadline)
    for vif, reply in zip(vifs, replies, strict=True):
        vif.replies.append(_of_type(reply, vif.vif_type))


def _of_type(reply: Reply, vif_type: str) -> Reply:
    """Return a reply; the error of a plugin that can't be used names the VIF's vif_type."""
    error = reply.error
    if not vif_type or not isinstance(error, PluginFailed):
        return reply
    return Reply(error=PluginFailed(error.vif_id, vif_type, error.distribution, error.why))


def _asked(
    module: str,
    entrypoint: str,
    vifs: Sequence[PlugVIF | UnplugVIF],
    deadline: float,
) -> Sequence[Reply]:
    """Call a plugin's daemon, as often as its bounds ask for; return one reply for each VIF."""
    replies: list[Reply] = []
    for some in pieces(vifs):
        if replies and time.monotonic() > deadline:
            late = DeadlineExceeded(NO_VIF, "the calls before this VIF's", "failed")
            replies += [Reply(error=late).about(vif.vif_id) for vif in some]
        else:
            replies += _asked_once(module, entrypoint, some, deadline)
    return replies


def _asked_once(
    module: str,
    entrypoint: str,
    vifs: Sequence[PlugVIF | UnplugVIF],
    deadline: float,
) -> Sequence[Reply]:
    """Call a plugin's daemon; where the call as a whole fails, each VIF gets the error."""
    request = Request.of(network_namespace(), deadline, vifs)
    try:
        replies = call(importlib.import_module(module).context, entrypoint, request)
        if len(replies) == len(vifs):
            return replies
        why = f"{entrypoint} has {len(replies)} replies for {len(vifs)} VIFs"
        failed: VifplugError = PluginFailed(NO_VIF, module, module, why)
    except VifplugError as error:
        failed = error
    except ImportError as error:
        failed = PluginFailed(NO_VIF, module, module, str(error))
    except PLUGIN_ERRORS as error:
        failed = PluginFailed(NO_VIF, module, module, f"{type(error).__name__}: {error}")
    return [Reply(error=failed).about(vif.vif_id) for vif in vifs]


def _plug_request(vif: Wired) -> PlugVIF:
    owner = vif.owner
    return PlugVIF(
        vif_id=owner.vif_id,
        vif_type=owner.vif_type,
        process=owner.process,
        parts=tuple(part.to_dict() for part in vif.wiring.parts),
        interface_id=vif.vif.interface_id,
        elsewhere=vif.elsewhere,
        guest=_guest(vif.vif),
        move=vif.move,
        note=note_of(vif.vif),
    )


def _guest(vif: VIF | None) -> str | None:
    """Return the name of a VIF's guest, for the log."""
    return (vif.instance.name or vif.instance.uuid) if vif else None


@dataclass(kw_only=True)
class Leaving:
    """A VIF that is to be unplugged: the privileged modules to ask, and what they answered."""

    departure: Departure
    vif_type: str
    vif: VIF | None
    modules: tuple[str, ...] = ()
    replies: list[Reply] = field(default_factory=list)
    errors: list[VifplugError] = field(default_factory=list)

    @property
    def request(self) -> UnplugVIF:
        """What the daemons are asked."""
        departure = self.departure
        return UnplugVIF(
            vif_id=departure.vif_id,
            interface_id=departure.interface_id,
            guest=_guest(self.vif),
            force=departure.force,
            unused=departure.unused,
        )

    @property
    def in_use(self) -> bool:
        """Whether a daemon has found that a guest holds the VIF."""
        return any(isinstance(reply.error, InUse) for reply in self.replies)

    @property
    def outcome(self) -> Result | VifplugError:
        """What became of the VIF: one answer of all that were asked."""
        errors = [*self.errors, *(reply.error for reply in self.replies if reply.error)]
        if len(errors) == 1:
            return errors[0]
        if errors:
            return UnplugFailed(self.departure.vif_id, [str(error) for error in errors])
        devices = (device for reply in self.replies for device in reply.devices)
        removed = (name for reply in self.replies for name in reply.removed)
        return Result(
            id=self.departure.vif_id,
            vif_type=self.vif_type,
            process=None,
            changed=any(reply.changed for reply in self.replies),
            devices=tuple(dict.fromkeys(devices)),
            removed=tuple(dict.fromkeys(removed)),
        )
