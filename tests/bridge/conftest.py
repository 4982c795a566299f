# SPDX-License-Identifier: Apache-2.0
"""A host of each test's own: a network namespace that the test and the daemon are in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from oslo_config.fixture import Config

from vifplug import GenericVIFDriver
from vifplug.testing import NetworkNamespace
from vifplug.testing.configured import configured, forked
from vifplug_bridge.plugin import BridgePlugin


@pytest.fixture
def conf(tmp_path: Path) -> Iterator[Config]:
    """The process' configuration, with locks in the test's own folder."""
    with configured(tmp_path, BridgePlugin) as config:
        config.config(group="vifplug", libvirt_version="9.0.0", virt_type="qemu")
        yield config


@pytest.fixture
def driver(namespace: NetworkNamespace, conf: Config) -> Iterator[GenericVIFDriver]:
    """A driver whose daemon is a fork of the test."""
    with forked(BridgePlugin) as found:
        yield found
