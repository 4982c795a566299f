# SPDX-License-Identifier: Apache-2.0
"""vifplug_vepa passes the suite for every plugin.

A namespace can show the devices of macvtaps. Of the other types it can show what is planned:
network cards are in test_vepa_functions.py, lldpad in test_vepa_qbg.py.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import pytest

from tests.vepa.conftest import remove_macvtaps
from vifplug.testing import IndexRange, NetworkNamespace
from vifplug.testing.cases import Case, good
from vifplug.testing.conformance import PlanTests, PluginTests

TAKES_NOTHING_BACK = ("macvtap-leaked",)
"""Cases of which a step can't be undone, which is why it stands last."""


class TestMacvtap(PluginTests):
    vif_type = "macvtap"
    options: ClassVar[dict[str, Any]] = {"remove_unused": True}

    @contextlib.contextmanager
    def network(self) -> Iterator[NetworkNamespace]:
        """Return a namespace whose macvtaps' /dev/tapN are no others' of the machine."""
        with IndexRange() as indexes:
            indexes.wait_until_free()
            with NetworkNamespace(enter=True, ifindex_from=indexes.first) as entered:
                yield entered
                remove_macvtaps(entered)

    def is_real(self, case: Case) -> bool:
        """Return False for a macvtap that a guest holds, or may hold: there is no guest."""
        macvtaps = (link for link in case.host.links.values() if link.kind == "macvtap")
        return super().is_real(case) and all(link.held is False for link in macvtaps)

    def marks(self, case: Case) -> Sequence[pytest.MarkDecorator]:
        return [pytest.mark.kernel("8021q")] if "vlan" in case.name else []

    def fault_cases(self) -> list[Case]:
        """Return a case for each list of steps; in the slower kernel one for all."""
        found: dict[tuple[Any, ...], Case] = {}
        for case in good(self.all_cases()):
            shown = self.is_real(case) and case.name not in TAKES_NOTHING_BACK
            shown = shown and ("vlan" not in case.name or case.name == "macvtap-nova-vlan")
            if shown and case.steps:
                found.setdefault(case.steps, case)
        return list(found.values())


class TestQbg(PlanTests):
    vif_type = "802.1qbg"


class TestQbh(PlanTests):
    vif_type = "802.1qbh"


class TestHwVeb(PlanTests):
    vif_type = "hw_veb"


class TestHostdevPhysical(PlanTests):
    vif_type = "hostdev_physical"
