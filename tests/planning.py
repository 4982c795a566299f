# SPDX-License-Identifier: Apache-2.0
"""The planning cases of our own plugins; ``python -m vifplug.testing.cases`` writes them anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vifplug.testing.cases import Case, Plugins, cases_in, good

_HERE = Path(__file__).parent

PLUGINS = Plugins.installed()
BRIDGE = cases_in(_HERE / "bridge" / "cases", PLUGINS)
OVS = cases_in(_HERE / "ovs" / "cases", PLUGINS)
VEPA = cases_in(_HERE / "vepa" / "cases", PLUGINS)

GOOD = good([*BRIDGE, *OVS, *VEPA])


def kernel_marks(case: Case) -> list[Any]:
    """Return the marks of a test that makes a case real."""
    links = case.host.links.values()
    features = {
        "8021q": case.vif.network.should_create_vlan,
        "vlan_filtering": any(link.vlan_filtering for link in links),
    }
    return [pytest.mark.kernel(name) for name, needed in features.items() if needed]
