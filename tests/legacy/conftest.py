# SPDX-License-Identifier: Apache-2.0
"""A host of each test's own with both kinds of switch; the test and the daemons are inside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from oslo_config import cfg
from oslo_config.fixture import Config
from oslo_privsep.priv_context import Method

from vifplug import GenericVIFDriver
from vifplug.testing import NetworkNamespace, OpenVSwitch
from vifplug_bridge import opts as bridge_opts
from vifplug_bridge import privileged as bridge
from vifplug_ovs import opts as ovs_opts
from vifplug_ovs import privileged as ovs_side


@pytest.fixture
def namespace() -> Iterator[NetworkNamespace]:
    with NetworkNamespace(enter=True) as entered:
        yield entered


@pytest.fixture
def ovs(namespace: NetworkNamespace) -> Iterator[OpenVSwitch]:
    """An Open vSwitch with the bridge br-int."""
    with OpenVSwitch(namespace) as running:
        running.add_bridge("br-int")
        yield running


@pytest.fixture
def host(tmp_path: Path, ovs: OpenVSwitch) -> Iterator[Config]:
    """The process' configuration, in a file too: a daemon that is no fork reads that."""
    file = tmp_path / "vifplug.conf"
    lines = [f"[vifplug]\nlock_path = {tmp_path / 'locks'}",
             f"[{ovs_opts.GROUP}]\novsdb_connection = {ovs.endpoint}"]  # fmt: skip
    file.write_text("\n".join(lines) + "\n")
    with Config(cfg.CONF) as config:
        cfg.CONF([], project="vifplug", default_config_files=[str(file)])
        config.register_opts(bridge_opts.OPTS, group=bridge_opts.GROUP)
        config.register_opts(ovs_opts.OPTS, group=ovs_opts.GROUP)
        GenericVIFDriver()
        config.config(group="vifplug", libvirt_version="9.0.0", virt_type="qemu")
        for module in (bridge, ovs_side):
            module.context.stop()
            module.context.start(Method.FORK)
        yield config
        for module in (bridge, ovs_side):
            module.context.stop()
