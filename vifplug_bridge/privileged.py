# SPDX-License-Identifier: Apache-2.0
"""The privileged side of vifplug_bridge: CAP_NET_ADMIN, and only the core's own parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oslo_config import cfg

from vifplug import privileged
from vifplug.parts import CORE
from vifplug_bridge import opts

context = privileged.Context(__name__)


def list_opts() -> list[tuple[str, list[Any]]]:
    """Return all options of this plugin (entry point oslo.config.opts)."""
    return [(opts.GROUP, opts.OPTS), *context.list_opts()]


def _configured() -> Any:
    """Return this plugin's options from the daemon's own configuration.

    A request can't set them: the daemon doesn't trust its caller.
    """
    cfg.CONF.register_opts(opts.OPTS, group=opts.GROUP)
    return cfg.CONF[opts.GROUP]


@context.entrypoint
def plug(request: Mapping[str, Any]) -> list[privileged.Reply]:
    """Plug the VIFs of a request."""
    return privileged.plug(request, kinds=CORE, remove_unused=_configured().remove_unused)


@context.entrypoint
def unplug(request: Mapping[str, Any]) -> list[privileged.Reply]:
    """Unplug the VIFs of a request."""
    return privileged.unplug(request, kinds=CORE, remove_unused=_configured().remove_unused)
