# SPDX-License-Identifier: Apache-2.0
"""A host of each test's own, with indexes of its own: its macvtaps' /dev/tapN are the machine's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from oslo_config.fixture import Config

from vifplug import GenericVIFDriver
from vifplug.testing import IndexRange, NetworkNamespace
from vifplug.testing.configured import configured, forked
from vifplug_vepa import opts
from vifplug_vepa.macvtap import MacvtapPlugin


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
        remove_macvtaps(entered)


def remove_macvtaps(namespace: NetworkNamespace) -> None:
    """Remove them now: a busy kernel takes away a namespace much later, with their /dev/tapN."""
    for link in namespace.ip_json("link", "show", "type", "macvtap"):
        namespace.ip("link", "del", link["ifname"])


@pytest.fixture
def conf(tmp_path: Path) -> Iterator[Config]:
    """The process' configuration, with locks in the test's own folder."""
    with configured(tmp_path, MacvtapPlugin) as config:
        config.config(group="vifplug", libvirt_version="9.0.0", virt_type="qemu")
        config.config(group=opts.GROUP, remove_unused=True)
        yield config


@pytest.fixture
def driver(namespace: NetworkNamespace, conf: Config) -> Iterator[GenericVIFDriver]:
    """A driver whose daemon is a fork of the test."""
    with forked(MacvtapPlugin) as found:
        yield found
