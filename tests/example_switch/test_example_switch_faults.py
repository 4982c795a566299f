# SPDX-License-Identifier: Apache-2.0
"""A fault at every step of a third party's switch: its database, its own operation, its claim.

What each fault must leave is in tests/faults/matrix.py; the database is compared in full as well.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from oslo_config.fixture import Config

from tests.example_switch.conftest import TRUNK, Hosted, Installed, made_real
from tests.faults import matrix
from tests.faults.every_step import (  # noqa: F401 - collected here
    test_a_caller_killed_at_any_step,
    test_a_daemon_killed_at_any_step,
    test_a_fault_at_any_step,
)
from tests.faults.saboteur import Saboteur
from vifplug import GenericVIFDriver
from vifplug.apply import means
from vifplug.testing import NetworkNamespace

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


@pytest.fixture
def saboteur(acme: Installed, monkeypatch: pytest.MonkeyPatch) -> Saboteur:
    """A saboteur whose steps are the switch's too."""
    switch = acme.privileged.AcmeSwitch
    found = Saboteur(database=switch)
    monkeypatch.setattr(means, "perform", found.perform)
    monkeypatch.setattr(switch, "send", lambda *words: found.send(*words))
    monkeypatch.setattr(switch, "confirm", lambda *words: found.confirm(*words))
    return found


@pytest.fixture
def subject(acme: Installed, conf: Config, tmp_path: Path) -> matrix.Subject:
    database = tmp_path / "ports.json"
    conf.register_opts(acme.plugin.OPTS, group=acme.plugin.GROUP)
    conf.config(group=acme.plugin.GROUP, database=str(database), trunk=TRUNK)

    def prepared(namespace: NetworkNamespace, stack: ExitStack) -> GenericVIFDriver:
        made_real(namespace, database)
        return GenericVIFDriver()

    def dump(namespace: NetworkNamespace) -> dict[str, Any]:
        return namespace.everything() | {"acme": Hosted(namespace, database).ports}

    order = acme.privileged.AcmeSwitch(0.0).order
    return matrix.Subject(
        acme.vif(), prepared, acme.privileged.context, dump, lambda all: order(all, alone=None)
    )
