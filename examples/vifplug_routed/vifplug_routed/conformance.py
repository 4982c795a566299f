# SPDX-License-Identifier: Apache-2.0
"""What vifplug's suite must know of this plugin: what nftables has, and what may drift."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from vifplug import VIF
from vifplug.testing import NetworkNamespace
from vifplug.testing.cases import Case
from vifplug.testing.conformance import Drift, PluginTests, RunningSwitch, Scene, Stage
from vifplug.testing.conformance.checks import check
from vifplug_routed.guard import load

_ANSWERS_WITHIN = 30.0


def unrouted(scene: Scene, vif: VIF) -> None:
    """Have another program take a route away."""
    scene.ip("route", "flush", "dev", *scene.devices(vif), "proto", "static")


def unguarded(scene: Scene, vif: VIF) -> None:
    """Have a firewall that is loaded anew take all rules away."""
    scene.host.run("nft", "flush", "ruleset")


class TestRouted(PluginTests):
    """The suite, with the cases in the folder ``cases``."""

    vif_type = "routed"
    drifts: ClassVar[dict[str, Drift]] = {"no route": unrouted, "no guard": unguarded}

    @contextlib.contextmanager
    def host(self, namespace: NetworkNamespace, case: Case) -> Iterator[RunningSwitch]:
        def guards() -> dict[str, str]:
            with namespace.entered():
                return load(time.monotonic() + _ANSWERS_WITHIN).marks

        yield RunningSwitch(state=guards)

    @check(15)
    @pytest.mark.skip(reason="an ordinary user can't read nftables, so the plans differ")
    def test_an_ordinary_user_plans_checks_and_lists(
        self, chosen_case: Case, readable: Path, stage: Stage
    ) -> None:
        """Leave this one out."""
