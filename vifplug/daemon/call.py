# SPDX-License-Identifier: Apache-2.0
"""A call of a plugin's privileged daemon."""

from __future__ import annotations

import time

from oslo_privsep.comm import PrivsepTimeout
from oslo_privsep.daemon import FailedToDropPrivileges

from vifplug.daemon.channels import NotInTime
from vifplug.daemon.context import MEND, Context
from vifplug.daemon.request import Reply, Request
from vifplug.errors import NO_VIF, DeadlineExceeded, PrivilegeError

_GRACE = 1.0
"""Seconds past the deadline in which the daemon may still say that it has undone the call."""


def start_daemon(context: Context, deadline: float) -> None:
    """Start a plugin's daemon, if it does not run yet. Raises PrivilegeError."""
    try:
        context.ready(deadline)
    except (FailedToDropPrivileges, OSError) as error:
        raise PrivilegeError("privileged daemon", f"it can't be started: {error}", MEND) from error


def call(context: Context, entrypoint: str, request: Request) -> list[Reply]:
    """Call a plugin's privileged entrypoint with a request; return one reply for each of its VIFs.

    Raises PrivilegeError where the daemon can't be started or ends, DeadlineExceeded where it
    doesn't start in time, or with the outcome ``unknown`` where it doesn't answer in time.
    """
    first = request.vif_id(0) if request.vifs else NO_VIF
    try:
        channel = context.ready(request.deadline)
        name = f"{context.prefix}.{entrypoint}"
        wait = max(request.deadline - time.monotonic(), 0.0) + _GRACE
        # A daemon that hangs does not even take a large request; its reader minds no time-out.
        channel.writer.writesock.settimeout(wait)
        replies = channel.remote_call(name, (request.to_dict(),), {}, wait)
    except (PrivsepTimeout, TimeoutError) as error:
        if isinstance(error, TimeoutError):
            context.stop()  # the request went half-way: the rest of the stream is lost
        raise DeadlineExceeded(first, "the privileged daemon", "unknown") from error
    except NotInTime as error:
        step = f"the start of the privileged daemon ({error})"
        raise DeadlineExceeded(first, step, "failed") from error
    except FailedToDropPrivileges as error:
        raise PrivilegeError(_named(context), f"it can't be started: {error}", MEND) from error
    except OSError as error:
        why = f"it has ended: {error}"
        raise PrivilegeError(_named(context), why, MEND) from error
    return [Reply.from_dict(reply).about(request.vif_id(n)) for n, reply in enumerate(replies)]


def _named(context: Context) -> str:
    """Return how an error names the daemon of a plugin: by the plugin's package."""
    return f"privileged daemon of {context.prefix.partition('.')[0]}"
