# SPDX-License-Identifier: Apache-2.0
"""A host of each test's own: a network namespace that the test and the daemon are in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from oslo_config import cfg
from oslo_config.fixture import Config

from vifplug import GenericVIFDriver
from vifplug.testing import NetworkNamespace
from vifplug_bridge import opts


@pytest.fixture
def namespace() -> Iterator[NetworkNamespace]:
    with NetworkNamespace(enter=True) as entered:
        yield entered


@pytest.fixture
def conf(tmp_path: Path) -> Iterator[Config]:
    """The process' configuration with locks in the test's own folder."""
    with Config(cfg.CONF) as config:
        cfg.CONF([], project="vifplug", default_config_files=[])
        config.register_opts(opts.OPTS, group=opts.GROUP)
        GenericVIFDriver()
        config.config(group="vifplug", lock_path=str(tmp_path / "locks"))
        config.config(group="vifplug", libvirt_version="9.0.0", virt_type="qemu")
        yield config


@pytest.fixture
def driver(namespace: NetworkNamespace, conf: Config) -> Iterator[GenericVIFDriver]:
    found = GenericVIFDriver()
    yield found
    found.close()
