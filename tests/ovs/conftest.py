# SPDX-License-Identifier: Apache-2.0
"""A host of each test's own, with an Open vSwitch; the test and the daemon are in its namespace."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg
from oslo_config.fixture import Config

from tests.ovs.planning import by_socket, datapath_of
from tests.ovs.races import racing
from tests.ovs.vifs import ovs_vif
from vifplug import GenericVIFDriver
from vifplug.testing import NetworkNamespace, OpenVSwitch
from vifplug.testing.claims import every_claim
from vifplug.testing.configured import configured, forked
from vifplug.testing.dumps import differences
from vifplug.testing.faults.saboteur import Saboteur
from vifplug_ovs import opts
from vifplug_ovs.plugin import OvsPlugin
from vifplug_ovs.vswitchd import OpenSwitch

Everything = tuple[dict[str, Any], dict[str, Any], dict[str, Any]]


class Host:
    """The namespace, its Open vSwitch and the claims, with what they were at first."""

    def __init__(
        self, namespace: NetworkNamespace, ovs: OpenVSwitch, driver: GenericVIFDriver,
        *, own_bridge: bool = False,
    ):  # fmt: skip
        self.namespace, self.ovs, self.driver = namespace, ovs, driver
        self.own_bridge = own_bridge
        self.before = self.everything()

    def everything(self) -> Everything:
        return self.namespace.everything(), self.ovs.everything(), every_claim()

    def differs(self, before: Everything) -> list[str]:
        now, until = self.everything(), time.monotonic() + 15
        # vswitchd takes a bridge's own device away in its own time.
        while self._outlived(now) and time.monotonic() < until:
            time.sleep(0.02)
            now = self.everything()
        pairs = zip(before, now, strict=True)
        return [line for then, later in pairs for line in differences(then, later)]

    def _outlived(self, now: Everything) -> bool:
        return any(n.startswith("pb") and n not in now[1]["Bridge"] for n in now[0]["links"])

    def is_free(self, *, within: float = 15) -> None:
        """Wait until nobody holds a lock: what is being undone is undone then."""
        until = time.monotonic() + within
        while list(Path(cfg.CONF.vifplug.lock_path).rglob("*.lock")) and time.monotonic() < until:
            time.sleep(0.01)

    def works(self) -> None:
        """Require that a plug converges and an unplug leaves nothing."""
        self.driver.plug(None, ovs_vif())
        assert not self.driver.check(None, ovs_vif())
        self.driver.unplug(None, ovs_vif())
        assert self.differs(self.before) == []


@pytest.fixture
def ovs(request: pytest.FixtureRequest, namespace: NetworkNamespace) -> Iterator[OpenVSwitch]:
    """An Open vSwitch without a bridge; with DPDK for a case that needs it, or the marker dpdk.

    Its parameter, if it has one, is the datapath: see tests/ovs/datapaths.py.
    """
    callspec = getattr(request.node, "callspec", None)
    case = callspec.params.get("case") if callspec else None
    dpdk = request.node.get_closest_marker("dpdk") or (case and by_socket(case))
    own = "system" if case and datapath_of(case) == "system" else "netdev"
    datapath = getattr(request, "param", own)
    with OpenVSwitch(namespace, dpdk=bool(dpdk), datapath_type=datapath) as running:
        yield running


@pytest.fixture
def br_int(ovs: OpenVSwitch) -> OpenVSwitch:
    """An Open vSwitch with the bridge br-int."""
    ovs.add_bridge("br-int")
    return ovs


@pytest.fixture
def conf(tmp_path: Path, ovs: OpenVSwitch) -> Iterator[Config]:
    """The process' configuration, with the test's own locks and Open vSwitch."""
    endpoint = {opts.GROUP: {"ovsdb_connection": ovs.endpoint}}
    with configured(tmp_path, OvsPlugin, settings=endpoint) as config:
        config.config(group="vifplug", libvirt_version="9.0.0", virt_type="qemu")
        yield config


@pytest.fixture
def driver(conf: Config) -> Iterator[GenericVIFDriver]:
    """A driver whose daemon is a fork of the test."""
    with forked(OvsPlugin) as found:
        yield found


@pytest.fixture
def saboteur(monkeypatch: pytest.MonkeyPatch) -> Saboteur:
    """A saboteur whose steps are the switch's too."""
    return Saboteur(monkeypatch, switch=OpenSwitch)


WAYS = ("manual", "automatic", "hybrid", "own bridge", "manual, racing", "hybrid, racing")


@pytest.fixture(params=WAYS)
def host(
    request: pytest.FixtureRequest,
    namespace: NetworkNamespace,
    br_int: OpenVSwitch,
    conf: Config,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Host]:
    """A host of which VIFs are connected in each of the three ways, and on bridges of their own.

    Manual and hybrid also with rows and devices made at once.
    """
    way, _, always = request.param.partition(", ")
    racing(monkeypatch, always=bool(always))
    own = way == "own bridge"
    process = "manual" if own else way
    conf.config(group="vifplug_ovs", process=process, per_port_bridge=own)
    with forked(OvsPlugin) as driver:
        yield Host(namespace, br_int, driver, own_bridge=own)
