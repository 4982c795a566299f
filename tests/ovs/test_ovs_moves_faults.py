# SPDX-License-Identifier: Apache-2.0
"""A fault at every step of a move between bridges, vif_types and processes, under a guest.

What each fault must leave is in vifplug.testing.faults.matrix. The database is compared in full.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.ovs.moves import (
    AUTOMATIC,
    BRIDGE,
    HYBRID,
    MANUAL,
    OTHER_BRIDGE,
    OTHER_MANUAL,
    Spot,
    as_neutron_does,
    make_bridges,
    running,
)
from tests.ovs.realhost import wait_for_bridges
from vifplug import GenericVIFDriver
from vifplug.testing import NetworkNamespace, OpenVSwitch
from vifplug.testing.configured import configured, context_of, fork
from vifplug.testing.faults import matrix
from vifplug.testing.faults.saboteur import FAULTS, KILLS, Saboteur
from vifplug.testing.faults.scene import Subject
from vifplug_bridge import opts as bridge_opts
from vifplug_bridge.plugin import BridgePlugin
from vifplug_ovs import opts
from vifplug_ovs.plugin import OvsPlugin

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")

OURS, LIBVIRTS, NONE = "our tap", "libvirt's tap", "no tap yet"
MOVES = (
    (BRIDGE, OTHER_BRIDGE, LIBVIRTS),
    (BRIDGE, MANUAL, OURS),
    (BRIDGE, HYBRID, LIBVIRTS),
    (MANUAL, BRIDGE, OURS),
    (MANUAL, HYBRID, OURS),
    (HYBRID, BRIDGE, LIBVIRTS),
    (HYBRID, MANUAL, LIBVIRTS),
    (MANUAL, OTHER_MANUAL, OURS),
    (BRIDGE, AUTOMATIC, NONE),
    (AUTOMATIC, MANUAL, NONE),
)
# What the kernel's datapath has let go of, a bridge may take; in an undo too.
ON_THE_KERNELS = ((BRIDGE, MANUAL, OURS),)


def _param(old: Spot, new: Spot, whose: str, datapath: str, **more: Any) -> Any:
    words = (f"{old} to {new}", whose, *(["the kernel's datapath"] if more else []))
    return pytest.param(old, new, whose, datapath, id=", ".join(words), **more)


CASES = [
    *(_param(*move, "netdev") for move in MOVES),
    *(_param(*move, "system", marks=pytest.mark.kernel("openvswitch")) for move in ON_THE_KERNELS),
]


@pytest.fixture
def subject(old: Spot, new: Spot, whose: str, datapath: str, tmp_path: Path) -> Iterator[Subject]:
    switches: list[OpenVSwitch] = []

    def prepared(host: NetworkNamespace, stack: ExitStack) -> GenericVIFDriver:
        switch = stack.enter_context(OpenVSwitch(host, datapath_type=datapath))
        switches[:] = [switch]
        for name in ("br-int", "br-two"):
            switch.add_bridge(name)
        make_bridges(host)
        config.config(group=opts.GROUP, ovsdb_connection=switch.endpoint)
        daemons = [context_of(plugin) for plugin in (OvsPlugin, BridgePlugin)]
        for daemon in daemons:
            stack.callback(daemon.stop)
        fork(OvsPlugin, BridgePlugin)
        driver = GenericVIFDriver()
        if whose == NONE:
            driver.plug(None, old.vif)
        else:
            stack.enter_context(running(old, driver, host, ours=whose == OURS))
            as_neutron_does(switch, old)
        for daemon in daemons:
            # Who has no thread besides starts a killed daemon as a fork, with all that is set here.
            daemon.stop()
        return driver

    def dump(host: NetworkNamespace) -> dict[str, Any]:
        wait_for_bridges(host, switches[0])
        found = host.everything()
        for link in found["links"].values():  # vswitchd listens as long as it has the port
            link["flags"] = [flag for flag in link["flags"] if flag != "PROMISC"]
        return found | {"ovs": by_name(switches[0].everything())}

    plugin = OvsPlugin if "ovs" in (old.vif_type, new.vif_type) else BridgePlugin
    with configured(tmp_path, OvsPlugin, BridgePlugin) as config:
        config.config(group="vifplug", libvirt_version="9.0.0", virt_type="qemu")
        config.config(group=bridge_opts.GROUP, create_tap=whose == OURS)
        yield Subject(new.vif, prepared, plugin, dump, move=True)


def by_name(found: dict[str, Any]) -> dict[str, Any]:
    """Return rows of a database with names for their UUIDs: a row made again has another one."""
    text = json.dumps(found)
    for table, rows in found.items():
        for name, row in rows.items():
            named = name if name != row["_uuid"] else json.dumps(row["external_ids"])
            text = text.replace(row["_uuid"], f"{table} {named}".replace('"', "'"))
    again: dict[str, Any] = json.loads(text)
    for bridge in again["Bridge"].values():
        if isinstance(bridge["ports"], list):
            bridge["ports"].sort()
    return again


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(("old", "new", "whose", "datapath"), CASES)
def test_a_fault_at_any_step(fault: str, subject: Subject, saboteur: Saboteur) -> None:
    assert matrix.faulty_moves(subject, saboteur, fault) > 1


@pytest.mark.parametrize("fault", KILLS)
@pytest.mark.parametrize(("old", "new", "whose", "datapath"), CASES)
def test_a_daemon_killed_at_any_step(fault: str, subject: Subject, saboteur: Saboteur) -> None:
    assert matrix.killed_daemons(subject, saboteur, fault, "plug") > 1
