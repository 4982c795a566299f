# SPDX-License-Identifier: Apache-2.0
"""The privileged side, as a plugin's author sees it.

A plugin's own ``privileged`` module is a few lines, and names :func:`entrypoints`. The core checks
each request again, since this side trusts no caller. A plugin that has operations of its own
registers with ``@perform.register`` how the kernel performs them. A plugin that needs more than
that makes a :class:`Context`, with entrypoints ``plug`` and ``unplug`` that hand their request to
the functions of these names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from oslo_config import cfg

from vifplug import opts
from vifplug.daemon.context import Context
from vifplug.daemon.serve import plug, unplug
from vifplug.kernel.perform import Kernel, WrongDevice, perform
from vifplug.model.snapshot import Snapshot
from vifplug.parts import Part
from vifplug.plugin import VIFPlugin
from vifplug.switch import Switch

__all__ = [
    "Context",
    "Kernel",
    "Reply",
    "WrongDevice",
    "entrypoints",
    "perform",
    "plug",
    "unplug",
]

Reply = dict[str, object]
"""What an entrypoint returns for one VIF: a ``vifplug.daemon.request.Reply`` as plain data."""

Options = Mapping[str, Any]
"""The values of a plugin's options by name, from the daemon's own configuration."""

Entrypoint = Callable[[Mapping[str, Any]], list[dict[str, Any]]]


def entrypoints(
    module: str,
    plugin: type[VIFPlugin],
    *,
    switch: Callable[[Options, float], Switch] | None = None,
    needs: Iterable[int] = (),
    snapshots: Callable[[Options, float], Iterable[Snapshot]] | None = None,
    require: Callable[[Options, Part], None] | None = None,
) -> tuple[Context, Entrypoint, Entrypoint]:
    """Return a plugin's context and its entrypoints, for ``context, plug, unplug`` of its module.

    ``module`` is the plugin's own ``__name__``. ``switch`` opens its switch for one call, until a
    deadline. ``needs`` are capabilities beside CAP_NET_ADMIN. ``snapshots`` returns what its parts
    must know besides, until a deadline. ``require`` raises ValueError for a part that these options
    do not allow. ``context.list_opts`` is the entry point ``oslo.config.opts``.
    """
    context = Context(module, needs=needs, own=((plugin.group, plugin.opts),))

    def plug_all(request: Mapping[str, Any]) -> list[dict[str, Any]]:
        options = opts.of(plugin, cfg.CONF)
        return plug(
            request,
            kinds=plugin.kinds,
            switch=partial(switch, options) if switch else None,
            snapshots=partial(snapshots, options) if snapshots else None,
            require=partial(require, options) if require else None,
            remove_unused=bool(options.get("remove_unused")),
        )

    def unplug_all(request: Mapping[str, Any]) -> list[dict[str, Any]]:
        options = opts.of(plugin, cfg.CONF)
        return unplug(
            request,
            kinds=plugin.kinds,
            switch=partial(switch, options) if switch else None,
            remove_unused=bool(options.get("remove_unused")),
        )

    for name, function in (("plug", plug_all), ("unplug", unplug_all)):
        # By these oslo.privsep finds an entrypoint, below its context's module only.
        function.__module__, function.__name__ = module, name
    return context, context.entrypoint(plug_all), context.entrypoint(unplug_all)
