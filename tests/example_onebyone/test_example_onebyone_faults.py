# SPDX-License-Identifier: Apache-2.0
"""A fault at every step of a switch without transactions, and of a tap that the host routes to.

What each fault must leave is in vifplug.testing.faults.matrix. The switch is compared in full.
"""

from __future__ import annotations

from contextlib import ExitStack
from types import ModuleType
from typing import Any

import pytest
from oslo_config.fixture import Config

from tests.example_onebyone.conftest import Relayd, vif
from vifplug import GenericVIFDriver
from vifplug.testing import NetworkNamespace
from vifplug.testing.faults.every_step import (  # noqa: F401 - collected here
    test_a_caller_killed_at_any_step,
    test_a_daemon_killed_at_any_step,
    test_a_fault_at_any_step,
)
from vifplug.testing.faults.saboteur import Saboteur
from vifplug.testing.faults.scene import Subject

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


@pytest.fixture
def saboteur(package: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Saboteur:
    """A saboteur whose steps are the switch's too."""
    return Saboteur(monkeypatch, switch=package.RelaySwitch)


@pytest.fixture
def subject(package: ModuleType, conf: Config, relayd: Relayd) -> Subject:
    def prepared(namespace: NetworkNamespace, stack: ExitStack) -> GenericVIFDriver:
        return GenericVIFDriver()

    def dump(namespace: NetworkNamespace) -> dict[str, Any]:
        return namespace.everything() | {"relay": relayd.ports}

    order = package.RelaySwitch({}, 0.0).order
    asked = vif(ips=("198.51.100.7", "2001:db8:7::7"))
    return Subject(asked, prepared, package.RelayPlugin, dump, lambda all: order(all, alone=None))
