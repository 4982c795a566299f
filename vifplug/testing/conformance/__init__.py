# SPDX-License-Identifier: Apache-2.0
"""The conformance suite: what vifplug promises its users, checked for any plugin.

A plugin's author subclasses :class:`PluginTests` in a test module, and runs pytest::

    class TestAcme(PluginTests):
        vif_type = "acme"

That takes the planning cases of the folder ``cases`` beside the module. A plugin with a switch also
has a method ``host``. :class:`~vifplug.testing.conformance.given.Given` has the rest that may be
said. What a plugin can do is found out, never asked for. A check that a plugin has no use for is
skipped, and pytest says why. ``vifplug conformance DISTRIBUTION`` runs the suite on what is
installed.
"""

from __future__ import annotations

from vifplug.testing.conformance.checks import CHECKS, NOT_HERE, PURE, number_of
from vifplug.testing.conformance.faulty import FaultTests
from vifplug.testing.conformance.given import Drift, Given, RunningSwitch, Stage
from vifplug.testing.conformance.others import OtherTests, SwitchTests
from vifplug.testing.conformance.plans import PlanTests
from vifplug.testing.conformance.plugs import PlugTests
from vifplug.testing.faults.scene import Scene

__all__ = [
    "CHECKS",
    "NOT_HERE",
    "PURE",
    "Drift",
    "FaultTests",
    "Given",
    "OtherTests",
    "PlanTests",
    "PlugTests",
    "PluginTests",
    "RunningSwitch",
    "Scene",
    "Stage",
    "SwitchTests",
    "number_of",
]


class PluginTests(PlanTests, PlugTests, SwitchTests, OtherTests, FaultTests):
    """All checks. Subclass it for each vif_type of a distribution."""
