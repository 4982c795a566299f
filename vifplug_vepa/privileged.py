# SPDX-License-Identifier: Apache-2.0
"""The privileged side of vifplug_vepa.

Besides CAP_NET_ADMIN it holds CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH: together they show which
process has a macvtap open. CAP_DAC_READ_SEARCH also reads lldpad's process id.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oslo_config import cfg
from oslo_privsep import capabilities

import vifplug_vepa.perform  # noqa: F401 - registers this plugin's operations
from vifplug import privileged
from vifplug.switch import Snapshot
from vifplug_vepa import opts, reader
from vifplug_vepa.parts import KINDS

context = privileged.Context(
    __name__, needs=(capabilities.CAP_SYS_PTRACE, capabilities.CAP_DAC_READ_SEARCH)
)


def list_opts() -> list[tuple[str, list[Any]]]:
    """Return all options of this plugin (entry point oslo.config.opts)."""
    return [(opts.GROUP, opts.OPTS), *context.list_opts()]


def _configured() -> Any:
    """Return this plugin's options from the daemon's own configuration.

    A request can't set them: the daemon doesn't trust its caller.
    """
    cfg.CONF.register_opts(opts.OPTS, group=opts.GROUP)
    return cfg.CONF[opts.GROUP]


def _snapshots(deadline: float) -> tuple[Snapshot, ...]:
    return (reader.lldpad(_configured().lldpad_pid_file, deadline, must=True),)


@context.entrypoint
def plug(request: Mapping[str, Any]) -> list[privileged.Reply]:
    """Plug the VIFs of a request."""
    unused = _configured().remove_unused
    return privileged.plug(request, kinds=KINDS, snapshots=_snapshots, remove_unused=unused)


@context.entrypoint
def unplug(request: Mapping[str, Any]) -> list[privileged.Reply]:
    """Unplug the VIFs of a request."""
    return privileged.unplug(request, kinds=KINDS, remove_unused=_configured().remove_unused)
