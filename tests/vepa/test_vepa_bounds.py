# SPDX-License-Identifier: Apache-2.0
"""What a caller may ask of the daemon of vifplug_vepa."""

from __future__ import annotations

import time

import pytest

from tests.malformed import fail_alone
from vifplug import GenericVIFDriver
from vifplug.testing import NetworkNamespace
from vifplug.testing.claims import every_claim
from vifplug.testing.dumps import differences
from vifplug_vepa import privileged


def test_a_malformed_vif_fails_alone(
    namespace: NetworkNamespace, driver: GenericVIFDriver, caplog: pytest.LogCaptureFixture
) -> None:
    before = namespace.everything()
    privileged.context.ready(time.monotonic() + 10)
    fail_alone(privileged, privileged.context.channel.pid, caplog)  # type: ignore[union-attr]
    assert differences(before, namespace.everything()) == []
    assert every_claim() == {}
