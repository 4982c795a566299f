# SPDX-License-Identifier: Apache-2.0
"""The process' configuration for one test, and daemons that have it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

from oslo_config import cfg
from oslo_config.fixture import Config
from oslo_privsep.priv_context import Method

from vifplug import GenericVIFDriver

Settings = Mapping[str, Mapping[str, str]]
"""Options' values, by group and name."""


@contextlib.contextmanager
def configured(
    folder: Path, *plugins: ModuleType, settings: Settings | None = None
) -> Iterator[Config]:
    """Have the options of some plugins (their modules ``opts``), and locks in the test's folder.

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
        for opts in plugins:
            config.register_opts(opts.OPTS, group=opts.GROUP)
        GenericVIFDriver()
        yield config


def fork(*sides: ModuleType) -> None:
    """Have plugins (their modules ``privileged``) start a daemon that is a fork of the test.

    It has all that the test has set and patched, also where a test before left a thread.
    """
    for side in sides:
        side.context.stop()
        side.context.start(Method.FORK)


@contextlib.contextmanager
def forked(*sides: ModuleType) -> Iterator[GenericVIFDriver]:
    """Return a driver whose daemons are forks of the test, and end them."""
    fork(*sides)
    driver = GenericVIFDriver()
    yield driver
    driver.close()


@contextlib.contextmanager
def emptied(*sides: ModuleType) -> Iterator[GenericVIFDriver]:
    """Return a driver as :func:`forked`; what is plugged in the end is unplugged."""
    with forked(*sides) as driver:
        yield driver
        driver.unplug_ids([one.id for one in driver.list()])
