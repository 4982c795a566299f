# SPDX-License-Identifier: Apache-2.0
"""A host of each test's own with both kinds of switch; the test and the daemons are inside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from oslo_config.fixture import Config

from vifplug.testing import NetworkNamespace, OpenVSwitch
from vifplug.testing.configured import configured, forked
from vifplug_bridge.plugin import BridgePlugin
from vifplug_ovs import opts as ovs_opts
from vifplug_ovs.plugin import OvsPlugin


@pytest.fixture
def ovs(namespace: NetworkNamespace) -> Iterator[OpenVSwitch]:
    """An Open vSwitch with the bridge br-int."""
    with OpenVSwitch(namespace) as running:
        running.add_bridge("br-int")
        yield running


@pytest.fixture
def host(tmp_path: Path, ovs: OpenVSwitch) -> Iterator[Config]:
    """The process' configuration, and daemons that have it."""
    endpoint = {ovs_opts.GROUP: {"ovsdb_connection": ovs.endpoint}}
    with configured(tmp_path, BridgePlugin, OvsPlugin, settings=endpoint) as config:
        config.config(group="vifplug", libvirt_version="9.0.0", virt_type="qemu")
        with forked(BridgePlugin, OvsPlugin):
            yield config
