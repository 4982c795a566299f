# SPDX-License-Identifier: Apache-2.0
"""The privileged side of vifplug_ovs: CAP_NET_ADMIN, the core's parts, and Open vSwitch's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from oslo_config import cfg

from vifplug import privileged
from vifplug.parts import Part
from vifplug_ovs import opts
from vifplug_ovs.names import within
from vifplug_ovs.parts import KINDS, Port
from vifplug_ovs.race import Race
from vifplug_ovs.reader import keys
from vifplug_ovs.vswitchd import OpenSwitch

context = privileged.Context(__name__)

races: dict[str, Race] = defaultdict(Race)
"""How the races of this daemon have ended, by the process in which VIFs are connected."""


def list_opts() -> list[tuple[str, list[Any]]]:
    """Return all options of this plugin (entry point oslo.config.opts)."""
    return [(opts.GROUP, opts.OPTS), *context.list_opts()]


def _configured() -> Any:
    if opts.GROUP not in cfg.CONF:
        cfg.CONF.register_opts(opts.OPTS, group=opts.GROUP)
    return cfg.CONF[opts.GROUP]


def _switch(deadline: float) -> OpenSwitch:
    """Open the switch for one call.

    The endpoint is from the configuration, because the daemon does not trust its caller.
    """
    group = _configured()
    return OpenSwitch(group.ovsdb_connection, deadline, keys=keys(group), races=races)


def _require_own_socket(part: Part) -> None:
    """Refuse a part that would have the switch connect to just any socket of the host.

    Raises ValueError.
    """
    folder = _configured().vhostuser_dir
    socket = part.socket if isinstance(part, Port) else None
    if socket is not None and not within(socket, folder):
        raise ValueError(f"the socket {socket} is not below {folder}, the option vhostuser_dir")


@context.entrypoint
def plug(request: Mapping[str, Any]) -> list[privileged.Reply]:
    """Plug the VIFs of a request."""
    return privileged.plug(
        request,
        kinds=KINDS,
        switch=_switch,
        require=_require_own_socket,
        remove_unused=_configured().remove_unused,
    )


@context.entrypoint
def unplug(request: Mapping[str, Any]) -> list[privileged.Reply]:
    """Unplug the VIFs of a request."""
    unused = _configured().remove_unused
    return privileged.unplug(request, kinds=KINDS, switch=_switch, remove_unused=unused)
