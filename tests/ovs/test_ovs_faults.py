# SPDX-License-Identifier: Apache-2.0
"""A fault at every step of the planning cases of vifplug_ovs, the database's transaction included.

What each fault must leave is in vifplug.testing.faults.matrix. The database is compared in full.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest

from tests.ovs import races
from tests.ovs.planning import (
    by_socket,
    datapath_of,
    on_the_kernels_datapath,
    on_the_userspace_datapath,
)
from tests.ovs.realhost import make_ovs_real, wait_for_bridges
from vifplug import GenericVIFDriver
from vifplug.testing import NetworkNamespace, OpenVSwitch
from vifplug.testing.cases import Case
from vifplug.testing.configured import configured
from vifplug.testing.faults.every_step import (  # noqa: F401 - collected here
    test_a_caller_killed_at_any_step,
    test_a_daemon_killed_at_any_step,
    test_a_fault_at_any_step,
)
from vifplug.testing.faults.scene import Subject
from vifplug.testing.realhost import prepare
from vifplug_ovs import opts
from vifplug_ovs.operations import RemovePort, Settle
from vifplug_ovs.order import in_order
from vifplug_ovs.plugin import OvsPlugin

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


def distinct() -> list[Case]:
    """Return a case for each list of steps.

    Left out is what moves by itself: a dead port, which a plug replaces or vswitchd takes again.
    """
    found: dict[Any, Case] = {}
    for case in reversed(on_the_userspace_datapath()):
        if not any(isinstance(one, (RemovePort, Settle)) for one in case.plan().operations):
            found[case.steps] = case
    return [case for known, case in found.items() if known]


def racing() -> list[Any]:
    """Return the cases whose devices are made while the database is at work on their rows."""
    wanted = (c for c in distinct() if in_order(c.plan().operations, racing=True).meanwhile)
    return [pytest.param((case, True), id=f"{case.name}, racing") for case in wanted]


def on_the_kernels() -> list[Any]:
    """Return the case of the kernel's datapath with the most steps, for a kernel that has it."""
    most = max(on_the_kernels_datapath(), key=lambda case: len(case.plan().operations))
    return [pytest.param((most, False), id=most.name, marks=pytest.mark.kernel("openvswitch"))]


DEVICES_FIRST = [pytest.param((case, False), id=case.name) for case in distinct()]


@pytest.fixture(params=[*DEVICES_FIRST, *racing(), *on_the_kernels()])
def subject(request: pytest.FixtureRequest, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    case, always = request.param
    races.racing(monkeypatch, always=always)
    running: list[OpenVSwitch] = []

    def prepared(host: NetworkNamespace, stack: ExitStack) -> GenericVIFDriver:
        datapath = datapath_of(case) or "netdev"
        switch = OpenVSwitch(host, dpdk=by_socket(case), datapath_type=datapath)
        ovs = stack.enter_context(switch)
        running[:] = [ovs]
        make_ovs_real(case.host, ovs)
        config.config(group=opts.GROUP, ovsdb_connection=ovs.endpoint)
        return prepare(case, config, host)

    def dump(host: NetworkNamespace) -> dict[str, Any]:
        wait_for_bridges(host, running[0])
        found = host.everything()
        for link in found["links"].values():  # vswitchd listens as long as it has the port
            link["flags"] = [flag for flag in link["flags"] if flag != "PROMISC"]
        return found | {"ovs": running[0].everything()}

    with configured(tmp_path, OvsPlugin) as config:
        yield Subject(case.vif, prepared, OvsPlugin, dump, order=partial(in_order, racing=always))
