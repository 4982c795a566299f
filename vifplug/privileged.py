# SPDX-License-Identifier: Apache-2.0
"""The privileged side: what a plugin's entrypoints do with a request, inside its daemon.

A plugin's own ``privileged`` module is a few lines: a :class:`Context` named for the module, and
the entrypoints ``plug`` and ``unplug`` that hand their request to the functions below. msgpack
carries plain types only, so a part travels as a dict, and is built and checked again here: this
side trusts nobody.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from oslo_config import cfg

from vifplug import apply, fields, forwarding, locks, opts
from vifplug.daemon import Context, Reply
from vifplug.errors import NO_VIF, PlugFailed, PrivilegeError, VifplugError
from vifplug.look import network_namespace
from vifplug.mark import Owner
from vifplug.netlink import Netlink
from vifplug.parts import Part, build

__all__ = ["Context", "Reply", "plug", "unplug"]

_LONGEST = 24 * 3600.0
"""Seconds ahead that a deadline may lie: a caller's mistake must not hold a lock for ever."""

_REQUEST = "call it through vifplug"
_PROCESS = fields.Text(r"[a-z]{0,16}", "a process' name")


def plug(request: Mapping[str, Any], *, kinds: Iterable[type[Part]]) -> list[Reply]:
    """Plug each VIF of a request; one that fails hurts no other."""
    known = tuple(kinds)

    def one(vif: Mapping[str, Any], netlink: Netlink, deadline: float) -> apply.Applied:
        owner = _owner(vif)
        parts = [build(part, known) for part in vif["parts"]]
        names = locks.names(owner.vif_id, (name for part in parts for name in part.shared))
        with locks.held(_folder(), names, vif_id=owner.vif_id, deadline=deadline):
            return apply.plug(owner, parts, netlink=netlink, deadline=deadline)

    replies = _each(request, one)
    if any(reply.get("changed") for reply in replies):
        # The caller may not look at a firewall; it warns of what we found.
        with contextlib.suppress(OSError):
            replies[0]["dropping"] = forwarding.dropping()
    return replies


def unplug(request: Mapping[str, Any]) -> list[Reply]:
    """Unplug each VIF of a request; one that fails hurts no other."""
    remove_unused = request.get("remove_unused") is True

    def one(vif: Mapping[str, Any], netlink: Netlink, deadline: float) -> apply.Applied:
        vif_id = fields.UUID.check(vif["id"], lenient=False)
        hold = partial(locks.held, _folder(), vif_id=vif_id, deadline=deadline)
        look = partial(apply.used_by, vif_id, netlink=netlink)
        with hold(locks.names(vif_id)):
            # Only under its lock may a shared part be found unused and go.
            shared = look() if remove_unused else ()
            while True:
                with hold(locks.names(vif_id, shared)[1:]):
                    now = look() if remove_unused else ()
                    if set(now) <= set(shared):
                        return apply.unplug(
                            vif_id, netlink=netlink, remove_unused=remove_unused, deadline=deadline
                        )
                shared = now  # another plug has joined an uplink meanwhile

    return _each(request, one)


def _each(
    request: Mapping[str, Any],
    one: Callable[[Mapping[str, Any], Netlink, float], apply.Applied],
) -> list[Reply]:
    try:
        deadline, vifs = float(request["deadline"]), [dict(vif) for vif in request["vifs"]]
        elsewhere = request["namespace"] != network_namespace()
    except (KeyError, TypeError, ValueError) as error:
        raise PrivilegeError("privileged daemon", f"refused: {error!r}", _REQUEST) from None
    if not deadline <= time.monotonic() + _LONGEST:
        raise PrivilegeError("privileged daemon", f"refused: deadline {deadline}", _REQUEST)
    if elsewhere:
        why = "the daemon is in another network namespace than its caller"
        raise PrivilegeError("privileged daemon", why, "start it from where the VIFs are")
    with Netlink() as netlink:
        return [_reply(vif, lambda v: one(v, netlink, deadline)) for vif in vifs]


def _reply(vif: Mapping[str, Any], one: Callable[[Mapping[str, Any]], apply.Applied]) -> Reply:
    try:
        applied = one(vif)
    except VifplugError as error:
        return error.to_dict()
    except (fields.NotAllowed, KeyError, TypeError, ValueError) as error:
        refused = PlugFailed(NO_VIF, "reading the request", f"refused: {error}")
        return refused.to_dict()
    except OSError as error:
        return PlugFailed(str(vif.get("id")), "reading the host", str(error)).to_dict()
    return {"changed": applied.changed, "devices": list(applied.devices)}


def _owner(vif: Mapping[str, Any]) -> Owner:
    return Owner(
        vif_id=fields.UUID.check(vif["id"], lenient=False),
        vif_type=fields.WORD.check(vif["vif_type"], lenient=False),
        process=_PROCESS.check(vif["process"], lenient=False),
    )


def _folder() -> Path:
    return locks.folder(cfg.CONF[opts.GROUP].lock_path)
