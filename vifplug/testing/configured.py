# SPDX-License-Identifier: Apache-2.0
"""The process' configuration for one test, and plugins' daemons that have it."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from oslo_config import cfg
from oslo_config.fixture import Config
from oslo_privsep.priv_context import Method

from vifplug import GenericVIFDriver
from vifplug.plugin import VIFPlugin
from vifplug.privileged import Context

__all__ = ["Settings", "configured", "context_of", "emptied", "fork", "forked"]

Settings = Mapping[str, Mapping[str, str]]
"""Options' values, by group and name."""

Plugin = type[VIFPlugin]
"""A plugin's class."""


@contextlib.contextmanager
def configured(
    folder: Path, *plugins: Plugin, settings: Settings | None = None
) -> Iterator[Config]:
    """Have the options of some plugins, and locks in the test's folder.

    In a file, since a daemon that is no fork of the test reads that and not the test's overrides.
    """
    file = folder / "vifplug.conf"
    locks = {"vifplug": {"lock_path": str(folder / "locks")}}
    lines: list[str] = []
    for group, options in (*locks.items(), *(settings or {}).items()):
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in options.items())]
    file.write_text("\n".join(lines) + "\n")
    with Config(cfg.CONF) as config:
        cfg.CONF([], project="vifplug", default_config_files=[str(file)])
        for plugin in plugins:
            config.register_opts(list(plugin.opts), group=plugin.group)
        GenericVIFDriver()
        try:
            yield config
        finally:
            _end_daemons()


def _end_daemons() -> None:
    """End the daemons of all plugins: an unplug may have asked one that no test has started.

    A daemon that is left has a thread here. With a thread besides, no later daemon is a fork.
    """
    for name, module in [*sys.modules.items()]:
        context = getattr(module, "context", None) if name.endswith(".privileged") else None
        if isinstance(context, Context):
            context.stop()


def context_of(plugin: Plugin) -> Context:
    """Return the context of a plugin's daemon, which is in its module ``privileged``."""
    context: Context = importlib.import_module(plugin.privileged()).context
    return context


def fork(*plugins: Plugin) -> None:
    """Have plugins start a daemon that is a fork of the test.

    It has all that the test has set and patched, also where a test before left a thread.
    """
    for context in map(context_of, plugins):
        context.stop()
        context.start(Method.FORK)


@contextlib.contextmanager
def forked(*plugins: Plugin) -> Iterator[GenericVIFDriver]:
    """Return a driver whose daemons are forks of the test, and end them."""
    fork(*plugins)
    driver = GenericVIFDriver()
    try:
        yield driver
    finally:
        driver.close()
        # Each by itself, because the driver ends those only that it has asked for something.
        for context in map(context_of, plugins):
            context.stop()


@contextlib.contextmanager
def emptied(*plugins: Plugin) -> Iterator[GenericVIFDriver]:
    """Return a driver as :func:`forked`; what is plugged in the end is unplugged."""
    with forked(*plugins) as driver:
        yield driver
        driver.unplug_ids([one.id for one in driver.list()])
