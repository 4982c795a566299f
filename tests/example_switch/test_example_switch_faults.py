# SPDX-License-Identifier: Apache-2.0
"""A fault at every step of a third party's switch: its database, its own operation, its claim.

What each fault must leave is in vifplug.testing.faults.matrix. The database is compared in full.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from oslo_config.fixture import Config

from tests.example_switch.conftest import TRUNK, Hosted, Installed, made_real
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
def saboteur(acme: Installed, monkeypatch: pytest.MonkeyPatch) -> Saboteur:
    """A saboteur whose steps are the switch's too."""
    return Saboteur(monkeypatch, switch=acme.privileged.AcmeSwitch)


@pytest.fixture
def subject(acme: Installed, conf: Config, tmp_path: Path) -> Subject:
    database = tmp_path / "ports.json"
    conf.register_opts(acme.plugin.OPTS, group=acme.plugin.GROUP)
    conf.config(group=acme.plugin.GROUP, database=str(database), trunk=TRUNK)

    def prepared(namespace: NetworkNamespace, stack: ExitStack) -> GenericVIFDriver:
        made_real(namespace, database)
        return GenericVIFDriver()

    def dump(namespace: NetworkNamespace) -> dict[str, Any]:
        return namespace.everything() | {"acme": Hosted(namespace, database).ports}

    order = acme.privileged.AcmeSwitch(0.0).order
    return Subject(
        acme.vif(), prepared, acme.plugin.AcmePlugin, dump, lambda all: order(all, alone=None)
    )
