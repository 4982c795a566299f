# SPDX-License-Identifier: Apache-2.0
"""The privileged side of vifplug_bridge: CAP_NET_ADMIN, and the core's own parts only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vifplug import privileged
from vifplug.parts import CORE
from vifplug_bridge import opts

context = privileged.Context(__name__)


def list_opts() -> list[tuple[str, list[Any]]]:
    """Return all options of this plugin (entry point oslo.config.opts)."""
    return [(opts.GROUP, opts.OPTS), *context.list_opts()]


@context.entrypoint
def plug(request: Mapping[str, Any]) -> list[privileged.Reply]:
    """Plug the VIFs of a request."""
    return privileged.plug(request, kinds=CORE)


@context.entrypoint
def unplug(request: Mapping[str, Any]) -> list[privileged.Reply]:
    """Unplug the VIFs of a request."""
    return privileged.unplug(request)
