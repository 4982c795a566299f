# SPDX-License-Identifier: Apache-2.0
"""vifplug_ovs passes the suite for every plugin, with a real Open vSwitch.

Its faults are tried twice: with devices made before the database's transaction, and with both at
once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import pytest

from tests.ovs import races
from tests.ovs.planning import (
    by_socket,
    datapath_of,
    on_the_kernels_datapath,
    on_the_userspace_datapath,
)
from tests.ovs.realhost import make_ovs_real, wait_for_bridges
from vifplug.operations import Operation
from vifplug.switch import Order
from vifplug.testing import NetworkNamespace, OpenVSwitch
from vifplug.testing.cases import Case
from vifplug.testing.conformance import FaultTests, Given, PluginTests, RunningSwitch
from vifplug_ovs.operations import RemovePort, Settle
from vifplug_ovs.order import in_order

SERVER = "ovsdb-server"
MENDS_ITSELF = "own-bridge-patch-lost"
"""A case that the next change of any row mends: test_ovs_kernel.py shows it before that."""


class OvsHost(Given):
    """A host with an Open vSwitch whose bridges are those of the case."""

    always: ClassVar[bool] = False

    @pytest.fixture(autouse=True)
    def _racing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        races.racing(monkeypatch, always=self.always)

    @contextlib.contextmanager
    def host(self, namespace: NetworkNamespace, case: Case) -> Iterator[RunningSwitch]:
        datapath = datapath_of(case) or "netdev"
        with OpenVSwitch(namespace, dpdk=by_socket(case), datapath_type=datapath) as ovs:
            make_ovs_real(case.host, ovs)
            # As for the group of users who may look at it.
            ovs.rundir.chmod(0o755)
            ovs.socket.chmod(0o666)

            def state() -> dict[str, Any]:
                wait_for_bridges(namespace, ovs)
                return ovs.everything()

            yield RunningSwitch(
                options={"ovsdb_connection": ovs.endpoint},
                state=state,
                stop=lambda: ovs.kill(SERVER),
                start=lambda: ovs.start(SERVER),
                pause=lambda: ovs.pause(SERVER),
                resume=lambda: ovs.resume(SERVER),
            )

    def dump(self, namespace: NetworkNamespace, switch: RunningSwitch | None) -> dict[str, Any]:
        assert switch
        state = switch.state()  # which waits for the devices of bridges
        found = namespace.everything()
        for link in found["links"].values():  # vswitchd listens as long as it has the port
            link["flags"] = [flag for flag in link["flags"] if flag != "PROMISC"]
        return found | {"switch": state}

    def order(self, operations: Sequence[Operation]) -> Order:
        return in_order(operations, racing=self.always)

    def is_real(self, case: Case) -> bool:
        if case.name == MENDS_ITSELF:
            return False
        return "move.txt" in case.expected() or case in _USERSPACE or case in _KERNELS

    def marks(self, case: Case) -> Sequence[pytest.MarkDecorator]:
        return [pytest.mark.kernel("openvswitch")] if case in _KERNELS else []

    def chosen_cases(self) -> list[Case]:
        """Return the case with the most steps on the userspace datapath, with a tap of ours."""
        new = [case for case in self.real_cases() if case in _USERSPACE and case.wiring.devices
               and case.vif.id not in str(case.read("host.json"))]  # fmt: skip
        return sorted(new, key=lambda case: -len(case.plan().operations))[:1]

    def distinct(self) -> list[Case]:
        """Return a case for each list of steps on the userspace datapath.

        Left out is what moves by itself: a dead port, which a plug replaces or vswitchd takes
        again.
        """
        found: dict[Any, Case] = {}
        for case in reversed([case for case in self.real_cases() if case in _USERSPACE]):
            if not any(isinstance(one, (RemovePort, Settle)) for one in case.plan().operations):
                found[case.steps] = case
        return [case for known, case in found.items() if known]


_USERSPACE = on_the_userspace_datapath()
_KERNELS = on_the_kernels_datapath()


class TestOvs(OvsHost, PluginTests):
    vif_type = "ovs"

    def fault_cases(self) -> list[Case]:
        """Return the distinct cases, and that of the kernel's datapath with the most steps."""
        kernels = [case for case in self.real_cases() if case in _KERNELS]
        return [*self.distinct(), max(kernels, key=lambda case: len(case.plan().operations))]


class TestVhostuser(OvsHost, PluginTests):
    vif_type = "vhostuser"

    def chosen_cases(self) -> list[Case]:
        """Return the case with the most steps: a port by a socket has no device of the kernel."""
        new = [c for c in self.real_cases() if c.vif.id not in str(c.read("host.json"))]
        return sorted(new, key=lambda case: -len(case.plan().operations))[:1]

    def fault_cases(self) -> list[Case]:
        return self.distinct()


class Racing(OvsHost, FaultTests):
    """Devices are made while the database is at work on their rows."""

    always = True

    def fault_cases(self) -> list[Case]:
        distinct = self.distinct()
        return [c for c in distinct if in_order(c.plan().operations, racing=True).meanwhile]


class TestOvsRacing(Racing):
    vif_type = "ovs"
