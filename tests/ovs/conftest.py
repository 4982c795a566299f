# SPDX-License-Identifier: Apache-2.0
"""A host of each test's own, with an Open vSwitch; the test and the daemon are in its namespace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from oslo_config import cfg
from oslo_config.fixture import Config
from oslo_privsep.priv_context import Method

from tests.planning import by_socket
from vifplug import GenericVIFDriver
from vifplug.testing import NetworkNamespace, OpenVSwitch
from vifplug_ovs import opts, privileged


@pytest.fixture
def namespace() -> Iterator[NetworkNamespace]:
    with NetworkNamespace(enter=True) as entered:
        yield entered


@pytest.fixture
def ovs(request: pytest.FixtureRequest, namespace: NetworkNamespace) -> Iterator[OpenVSwitch]:
    """An Open vSwitch without a bridge; with DPDK for a case that needs it, or the marker dpdk."""
    callspec = getattr(request.node, "callspec", None)
    case = callspec.params.get("case") if callspec else None
    dpdk = request.node.get_closest_marker("dpdk") or (case and by_socket(case))
    with OpenVSwitch(namespace, dpdk=bool(dpdk)) as running:
        yield running


@pytest.fixture
def br_int(ovs: OpenVSwitch) -> OpenVSwitch:
    """An Open vSwitch with the bridge br-int."""
    ovs.add_bridge("br-int")
    return ovs


@pytest.fixture
def conf(tmp_path: Path, ovs: OpenVSwitch) -> Iterator[Config]:
    """The process' configuration, with the test's own locks and Open vSwitch.

    In a file, since a daemon that is no fork of the test reads that and not the test's overrides.
    """
    file = tmp_path / "vifplug.conf"
    lines = [f"[vifplug]\nlock_path = {tmp_path / 'locks'}",
             f"[{opts.GROUP}]\novsdb_connection = {ovs.endpoint}"]  # fmt: skip
    file.write_text("\n".join(lines) + "\n")
    with Config(cfg.CONF) as config:
        cfg.CONF([], project="vifplug", default_config_files=[str(file)])
        config.register_opts(opts.OPTS, group=opts.GROUP)
        GenericVIFDriver()
        config.config(group="vifplug", libvirt_version="9.0.0", virt_type="qemu")
        yield config


@pytest.fixture
def driver(conf: Config) -> Iterator[GenericVIFDriver]:
    """A driver whose daemon is a fork of the test, also where a test before left a thread."""
    privileged.context.stop()
    privileged.context.start(Method.FORK)
    found = GenericVIFDriver()
    yield found
    found.close()
