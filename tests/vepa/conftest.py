# SPDX-License-Identifier: Apache-2.0
"""A host of each test's own, with indexes of its own: its macvtaps' /dev/tapN are the machine's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from oslo_config import cfg
from oslo_config.fixture import Config
from oslo_privsep.priv_context import Method

from vifplug import GenericVIFDriver
from vifplug.testing import IndexRange, NetworkNamespace
from vifplug_vepa import opts, privileged


@pytest.fixture(scope="session")
def own_indexes() -> Iterator[IndexRange]:
    with IndexRange() as found:
        yield found


@pytest.fixture(scope="module")
def indexes(own_indexes: IndexRange) -> IndexRange:
    """The indexes for a namespace of a whole module, or for those of its tests."""
    own_indexes.wait_until_free()
    return own_indexes


@pytest.fixture
def namespace(indexes: IndexRange) -> Iterator[NetworkNamespace]:
    indexes.wait_until_free()
    with NetworkNamespace(enter=True, ifindex_from=indexes.first) as entered:
        yield entered


@pytest.fixture
def conf(tmp_path: Path) -> Iterator[Config]:
    """The process' configuration with locks in the test's own folder."""
    file = tmp_path / "vifplug.conf"
    file.write_text(f"[vifplug]\nlock_path = {tmp_path / 'locks'}\n")
    with Config(cfg.CONF) as config:
        cfg.CONF([], project="vifplug", default_config_files=[str(file)])
        config.register_opts(opts.OPTS, group=opts.GROUP)
        GenericVIFDriver()
        config.config(group="vifplug", libvirt_version="9.0.0", virt_type="qemu")
        config.config(group=opts.GROUP, remove_unused=True)
        yield config


@pytest.fixture
def driver(namespace: NetworkNamespace, conf: Config) -> Iterator[GenericVIFDriver]:
    """A driver whose daemon is a fork of the test, also where a test before left a thread."""
    privileged.context.stop()
    privileged.context.start(Method.FORK)
    found = GenericVIFDriver()
    yield found
    found.close()
