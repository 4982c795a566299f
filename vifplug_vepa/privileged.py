# SPDX-License-Identifier: Apache-2.0
"""The privileged side of vifplug_vepa.

Besides CAP_NET_ADMIN it holds CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH, for one thing: to see who has
a macvtap open, and the latter to read lldpad's process id.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oslo_config import cfg
from oslo_privsep import capabilities

from vifplug import privileged
from vifplug.model.host import Host
from vifplug_vepa import opts
from vifplug_vepa import reader as look
from vifplug_vepa.parts.required import KINDS

context = privileged.Context(
    __name__, needs=(capabilities.CAP_SYS_PTRACE, capabilities.CAP_DAC_READ_SEARCH)
)


def list_opts() -> list[tuple[str, list[Any]]]:
    """Return all options of this plugin (entry point oslo.config.opts)."""
    return [(opts.GROUP, opts.OPTS), *context.list_opts()]


def _facts(host: Host, *, until: float) -> Host:
    # The file is the configuration's and not the request's: the caller is not to be trusted.
    cfg.CONF.register_opts(opts.OPTS, group=opts.GROUP)
    return look.add(host, cfg.CONF[opts.GROUP].lldpad_pid_file, until, must=True)


@context.entrypoint
def plug(request: Mapping[str, Any]) -> list[privileged.Reply]:
    """Plug the VIFs of a request."""
    return privileged.plug(request, kinds=KINDS, facts=_facts)


@context.entrypoint
def unplug(request: Mapping[str, Any]) -> list[privileged.Reply]:
    """Unplug the VIFs of a request."""
    return privileged.unplug(request)
